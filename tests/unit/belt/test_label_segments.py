"""What a sealed segment holds: the features of those events that may be learned yet, and of no others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from label_oracle import Row, Rules
from labels_for_tests import Book, batch, config, make

from streamlearn.belt.labels.layout import Layout, SegmentRows, read_segment
from streamlearn.checkpoints.segments import UnsavedSegments
from streamlearn.contracts import Mapped
from streamlearn.errors import CheckpointRefused
from streamlearn.events import Reason

SEGMENT_ROWS = 4
WAIT = 100


class RecordedSegments(UnsavedSegments):
    """Keeps what was sealed, in order."""

    def __init__(self) -> None:
        self.sealed: list[SegmentRows] = []

    def seal(self, name: str, content: bytes | memoryview) -> Mapped:
        content = memoryview(bytes(content))
        self.sealed.append(read_segment(Layout(1, 1, 1, is_regression=False), content))
        return super().seal(name, content)


def rules(**options: Any) -> Rules:
    policy = {"default": None, "on_late_label": "ignore", "learns_corrections": False} | options
    return Rules(wait=WAIT, remember=WAIT, early_wait=0, early_max=0, **policy)


def event(number: int, time: int) -> Row:
    return Row(f"id{number}", time, None, False)


def label(number: int, time: int) -> Row:
    return Row(f"id{number}", time, True, False)


def sealed_of(rows: Sequence[Row], policy: Rules, cut: int = 1000) -> list[list[int]]:
    """Return of each segment which of its events were sealed with their features, by their numbers."""
    segments = RecordedSegments()
    shard = make(config(policy), Book(), segments=segments, segment_rows=SEGMENT_ROWS)
    for start in range(0, len(rows), cut):
        outcomes = shard.advance(batch(rows).slice(start, cut))
        assert all(
            (outcome.events.column("reason").to_numpy() == Reason.ACCEPTED).all() for outcome in outcomes
        )
    kept = []
    for each in segments.sealed:
        assert len(each.ids) == len(each.clocks_us) == SEGMENT_ROWS
        assert len(each.columns["numeric"]) == len(each.columns["said"]) == each.place_N[-1]
        has_columns = np.flatnonzero(np.diff(each.place_N))
        numbers = [int(text.as_py().decode().strip('"')[2:]) for text in each.ids.arrow()]
        kept.append([numbers[at] for at in has_columns])
        assert each.places(has_columns).tolist() == list(range(len(has_columns)))
    return kept


def test_a_segment_of_another_form_is_refused_by_name() -> None:
    batch = pa.RecordBatch.from_pydict({"id": pa.array([b"a"], pa.large_binary()), "clock_us": [1]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(CheckpointRefused, match="older streamlearn"):
        read_segment(Layout(1, 1, 1, is_regression=False), memoryview(sink.getvalue()))


# Three segments of events, and labels of all but 1 and 6 before the second and the third are full.
ROWS = [
    *(event(number, number) for number in range(4)),
    *(label(number, 4) for number in (0, 2, 3)),
    *(event(number, number) for number in range(4, 8)),
    *(label(number, 8) for number in (4, 5, 7)),
    *(event(number, number) for number in range(8, 12)),
    *(label(number, 12) for number in (1, 6)),
]


@pytest.mark.parametrize("cut", [1, 2, 5, 1000])
def test_what_was_learned_is_sealed_without_its_features(cut: int) -> None:
    """A label that comes after its segment was decided finds the features, wherever the batch was cut."""
    assert sealed_of(ROWS, rules(), cut) == [[1], [6]]


@pytest.mark.parametrize("cut", [1, 1000])
def test_where_corrections_are_learned_features_are_kept(cut: int) -> None:
    assert sealed_of(ROWS, rules(learns_corrections=True), cut) == [[0, 1, 2, 3], [4, 5, 6, 7]]


LATER = [
    *(event(number, number) for number in range(4)),
    label(0, 4),
    *(event(number, 2 * WAIT + number) for number in range(4, 8)),
]


@pytest.mark.parametrize(
    ("on_late_label", "default", "expected"),
    [("ignore", None, []), ("ignore", False, []), ("learn", None, [1, 2, 3]), ("correct", False, [1, 2, 3])],
)
def test_expired_events_keep_their_features_where_late_labels_are_learned(
    on_late_label: str, default: bool | None, expected: list[int]
) -> None:
    assert sealed_of(LATER, rules(on_late_label=on_late_label, default=default)) == [expected]
