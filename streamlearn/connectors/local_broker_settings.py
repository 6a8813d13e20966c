"""What the local Apache Kafka is told: Java's options and the broker's settings.

Pure text; ``local_broker`` writes and runs it.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"

JAVA_OPTIONS: Final = (
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Dlog4j2.level=WARN",  # log4j's default configuration, at this level: to the console, which is our file
)
# C1 alone: on two cores the broker starts in 2.0 instead of 2.5 s, takes half the CPU over the first four
# million messages, and is as fast at their end. Serial: one small heap needs no collector threads.
BRIEF_OPTIONS: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
# As Kafka's own bin/kafka-run-class.sh starts it. The serial collector stands for 20 to 40 ms every 2.4 s at 5,000
# records/s, this one for 10 to 18 (measured): what passes meanwhile is the last percent of a latency.
LASTING_OPTIONS: Final = (
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
)

SINGLE_NODE: Final[Mapping[str, str]] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "BROKER",
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "log.retention.ms": "-1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # A partition of these is a folder with files; the default of fifty each would only cost time.
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "8",
    "share.coordinator.state.topic.num.partitions": "8",
    # The cleaner would take 128 MiB of heap for logs that hold a few group offsets.
    "log.cleaner.dedupe.buffer.size": str(4 * 1024 * 1024),
}


def server_properties(port: int, controller_port: int, storage: Path, further: Mapping[str, str]) -> str:
    """Return the text of ``server.properties`` for one node on the loopback.

    Parameters
    ----------
    port, controller_port
        Where clients and the controller's quorum of one are listened to.
    storage
        Folder of the logs.
    further
        Settings that win over these.

    >>> text = server_properties(9092, 9093, Path("/data"), {"log.retention.ms": "1000"})
    >>> print(text.splitlines()[0])
    advertised.listeners=BROKER://127.0.0.1:9092
    >>> "log.retention.ms=1000" in text
    True
    """
    return _as_java_properties(
        {
            **SINGLE_NODE,
            "listeners": f"BROKER://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
            "advertised.listeners": f"BROKER://{LOOPBACK}:{port}",
            "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
            "log.dirs": str(storage),
            **further,
        }
    )


def new_cluster_id() -> str:
    """Return a random cluster id: a UUID in URL-safe base64, as Kafka's own.

    >>> len(new_cluster_id())
    22
    """
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):  # the storage tool would read an option
            return text


def _as_java_properties(settings: Mapping[str, str]) -> str:
    """Write settings as a Java properties file: ASCII, with escapes for the rest.

    >>> print(_as_java_properties({"log.dirs": "/tmp/b\\u00fccher"}), end="")
    log.dirs=/tmp/b\\u00fccher
    """
    lines = []
    for key, value in sorted(settings.items()):
        assert "\n" not in value, f"{key} holds a line break"
        utf16 = value.replace("\\", "\\\\").encode("utf-16-be")
        units = [int.from_bytes(utf16[at : at + 2], "big") for at in range(0, len(utf16), 2)]
        lines.append(key + "=" + "".join(chr(unit) if unit < 128 else f"\\u{unit:04x}" for unit in units))
    return "\n".join(lines) + "\n"
