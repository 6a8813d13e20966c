"""What the local broker asks of this machine: a folder for itself, free ports, and whether Kafka answers."""

from __future__ import annotations

import fcntl
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streamlearn.connectors.local_broker_settings import LOOPBACK
from streamlearn.errors import LocalBrokerError

_ANSWER_SECONDS: Final = 5.0
_LOCK_SECONDS: Final = 5.0
_LOOK_EVERY_SECONDS: Final = 0.05


def usable(data: Path) -> Path:
    """Return the folder as an absolute path, made where it was missing. Raises LocalBrokerError, OSError."""
    folder = data.absolute()
    if "," in str(folder):
        raise LocalBrokerError(
            f"Kafka cannot keep data in {folder}: it takes a comma for the end of a path",
            remedy="name a folder whose path has no comma",
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Lock the folder's ``broker.lock`` while this context, or a process that inherits it, holds it open.

    Waits a few seconds for it, which is what a broker takes to end whose starter was killed just now.
    Yields the open file's descriptor. Raises LocalBrokerError when another process keeps the lock.
    """
    with (folder / "broker.lock").open("ab") as file:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _lock(file):
            if time.monotonic() >= deadline:
                raise LocalBrokerError(
                    f"another local broker runs in {folder}",
                    remedy="use that one, or name another folder (--data DIR)",
                )
            time.sleep(_LOOK_EVERY_SECONDS)
        yield file.fileno()


def _lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Return different ports that nobody listens on now; another process may take one at any time.

    >>> len(set(free_ports(3)))
    3
    """
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def listens(bootstrap_servers: str) -> bool:
    """Whether something accepts connections at ``host:port``.

    >>> listens(f"{LOOPBACK}:{free_ports(1)[0]}")
    False
    """
    host, _, port = bootstrap_servers.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def answers(bootstrap_servers: str) -> bool:
    """Whether the broker is registered, not fenced, and its group coordinator works.

    To ask the coordinator makes Kafka create its offsets topic: else the first consumer would wait three
    seconds for it. Not by ``list_consumer_group_offsets``: librdkafka 2.16.0 dies of a segmentation fault
    when the coordinator's answer to that is an error.
    """
    # Its own complaints while the broker starts are what we wait out.
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    group = "streamlearn-broker-answers"
    try:
        if not admin.list_topics(timeout=_ANSWER_SECONDS).brokers:
            return False
        admin.describe_consumer_groups([group], request_timeout=_ANSWER_SECONDS)[group].result()
    except KafkaException:
        return False
    return True
