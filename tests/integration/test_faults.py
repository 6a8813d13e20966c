"""Faults that only a whole daemon on Apache Kafka can show, each with what it is promised to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from belt_world import events
from daemon_process import CONFIG, DaemonProcess
from kafka_for_tests import KafkaForTests
from waiting import eventually

from streamlearn.checkpoints.inspect import show
from streamlearn.errors import ExitCode

pytestmark = pytest.mark.kafka

INTERVAL_MS = 6000
# A model that thinks, once, for longer than the group waits for a poll.
SLOW = f"""
import time
from river import dummy

class Slow(dummy.PriorClassifier):
    def learn_one(self, x, y):
        if x["a"] == 13:
            time.sleep({1.25 * INTERVAL_MS / 1000})
        super().learn_one(x, y)

def make():
    return Slow()
"""
SLOW_MODEL = """
[[models]]
name = "slow"
learner = "python"
factory = "slow:make"
admit = ["slow:Slow"]
"""


def event(number: int, **changes: object) -> bytes:
    fields = {"id": number, "t": number, "a": number / 7, "b": 1, "c": "x", "y": number % 2 == 0}
    return json.dumps(fields | changes).encode()


def test_a_step_longer_than_the_poll_interval_costs_no_membership(
    kafka: KafkaForTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)  # reading the checkpoint back imports the model's module
    topic = kafka.topic(partitions=2)
    values = [event(number, a=13 if number == 20 else number / 7) for number in range(40)]
    kafka.produce(topic, [(number % 2, None, value, None) for number, value in enumerate(values)])
    (tmp_path / "slow.py").write_text(SLOW)
    properties = f'{{"max.poll.interval.ms"={INTERVAL_MS}, "session.timeout.ms"={INTERVAL_MS}}}'
    overrides = ["source.kafka.revoke_budget_seconds=1", f"source.kafka.properties={properties}"]
    text = CONFIG.format(topic=topic) + SLOW_MODEL
    with DaemonProcess(tmp_path, kafka.bootstrap_servers, text, overrides=overrides) as run:
        run.await_events(40)
        run.terminate()
        assert run.wait(20) == 0
        assert run.logged("partitions_lost") == []
        assert run.logged("commits_refused") == []
        assert len(run.logged("shard_opened")) == 1, "it was learned once, by who had it"
    [shard] = show(f"{tmp_path}/checkpoints")["shards"]
    assert shard["events_learned"] == 40


def test_a_message_too_large_to_receive_is_told_and_the_worker_is_not_ready(
    kafka: KafkaForTests, tmp_path: Path
) -> None:
    topic = kafka.topic()
    for value in (event(1), b'{"id": "' + b"x" * 900_000 + b'"}', event(2)):
        kafka.produce(topic, [(0, None, value, None)])  # one after the other: a batch is what is too large
    overrides = ['source.kafka.properties={"receive.message.max.bytes"=100000}', "stream.stall_seconds=3"]
    overrides.append("source.kafka.buffer_bytes_max=65536")
    with DaemonProcess(
        tmp_path, kafka.bootstrap_servers, CONFIG.format(topic=topic), overrides=overrides
    ) as run:
        run.await_events(1)
        eventually(lambda: run.metric("streamlearn_partition_stuck") == 1, 60)
        status, body = run.get("/readyz")
        assert status == 503
        assert f"{topic}[0] has stood at offset 1" in body
        assert "larger than receive.message.max.bytes = 100,000" in body
        assert run.get("/healthz")[0] == 200
        [said] = run.logged("partition_stuck")
        assert (said["topic"], said["partition"]) == (topic, 0)
        run.terminate()
        assert run.wait(20) == 0
    # What the text says to do, done.
    with DaemonProcess(
        tmp_path, kafka.bootstrap_servers, CONFIG.format(topic=topic), "--until-end", name="larger"
    ) as again:
        assert again.summary()["events_read"] == 2


def test_a_dead_letter_topic_that_is_missing_ends_it_and_no_checkpoint_passes_the_event(
    kafka: KafkaForTests, tmp_path: Path
) -> None:
    topic = kafka.topic()
    logs = events(300, 1, seed=2)
    rows = [*logs[0][:150], (None, b"{bad", 0), *logs[0][150:]]
    kafka.produce(topic, [(0, key, value, None) for key, value, _ in rows])
    overrides = [
        f"dead_letters.topic={topic}-dead",
        "checkpoint.every_events=50",
        "source.kafka.poll_events=50",
    ]
    text = CONFIG.format(topic=topic)
    with DaemonProcess(tmp_path, kafka.bootstrap_servers, text, "--until-end", overrides=overrides) as run:
        assert run.wait(120) in (ExitCode.SOURCE, ExitCode.DEAD_LETTERS)
        assert f"{topic}-dead" in run.log
    [shard] = show(f"{tmp_path}/checkpoints")["shards"]
    assert shard["next_offsets"][0]["next_offset"] <= 150, "never checkpointed past it"
    kafka.topic(name=f"{topic}-dead")
    with DaemonProcess(
        tmp_path, kafka.bootstrap_servers, text, "--until-end", overrides=overrides, name="again"
    ) as again:
        again.summary()
    assert [letter.value for letter in kafka.read_back(f"{topic}-dead")] == [b"{bad"], "never dropped"
