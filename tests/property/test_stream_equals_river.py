"""In stream scope over several partitions, the belt says what a River loop over the sorted events says."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from belt_world import CONFIG, World, events
from hypothesis import given, settings
from hypothesis import strategies as st
from river_loop import river_loop, sorted_by_time


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    count=st.integers(1, 150),
    poll_events=st.sampled_from([1, 7, 500]),
    rows_each=st.integers(1, 9),
)
def test_the_belt_equals_a_river_loop(seed: int, count: int, poll_events: int, rows_each: int) -> None:
    logs = events(count, partitions=4, seed=seed)
    with TemporaryDirectory() as folder:
        world = World(Path(folder), logs, text=CONFIG, poll_events=poll_events, rows_each=rows_each).run()
    said, scores, learned = river_loop(logs)
    records = [record for _key, record in world.predictions.records]
    order = [(partition, offset) for partition, offset, _event in sorted_by_time(logs)]
    assert [(r["partition"], r["offset"]) for r in records] == order
    for record in records:
        expected = said[record["partition"], record["offset"]]
        assert record["probabilities"]["true"] == pytest.approx(expected[True], abs=1e-9)
        assert record["prediction"] == max(expected, key=expected.get)
    shard = world.belt.lanes["flow"].shard
    assert shard.events_learned == learned
    got = shard.parts.judges["logistic"].metrics("cumulative")
    for name, value in got.items():
        if name in scores:
            assert value == pytest.approx(scores[name], abs=1e-9), name


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    poll_events=st.integers(1, 300),
    rows_each=st.integers(1, 50),
    micro_batch_events=st.integers(1, 300),
    stops=st.lists(st.integers(1, 60), max_size=3),
    scope=st.sampled_from(["stream", "partition"]),
)
def test_replay_equals_run(
    seed: int, poll_events: int, rows_each: int, micro_batch_events: int, stops: list[int], scope: str
) -> None:
    logs = events(120, partitions=3, seed=seed, bad_every=17)
    scoped = [f"stream.scope={scope}"]
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        whole = World(Path(one), logs, overrides=scoped).run()
        cut = {
            "overrides": [*scoped, f"stream.micro_batch_events={micro_batch_events}"],
            "poll_events": poll_events,
            "rows_each": rows_each,
        }
        for stop in stops:
            World(Path(other), logs, **cut).run(stop_after=stop)
        world = World(Path(other), logs, **cut).run()
        assert world.digests() == whole.digests()
