"""The whole daemon, as a process, on Apache Kafka."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from belt_world import events
from daemon_process import CONFIG, DaemonProcess
from kafka_for_tests import KafkaForTests
from river_loop import river_loop, sorted_by_time
from waiting import eventually

from streamlearn.checkpoints.inspect import show
from streamlearn.connectors.local_broker import LocalBroker

pytestmark = pytest.mark.kafka

COUNT = 2000
PREDICTIONS = '[predictions]\ntopic = "{out}"\n[dead_letters]\ntopic = "{dead}"\n'


@pytest.fixture(scope="module")
def filled(kafka: KafkaForTests) -> str:
    """A topic of four partitions with events whose times interleave them."""
    topic = kafka.topic(partitions=4)
    fill(kafka, topic)
    return topic


def fill(kafka: KafkaForTests, topic: str, partitions: int = 4, seed: int = 0) -> None:
    logs = events(COUNT, partitions, seed=seed, bad_every=100)
    kafka.produce(topic, [(p, key, value, None) for p, rows in logs.items() for key, value, _time in rows])


def digests(folder: Path) -> dict[str, str]:
    return {shard["shard"]: shard["state_digest"] for shard in show(f"{folder}/checkpoints")["shards"]}


@pytest.fixture(scope="module")
def reference(
    kafka: KafkaForTests, filled: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, str]]:
    """The digests of an uninterrupted run with one worker, by scope."""
    found = {}
    for scope in ("stream", "partition"):
        folder = tmp_path_factory.mktemp(scope)
        overrides = [f"stream.scope={scope}", f"source.kafka.group_id=reference-{filled}-{scope}"]
        text = CONFIG.format(topic=filled)
        with DaemonProcess(folder, kafka.bootstrap_servers, text, "--until-end", overrides=overrides) as run:
            assert run.summary()["events_read"] == COUNT
        found[scope] = digests(folder)
    assert len(found["stream"]) == 1
    assert len(found["partition"]) == 4
    return found


@pytest.mark.parametrize("scope", ["stream", "partition"])
@pytest.mark.parametrize("poll_events", [1, 7, 500, 10_000])
def test_replay_equals_run_at_any_poll_size(
    scope: str,
    poll_events: int,
    kafka: KafkaForTests,
    filled: str,
    reference: dict[str, dict[str, str]],
    tmp_path: Path,
) -> None:
    overrides = [
        f"stream.scope={scope}",
        f"source.kafka.poll_events={poll_events}",
        f"source.kafka.group_id=poll-{filled}-{scope}-{poll_events}",
    ]
    text = CONFIG.format(topic=filled)
    with DaemonProcess(tmp_path, kafka.bootstrap_servers, text, "--until-end", overrides=overrides) as run:
        run.summary()
    assert digests(tmp_path) == reference[scope]


@pytest.mark.parametrize("scope", ["stream", "partition"])
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_replay_equals_run_across_a_restart(
    scope: str,
    end: signal.Signals,
    kafka: KafkaForTests,
    filled: str,
    reference: dict[str, dict[str, str]],
    tmp_path: Path,
) -> None:
    overrides = [
        f"stream.scope={scope}",
        "stream.micro_batch_events=20",
        "source.kafka.poll_events=50",
        "checkpoint.every_events=200",
        f"source.kafka.group_id=restart-{filled}-{scope}-{end}",
    ]
    text = CONFIG.format(topic=filled)
    with DaemonProcess(tmp_path, kafka.bootstrap_servers, text, "--until-end", overrides=overrides) as first:
        eventually(lambda: list(tmp_path.rglob("*.checkpoint")), 60)
        first.process.send_signal(end)
        first.wait()
    again = [
        "source.kafka.group_id=again-" + tmp_path.name + filled
    ]  # a SIGKILLed member holds its place a while
    with DaemonProcess(
        tmp_path, kafka.bootstrap_servers, text, "--until-end", overrides=[*overrides, *again], name="second"
    ) as second:
        second.summary()
    assert digests(tmp_path) == reference[scope]


@pytest.mark.parametrize("workers", [2, 4])
def test_replay_equals_run_with_several_workers(
    workers: int, kafka: KafkaForTests, filled: str, reference: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    overrides = ["stream.scope=partition", f"source.kafka.group_id=workers-{filled}-{workers}"]
    text = CONFIG.format(topic=filled)
    runs = [
        DaemonProcess(
            tmp_path, kafka.bootstrap_servers, text, "--until-end", overrides=overrides, name=f"worker{n}"
        )
        for n in range(workers)
    ]
    try:
        read = sum(run.summary(120)["events_read"] for run in runs)
    finally:
        for run in runs:
            run.__exit__()
    assert read >= COUNT  # what a worker learned after its last checkpoint, another may learn again
    assert digests(tmp_path) == reference["partition"]


def test_a_second_worker_in_stream_scope_stands_by_and_takes_over(
    kafka: KafkaForTests, tmp_path: Path
) -> None:
    topic = kafka.topic(partitions=4)
    fill(kafka, topic)
    text = CONFIG.format(topic=topic)
    with DaemonProcess(tmp_path, kafka.bootstrap_servers, text, name="first") as first:
        first.await_events(COUNT)
        with DaemonProcess(tmp_path, kafka.bootstrap_servers, text, name="second") as second:
            # Who leads is the group's to say, and it may move the first partition to the one that joins.
            eventually(lambda: any(line["partitions"] for line in second.logged("partitions_assigned")), 60)
            runs = (first, second)
            eventually(lambda: sorted(run.metric("streamlearn_standby") for run in runs) == [0, 1], 30)
            leader, standby = sorted(runs, key=lambda run: run.metric("streamlearn_standby"))
            eventually(lambda: "standby" in standby.get("/readyz")[1], 30)
            eventually(lambda: leader.get("/readyz")[0] == 200, 30)
            leader.terminate()
            assert leader.wait(20) == 0
            fill(kafka, topic, seed=1)
            eventually(lambda: standby.metric("streamlearn_standby") == 0, 60)
            eventually(lambda: places(standby) == 2 * COUNT, 60)
            standby.terminate()
            assert standby.wait(20) == 0
    [shard] = show(f"{tmp_path}/checkpoints")["shards"]
    assert sum(place["next_offset"] for place in shard["next_offsets"]) == 2 * COUNT


def places(run: DaemonProcess) -> int:
    """The sum of next_offsets over the partitions that this worker learns from."""
    picture = json.loads(run.get("/api/status")[1])
    # None: another worker learns from it, as the page of a second ago has it.
    return sum(partition["next_offset"] or 0 for partition in picture["partitions"])


def test_predictions_dead_letters_and_the_console(kafka: KafkaForTests, filled: str, tmp_path: Path) -> None:
    out, dead = kafka.topic(partitions=2), kafka.topic()
    text = CONFIG.format(topic=filled) + PREDICTIONS.format(out=out, dead=dead)
    overrides = [f"source.kafka.group_id=out-{filled}"]
    with DaemonProcess(tmp_path, kafka.bootstrap_servers, text, overrides=overrides) as run:
        run.await_events(COUNT)
        eventually(lambda: run.get("/readyz")[0] == 200, 30)
        assert run.get("/healthz")[0] == 200
        assert not run.logged("broker_lost"), "it was there all the time"
        assert "<html" in run.get("/")[1]
        picture: dict[str, Any] = {}

        def shows_all() -> bool:  # what the page shows is taken once a second
            picture.update(json.loads(run.get("/api/status")[1]))
            return picture["events_read"] == COUNT

        eventually(shows_all, 10)
        assert {model["name"] for model in picture["models"]} == {"logistic"}
        eventually(lambda: run.metric("streamlearn_consumer_lag_events") == 0, 30)
        began = time.monotonic()
        run.terminate()
        summary = run.summary(20)
        assert time.monotonic() - began < 10
    logs = events(COUNT, 4, bad_every=100)
    sent = [json.loads(record.value) for record in kafka.read_back(out)]
    assert len(sent) == COUNT - COUNT // 100
    assert {(each["partition"], each["offset"]) for each in sent} == {
        (p, o) for p, rows in logs.items() for o, row in enumerate(rows) if not row[1].startswith(b"{{")
    }
    for each in sent:
        event = json.loads(logs[each["partition"]][each["offset"]][1])
        assert each["id"] == event["id"]
        assert each["model"] == "logistic"
        assert sum(each["probabilities"].values()) == pytest.approx(1)
    versions = [each["version"] for each in sorted(sent, key=lambda each: each["version"])]
    assert versions[0] == 0
    assert max(versions) <= summary["models"][0]["events_learned"]
    letters = kafka.read_back(dead)
    assert len(letters) == COUNT // 100 == summary["events_rejected"]
    for letter in letters:
        headers: dict[str, str] = {name: value.decode() for name, value in letter.headers}
        key, value, _time = logs[int(headers["streamlearn.partition"])][int(headers["streamlearn.offset"])]
        assert (letter.key, letter.value) == (key, value)
        assert headers["streamlearn.reason"] == "invalid_json"
        assert headers["streamlearn.topic"] == filled
        assert headers["streamlearn.stream"] == "flow"


def test_in_stream_scope_it_says_what_a_river_loop_over_the_sorted_events_says(
    kafka: KafkaForTests, tmp_path: Path
) -> None:
    logs = events(COUNT, 4, seed=5)
    topic, out = kafka.topic(partitions=4), kafka.topic()
    kafka.produce(topic, [(p, key, value, None) for p, rows in logs.items() for key, value, _time in rows])
    text = CONFIG.format(topic=topic) + f'[predictions]\ntopic = "{out}"\n'
    with DaemonProcess(tmp_path, kafka.bootstrap_servers, text, "--until-end") as run:
        metrics = run.summary()["models"][0]["metrics"]
    said, scores, _learned = river_loop(logs)
    records = [json.loads(record.value) for record in kafka.read_back(out)]
    assert [(r["partition"], r["offset"]) for r in records] == [place[:2] for place in sorted_by_time(logs)]
    for record in records:
        expected = said[record["partition"], record["offset"]]
        assert record["probabilities"]["true"] == pytest.approx(expected[True], abs=1e-9)
        assert record["prediction"] == max(expected, key=expected.get)
    for name, value in scores.items():
        assert metrics[name] == pytest.approx(value, abs=1e-9), name


def test_promtool_finds_nothing_in_a_live_scrape(kafka: KafkaForTests, filled: str, tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("NO PROMTOOL: the live scrape was not checked (Debian's package prometheus has it)")
    overrides = [f"source.kafka.group_id=promtool-{filled}"]
    with DaemonProcess(
        tmp_path, kafka.bootstrap_servers, CONFIG.format(topic=filled), overrides=overrides
    ) as run:
        run.await_events(COUNT)
        eventually(lambda: run.metric("streamlearn_model_metric") > 0, 30)
        _status, scrape = run.get("/metrics")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=scrape, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_broker_that_goes_away_comes_back_by_itself(tmp_path: Path) -> None:
    data = tmp_path / "broker"
    text, topic = CONFIG.format(topic="away"), "away"
    with LocalBroker(data=data) as broker:
        servers = broker.bootstrap_servers
        kafka = KafkaForTests(servers, "LocalBroker")
        fill(kafka, kafka.topic(4, name=topic))
        run = DaemonProcess(tmp_path, servers, text)
        run.await_events(COUNT)
        eventually(lambda: run.get("/readyz")[0] == 200, 30)
    with run:
        eventually(lambda: run.get("/readyz")[0] == 503, 60)
        assert "broker" in run.get("/readyz")[1]
        assert run.get("/healthz")[0] == 200
        with LocalBroker(port=int(servers.rpartition(":")[2]), data=data):
            fill(kafka, topic, seed=1)
            # What was learned since the last checkpoint may have been lost with the session, and read again.
            eventually(lambda: places(run) == 2 * COUNT, 90)
            eventually(lambda: run.get("/readyz")[0] == 200, 60)
            run.terminate()
            assert run.wait(20) == 0
    [shard] = show(f"{tmp_path}/checkpoints")["shards"]
    assert shard["events_learned"] + shard["events_rejected"] < 2 * COUNT  # some have no label
    assert sum(place["next_offset"] for place in shard["next_offsets"]) == 2 * COUNT


def test_it_stops_in_time_while_the_broker_is_away(tmp_path: Path) -> None:
    topic, dead = "stops", "stops-dead"
    with LocalBroker() as broker:
        kafka = KafkaForTests(broker.bootstrap_servers, "LocalBroker")
        kafka.topic(4, name=topic)
        kafka.topic(name=dead)
        fill(kafka, topic)
        text = CONFIG.format(topic=topic) + PREDICTIONS.format(out=dead, dead=dead)
        run = DaemonProcess(tmp_path, broker.bootstrap_servers, text)
        run.await_events(COUNT)
        broker.stop()
    with run:
        eventually(lambda: run.get("/readyz")[0] == 503, 60)
        began = time.monotonic()
        run.terminate()
        assert run.wait(30) == 0
        assert time.monotonic() - began < 10


def test_a_broker_that_is_away_at_the_start_is_waited_for(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path, "127.0.0.1:9", CONFIG.format(topic="none")) as run:
        eventually(lambda: run.logged("broker_lost"), 60)  # before that, it starts: models are warmed up
        assert run.get("/readyz")[0] == 503
        assert run.get("/healthz")[0] == 200
        run.terminate()
        began = time.monotonic()
        assert run.wait(20) == 0
        assert time.monotonic() - began < 10


def test_a_missing_topic_is_an_error_with_a_remedy(kafka: KafkaForTests, tmp_path: Path) -> None:
    with DaemonProcess(
        tmp_path, kafka.bootstrap_servers, CONFIG.format(topic="no-such-topic"), "--until-end"
    ) as run:
        assert run.wait(60) == 3
        assert "no-such-topic" in run.log
        assert "remedy" in run.log


def test_a_second_signal_ends_at_once(kafka: KafkaForTests, tmp_path: Path) -> None:
    topic = kafka.topic()
    with DaemonProcess(tmp_path, kafka.bootstrap_servers, CONFIG.format(topic=topic)) as run:
        run.url()
        eventually(lambda: run.logged("shard_opened"), 60)
        run.terminate()
        run.terminate()
        assert run.wait(20) in (0, 130)  # 0: it had ended in order before the second came


def test_retention_past_the_checkpoint_stops_or_skips_by_count(kafka: KafkaForTests, tmp_path: Path) -> None:
    from confluent_kafka import TopicPartition as KafkaTopicPartition

    topic = kafka.topic()
    fill(kafka, topic, partitions=1)
    text = CONFIG.format(topic=topic)
    with DaemonProcess(tmp_path, kafka.bootstrap_servers, text, "--until-end") as run:
        run.summary()
    fill(kafka, topic, partitions=1, seed=2)
    [deleted] = kafka.admin.delete_records([KafkaTopicPartition(topic, 0, COUNT + 300)]).values()
    deleted.result()
    with DaemonProcess(tmp_path, kafka.bootstrap_servers, text, "--until-end", name="stops") as run:
        assert run.wait(60) == 3
        assert "300 offsets were deleted" in run.log
    skip = ["source.kafka.on_gap=skip"]
    with DaemonProcess(
        tmp_path, kafka.bootstrap_servers, text, "--until-end", overrides=skip, name="skips"
    ) as run:
        assert run.summary()["events_read"] == COUNT - 300
        assert run.logged("gap_skipped")[0]["missed_events"] == 300
