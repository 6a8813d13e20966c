"""What the belt looks like from outside is what it did."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from belt_world import CONFIG, World, events
from rich.console import Console

from streamlearn.commands.summary import print_summary
from streamlearn.console.stages import stage_times
from streamlearn.demo.screen import line, picture
from streamlearn.report.figures import model_scores
from streamlearn.report.observer import Observer
from streamlearn.report.summary import summary

LOGS = events(300, 3, bad_every=30)


@pytest.fixture(scope="module", params=["stream", "partition"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp(request.param)
    return World(folder, LOGS, text=CONFIG, overrides=[f"stream.scope={request.param}"]).run()


def test_the_summary_is_the_contract(world: World) -> None:
    told = summary(world.config, world.belt, 2.0)
    assert (told["stream"], told["events_read"], told["events_rejected"]) == ("flow", 300, 10)
    assert told["events_per_second"] == 150.0
    assert [(m["name"], m["engine"]) for m in told["models"]] == [
        ("logistic", "compiled"),
        ("baseline_majority", "baseline"),
        ("baseline_no_change", "baseline"),
    ]
    assert told["models"][0]["events_learned"] == told["events_learned"]
    assert set(told["models"][0]["metrics"]) == {
        "accuracy", "balanced_accuracy", "f1", "log_loss", "roc_auc", "brier", "calibration_error",
        "kappa_m", "kappa_temporal",
    }  # fmt: skip


def test_scores_over_shards_are_weighted_by_their_events(world: World) -> None:
    shards = [lane.shard for lane in world.belt.lanes.values()]
    [score, *_baselines] = model_scores(shards)
    hits = sum(
        s.parts.judges["logistic"].metrics("cumulative")["accuracy"] * s.events_learned for s in shards
    )
    assert score.metrics["cumulative"]["accuracy"] == pytest.approx(
        hits / sum(s.events_learned for s in shards)
    )


def test_the_picture_and_the_gauges_say_the_same(world: World) -> None:
    observer = Observer(world.config, world.belt, world.telemetry)
    status = observer.observe(10.0)
    assert (status.events_read, status.events_rejected, status.rejections) == (300, 10, {"invalid_json": 10})
    assert sum(partition.next_offset for partition in status.partitions) == 300
    gauge = world.metric("streamlearn_model_metric", model="logistic", metric="accuracy", window="sliding")
    assert gauge == status.models[0].sliding["accuracy"]
    assert status.ready


def test_the_last_rejected_event_of_each_reason_can_be_looked_at(tmp_path: Path) -> None:
    logs = events(40, 1, bad_every=10)
    key, value, time_ms = logs[0][30]
    logs[0][30] = (key, b"\xff\x1b[31m" + value, time_ms)
    for size, text in ((8, "\\xff\\x1b[31m{{"), (0, None)):
        world = World(tmp_path / str(size), logs, overrides=[f"http.rejected_sample_bytes={size}"]).run()
        samples = Observer(world.config, world.belt, world.telemetry).observe(1.0).rejected_samples
        if text is None:
            assert samples == {}
            continue
        last = samples["invalid_utf8"]
        assert (last.topic, last.partition, last.offset, last.text) == ("events", 0, 30, text)
        assert last.size_bytes == len(value) + 6
        assert samples["invalid_json"].offset == 20


def test_the_worker_and_its_partitions_are_told(world: World) -> None:
    status = Observer(world.config, world.belt, world.telemetry).observe(10.0)
    assert status.worker is not None
    assert (status.worker.group, status.worker.assigned_partitions) == ("flow", 3)
    assert status.worker.owned_shards == len(world.belt.lanes)
    assert all(partition.assigned for partition in status.partitions)
    assert status.checkpoints_total == world.belt.upkeep.written > 0
    stages = {each.stage: each for each in stage_times(world.telemetry.registry)}
    assert {"poll", "decode", "features", "learn", "evaluate"} <= set(stages)
    learn = world.metric("streamlearn_stage_seconds_sum", stage="learn")
    assert stages["learn"].seconds == learn > 0
    assert stages["learn"].batches > 0


def test_ready_only_with_an_assignment_and_a_belt_that_moves(tmp_path: Path) -> None:
    world = World(tmp_path, LOGS, until_end=False)
    observer = Observer(world.config, world.belt, world.telemetry)
    assert observer.observe(0.0).unready == ("no partition is assigned",)
    world.steps(30)
    assert observer.observe(100.0).ready
    for reader_log in world.reader.logs.values():
        reader_log.append((None, b"{}", 0))
    world.reader.pause(list(world.reader.logs))
    world.belt.reading.watch_lag(1000.0)
    world.belt.reading.watch_lag(1001.0)
    assert observer.observe(101.0).ready
    reasons = observer.observe(200.0).unready
    assert len(reasons) == len(world.reader.logs)
    assert all("nothing comes from the source" in reason for reason in reasons)
    assert world.metric("streamlearn_partition_stuck", topic="events", partition="0") == 1


@pytest.mark.parametrize("width", [80, 120, 200])
def test_pictures_fit_the_terminal(world: World, width: int) -> None:
    status = Observer(world.config, world.belt, world.telemetry).observe(10.0)
    console = Console(width=width, file=io.StringIO())
    with console.capture() as captured:
        console.print(picture(status, 300, width))
        print_summary(summary(world.config, world.belt, 2.0), console)
    text = captured.get()
    assert "baseline_no_change" in text
    assert "accuracy" in text
    assert "…" not in text
    assert "300 of 300 events" in line(status, 300)
