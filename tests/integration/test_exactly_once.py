"""Predictions, dead letters and the order journal exactly once, the whole daemon on Apache Kafka."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from belt_world import events
from daemon_process import CONFIG, DaemonProcess
from kafka_for_tests import KafkaForTests
from memory_source import Row
from memory_transactions import read_value
from waiting import eventually

from streamlearn.checkpoints.inspect import show

pytestmark = pytest.mark.kafka

COUNT = 3000
EXACTLY_ONCE = '[predictions]\ntopic = "{out}"\ndelivery = "exactly_once"\ncommit_ms = 20\n[dead_letters]\ntopic = "{dead}"\n'


def overrides(scope: str, group: str) -> list[str]:
    return [
        f"stream.scope={scope}",
        f"source.kafka.group_id={group}",
        "source.kafka.poll_events=100",
        "stream.micro_batch_events=60",
        # All events are there: what a busy machine has not heard of within a second is waited for.
        "stream.idle_wait_ms=60000",
        "checkpoint.every_events=700",
        "http.enabled=false",
        # A restarted worker is the same member: the group need not wait for the end of the killed one.
        'source.kafka.properties={"group.instance.id"="one", "session.timeout.ms"=6000}',
    ]


def digests(folder: Path) -> dict[str, str]:
    return {shard["shard"]: shard["state_digest"] for shard in show(f"{folder}/checkpoints")["shards"]}


def predictions(kafka: KafkaForTests, topic: str) -> list[dict[str, object]]:
    """What a read_committed reader sees, without the stream's name, in the order of the learned versions."""
    seen = [row for record in kafka.read_back(topic) for row in read_value(record.value or b"")]
    for each in seen:
        del each["stream"]
    return sorted(seen, key=lambda each: (each["partition"], each["offset"]))


@pytest.mark.parametrize(("scope", "form"), [("stream", "json"), ("partition", "json"), ("stream", "arrow")])
def test_kills_neither_lose_nor_repeat_what_readers_see(
    scope: str, form: str, kafka: KafkaForTests, tmp_path: Path
) -> None:
    topic = kafka.topic(partitions=4)
    logs = events(COUNT, 4, seed=7, bad_every=100)
    kafka.produce(topic, [(p, key, value, None) for p, rows in logs.items() for key, value, _ in rows])
    seen = {}
    for name, kills in (("calm", 0), ("killed", 3)):
        out, dead = kafka.topic(partitions=1), kafka.topic(partitions=1)
        folder = tmp_path / name
        folder.mkdir()
        text = CONFIG.format(topic=topic) + EXACTLY_ONCE.format(out=out, dead=dead)
        sets = [*overrides(scope, f"{topic}-{scope}-{name}"), f"predictions.format={form}"]
        for number in range(kills):
            run_and_kill(kafka, folder, text, sets, f"run{number}")
        with DaemonProcess(folder, kafka.bootstrap_servers, text, "--until-end", overrides=sets) as run:
            run.summary()
        letters = [(dict(each.headers)["streamlearn.offset"], each.value) for each in kafka.read_back(dead)]
        seen[name] = (predictions(kafka, out), sorted(letters), digests(folder))
    assert len(seen["calm"][0]) == COUNT - COUNT // 100
    assert len(seen["calm"][1]) == COUNT // 100
    assert seen["killed"][2] == seen["calm"][2]
    assert seen["killed"][1] == seen["calm"][1]
    assert seen["killed"][0] == seen["calm"][0]


def run_and_kill(kafka: KafkaForTests, folder: Path, text: str, sets: list[str], name: str) -> None:
    """Run until the next checkpoint is there, and a little of what follows may be on its way."""
    before = len(list(folder.rglob("*.checkpoint")))
    with DaemonProcess(folder, kafka.bootstrap_servers, text, overrides=sets, name=name) as run:
        eventually(lambda: len(list(folder.rglob("*.checkpoint"))) > before, 60, why="a checkpoint")
        assert run.process.poll() is None, run.log[-4000:]
        run.process.send_signal(signal.SIGKILL)
        run.wait()


def test_a_live_order_is_rebuilt_from_events_and_journal(kafka: KafkaForTests, tmp_path: Path) -> None:
    """Partition 1 comes late, so its events are learned behind newer ones; ``replay`` finds the same bits."""
    topic, out = kafka.topic(partitions=2), kafka.topic(partitions=1)
    logs = events(600, 2, seed=3)
    text = CONFIG.format(topic=topic) + EXACTLY_ONCE.format(out=out, dead=kafka.topic(partitions=1))
    sets = [
        f"source.kafka.group_id={topic}",
        f"stream.name={topic}",
        "stream.idle_wait_ms=100",
        f"checkpoint.path={tmp_path}/checkpoints",
    ]
    arguments = [part for each in sets for part in ("--set", each)]

    def produce(partition: int, rows: list[Row]) -> None:
        kafka.produce(topic, [(partition, key, value, None) for key, value, _ in rows])

    with DaemonProcess(tmp_path, kafka.bootstrap_servers, text, overrides=sets) as run:
        produce(0, logs[0])
        run.await_events(len(logs[0]))
        produce(1, logs[1])
        run.await_events(600)
        run.terminate()
        assert run.wait() == 0
    seen = [json.loads(record.value or b"") for record in kafka.read_back(out)]
    times = [record["event_time"] for record in seen]
    assert times != sorted(times), "the live order is not that of a bounded read"

    def replay(*more: str) -> dict[str, object]:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "streamlearn",
                "replay",
                str(tmp_path / "run.toml"),
                *arguments,
                "--json",
                *more,
            ],
            env={**os.environ, "KAFKA_SERVERS": kafka.bootstrap_servers},
            capture_output=True,
            check=True,
            text=True,
        )
        document: dict[str, object] = json.loads(done.stdout)
        return document

    whole = replay("--into", str(tmp_path / "rebuilt"))
    [digest] = digests(tmp_path).values()
    assert whole["state_digest"] == whole["checkpoint_digest"] == digest
    [shown] = show(str(tmp_path / "rebuilt"))["shards"]
    assert shown["state_digest"] == digest
    # Any earlier version: what the model said at that version, it would say again.
    earlier = replay("--to-version", "100")
    assert earlier["events_learned"] == 100
    assert earlier["state_digest"] != digest
    assert replay("--to-version", "100")["state_digest"] == earlier["state_digest"]
