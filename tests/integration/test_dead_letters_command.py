"""``streamlearn dead-letters``: rejected events are told, and go back into the stream once what was wrong is mended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from daemon_process import CONFIG, DaemonProcess
from kafka_for_tests import KafkaForTests

from streamlearn.belt.messages.arrow import message_of

pytestmark = pytest.mark.kafka

HOSTILE = b'{"id":1,"t":1000,"a":"[bold]\\u001b[2J","b":2,"c":"x","y":true}'


def command(folder: Path, servers: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamlearn", "dead-letters", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "KAFKA_SERVERS": servers},
        timeout=120,
    )


@pytest.mark.parametrize("to_topic", [True, False], ids=["topic", "file"])
def test_rejected_events_are_told_and_sent_again(
    kafka: KafkaForTests, tmp_path: Path, to_topic: bool
) -> None:
    topic, letters = kafka.topic(2), kafka.topic(2)
    events = [b'{"id":%d,"t":%d,"a":%d,"b":2,"c":"x","y":true}' % (n, 1000 + n, n) for n in range(10)]
    lacking = [event.replace(b',"t":', b',"time":') for event in events[:4]]
    kafka.produce(
        topic, [(n % 2, b"key-%d" % n, value, 1000) for n, value in enumerate([*events, *lacking, HOSTILE])]
    )
    text = CONFIG.format(topic=topic)
    text += f'[dead_letters]\ntopic = "{letters}"\n' if to_topic else '[dead_letters]\npath = "dead.jsonl"\n'
    overrides = [] if to_topic else [f"dead_letters.path={tmp_path}/dead.jsonl"]
    with DaemonProcess(tmp_path, kafka.bootstrap_servers, text, "--until-end", overrides=overrides) as daemon:
        assert daemon.summary()["events_rejected"] == 5

    done = command(tmp_path, kafka.bootstrap_servers, "ls", "run.toml")
    assert done.returncode == 0, done.stderr
    assert "\x1b[2J" not in done.stdout
    assert "[bold]" in done.stdout
    done = command(tmp_path, kafka.bootstrap_servers, "ls", "run.toml", "--json")
    told = {row["reason"]: row["count"] for row in json.loads(done.stdout)["reasons"]}
    assert told == {"missing_time": 4, "wrong_type": 1}

    reason = ("--reason", "missing_time", "--json")
    done = command(tmp_path, kafka.bootstrap_servers, "resend", "run.toml", *reason, "--dry-run")
    assert json.loads(done.stdout)["topics"] == {topic: 4}
    assert len(kafka.read_back(topic)) == 15
    done = command(tmp_path, kafka.bootstrap_servers, "resend", "run.toml", *reason)
    assert json.loads(done.stdout)["sent"] == 4
    assert len(kafka.read_back(topic)) == 19

    mended = [*overrides, "event.time=time"]
    with DaemonProcess(
        tmp_path,
        kafka.bootstrap_servers,
        text,
        "--until-end",
        overrides=[*mended, f"checkpoint.path={tmp_path}/anew", f"source.kafka.group_id={topic}-anew"],
        name="anew",
    ) as daemon:
        assert daemon.summary()["events_learned"] == 8


@pytest.mark.parametrize("to_topic", [True, False], ids=["topic", "file"])
def test_events_of_one_arrow_message_are_sent_again_each_by_itself(
    kafka: KafkaForTests, tmp_path: Path, to_topic: bool
) -> None:
    topic, letters = kafka.topic(2), kafka.topic()
    events = [
        {"id": None if n in (1, 3) else n, "n": n, "t": 1000 + n, "a": 1.5, "b": 2.5, "c": "x", "y": True}
        for n in range(5)
    ]
    kafka.produce(topic, [(1, b"key", message_of(pa.RecordBatch.from_pylist(events)), 1000)])
    text = CONFIG.format(topic=topic)
    text += f'[dead_letters]\ntopic = "{letters}"\n' if to_topic else '[dead_letters]\npath = "dead.jsonl"\n'
    overrides = ["event.format=arrow", *([] if to_topic else [f"dead_letters.path={tmp_path}/dead.jsonl"])]
    with DaemonProcess(tmp_path, kafka.bootstrap_servers, text, "--until-end", overrides=overrides) as daemon:
        assert daemon.summary()["events_rejected"] == 2

    done = command(tmp_path, kafka.bootstrap_servers, "ls", "run.toml", "--json")
    [told] = json.loads(done.stdout)["reasons"]
    assert (told["reason"], told["count"], told["newest"]["row"]) == ("missing_id", 2, 3)
    assert "row 3" in command(tmp_path, kafka.bootstrap_servers, "ls", "run.toml").stdout

    done = command(tmp_path, kafka.bootstrap_servers, "resend", "run.toml", "--json")
    assert json.loads(done.stdout)["sent"] == 2
    _, *again = sorted(kafka.read_back(topic), key=lambda record: record.offset)
    assert [(record.partition, record.key) for record in again] == [(1, b"key")] * 2
    rows = [pa.ipc.open_stream(record.value).read_all().to_pylist() for record in again]
    assert rows == [[events[1]], [events[3]]]

    mended = [
        *overrides,
        "event.id=n",
        f"checkpoint.path={tmp_path}/anew",
        f"source.kafka.group_id={topic}-anew",
    ]
    with DaemonProcess(
        tmp_path, kafka.bootstrap_servers, text, "--until-end", overrides=mended, name="anew"
    ) as daemon:
        assert daemon.summary()["events_learned"] == 7
