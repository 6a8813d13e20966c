"""A shard whose input is bad stops at the same event, wherever the batches are cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlearn.belt.bad_input import InputWatch
from streamlearn.checkpoints.digest import part_digest
from streamlearn.errors import TooManyRejected
from streamlearn.events import Reason

GOOD, TYPE, TIME = Reason.ACCEPTED, Reason.WRONG_TYPE, Reason.BAD_TIME


def batch(reasons: Sequence[int], first: int = 0) -> pa.RecordBatch:
    details = [
        None if reason == GOOD else f"field of event {first + row}" for row, reason in enumerate(reasons)
    ]
    return pa.record_batch(
        {
            "partition": pa.array([3] * len(reasons), pa.int32()),
            "offset": pa.array(range(first, first + len(reasons)), pa.int64()),
            "reason": pa.array(reasons, pa.uint8()),
            "detail": pa.array(details, pa.large_string()),
        }
    )


def test_it_stops_once_more_than_the_share_is_rejected() -> None:
    watch = InputWatch(0.5, window_events=10)
    watch.note(batch([GOOD, TYPE] * 5))
    watch.note(batch([GOOD, TYPE] * 20, first=10))
    with pytest.raises(TooManyRejected) as raised:
        watch.note(batch([TYPE, TYPE, TIME], first=50))
    assert raised.value.what == (
        "60.0% of the last 10 events were rejected, more than stream.rejected_ratio_max = 0.5: wrong_type 60.0%; "
        "such as partition 3 offset 51: field of event 51"
    )
    assert "dead letters" in raised.value.remedy


def test_it_tells_the_commonest_reasons() -> None:
    watch = InputWatch(0.1, window_events=10)
    with pytest.raises(
        TooManyRejected, match=r"bad_time 50.0%, wrong_type 30.0%, tombstone 10.0%; such as .* offset 9"
    ):
        watch.note(batch([TYPE] * 3 + [Reason.EMPTY, Reason.TOMBSTONE] + [TIME] * 5))


def test_a_model_that_takes_nothing_is_told_from_bad_input() -> None:
    with pytest.raises(TooManyRejected) as raised:
        InputWatch(0.5, window_events=10).note(batch([Reason.NON_FINITE_LEARNING] * 10))
    assert "learning rate" in raised.value.remedy


def test_nothing_stops_before_the_window_is_full_or_where_every_share_is_allowed() -> None:
    InputWatch(0.5, window_events=10).note(batch([TYPE] * 9))
    for size in (1, 7, 100):
        InputWatch(1.0, window_events=10).note(batch([TYPE] * size))


def test_a_window_that_an_accepted_event_fills_stops_too() -> None:
    watch = InputWatch(0.1, window_events=3)
    watch.note(batch([GOOD, TYPE]))
    with pytest.raises(TooManyRejected, match="see the dead letters"):
        watch.note(batch([GOOD], 2))


@given(
    reasons=st.lists(st.sampled_from([GOOD, GOOD, TYPE, TIME]), max_size=60),
    sizes=st.lists(st.integers(1, 30), min_size=1),
    ratio=st.sampled_from([0.1, 0.45, 0.5, 0.9, 1.0]),
    window_events=st.integers(1, 20),
)
def test_replay_equals_run(reasons: list[int], sizes: list[int], ratio: float, window_events: int) -> None:
    rejected_B = np.array(reasons) != GOOD
    expected = None
    for stop in range(window_events, len(reasons) + 1):
        if rejected_B[stop - window_events : stop].sum() / window_events > ratio + 1e-12:
            expected = stop
            break
    watch, start, turn, stopped_within = InputWatch(ratio, window_events), 0, 0, None
    while start < len(reasons) and stopped_within is None:
        piece = reasons[start : start + sizes[turn % len(sizes)]]
        try:
            watch.note(batch(piece, start))
        except TooManyRejected:
            stopped_within = (start, start + len(piece))
        start, turn = start + len(piece), turn + 1
        again = InputWatch(ratio, window_events)
        again.restore(watch.snapshot())
        assert part_digest(again.snapshot()) == part_digest(watch.snapshot())
        watch = again
    assert (expected is None) == (stopped_within is None)
    if expected is not None and stopped_within is not None:
        assert stopped_within[0] < expected <= stopped_within[1]
