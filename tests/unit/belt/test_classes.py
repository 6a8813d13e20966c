"""A class keeps its index for the life of the shard, and labels go out as they came in."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from streamlearn.belt.classes import ClassIndex
from streamlearn.config import Event
from streamlearn.events import TOO_MANY


def index(task: str, **event: object) -> ClassIndex:
    return ClassIndex(Event(label="y", numeric=("x",), **event), task)


def test_binary_knows_both_classes_from_the_start() -> None:
    binary = index("binary")
    assert binary.classes == (False, True)
    assert binary.encode(["true", None, "false"]).tolist() == [1, -1, 0]
    assert binary.tokens == ("false", "true")


def test_labels_that_come_as_numbers_go_out_as_numbers() -> None:
    binary = index("binary")
    assert binary.encode(["1", "0"]).tolist() == [1, 0]
    assert binary.tokens == ("0", "1")
    assert binary.encode(["true"]).tolist() == [1]  # the first form stands, the other is the same class
    assert binary.tokens == ("0", "1")


def test_declared_classes_have_the_order_of_the_config() -> None:
    assert index("binary", classes=("no", "yes")).encode(['"yes"', '"no"']).tolist() == [1, 0]


def test_open_classes_are_append_only_and_bounded() -> None:
    many = index("multiclass", classes_max=2)
    assert many.encode(['"b"', '"a"', '"b"']).tolist() == [0, 1, 0]
    assert many.encode(['"c"', '"a"']).tolist() == [TOO_MANY, 1]
    assert many.classes == ("b", "a")


def test_text_and_number_are_different_classes() -> None:
    assert index("multiclass").encode(['"1"', "1"]).tolist() == [0, 1]


@pytest.mark.parametrize("known", [2, 3, 8, 9, 40])
def test_known_tokens_of_any_number_and_length_are_found_wherever_they_lie(known: int) -> None:
    draw = random.Random(known)
    tokens = [f'"{"x" * (number % 9)}{number}"' for number in range(known)]
    many = index("multiclass")
    assert many.encode(tokens).tolist() == list(range(known))
    drawn = [draw.randrange(known) for _ in range(500)]
    labels = pa.array([tokens[number] for number in drawn], pa.large_string())
    for start, stop in ((0, 500), (3, 500), (7, 8), (5, 5)):
        assert many.encode(labels[start:stop]).tolist() == drawn[start:stop]
    with_new = pa.concat_arrays([labels, pa.array(['"new"', None], pa.large_string())])
    assert many.encode(with_new).tolist() == [*drawn, known, -1]


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_snapshot_carries_the_classes(task: str) -> None:
    first = index(task)
    first.encode(["1", "0"])
    second = index(task)
    second.restore(first.snapshot())
    assert second.classes == first.classes
    assert second.encode(["0", "1"]).tolist() == first.encode(["0", "1"]).tolist()
    assert second.tokens == first.tokens
