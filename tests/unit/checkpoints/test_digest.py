"""What the digest of a shard's state is of."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from river import linear_model, preprocessing, tree

from streamlearn.checkpoints.digest import part_digest, state_digest
from streamlearn.checkpoints.format import decode, encode
from streamlearn.contracts import ModelEntry, ShardState, Snapshot
from streamlearn.errors import CheckpointRefused
from streamlearn.events import TopicPartition


class Mine:
    def __init__(self) -> None:
        self.weight = 0.5


def pipeline() -> Any:
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    for index in range(20):
        model.learn_one({"distance": float(index % 7)}, index % 2 == 0)
    return model


def state(**changes: Any) -> ShardState:
    whole = ShardState(
        stream="flights",
        shard="flights",
        sequence=3,
        next_offsets={TopicPartition("flights", 1): 5, TopicPartition("flights", 0): 4},
        events_learned=8,
        events_rejected=1,
        counters={"events_unlabelled": 2},
        models=(ModelEntry("logistic", 8, 8),),
        parts={
            "model/logistic": Snapshot(data={"events_learned": 8}, pickled=pickle.dumps(pipeline())),
            "features": Snapshot(data={"mean": 0.5}, arrays={"counts": np.array([1, 2])}),
        },
        config={"seed": 1},
        source={"cluster_id": "a"},
    )
    return replace(whole, **changes)


LEARNED: list[Mapping[str, Any]] = [
    {"next_offsets": {TopicPartition("flights", 1): 6, TopicPartition("flights", 0): 4}},
    {"next_offsets": {TopicPartition("flights", 0): 4}},
    {"events_learned": 9},
    {"events_rejected": 2},
    {"counters": {"events_unlabelled": 3}},
    {"counters": {}},
    {"models": (ModelEntry("logistic", 7, 8),)},
    {"models": ()},
    {"parts": {}},
    {
        "parts": state().parts
        | {"features": Snapshot(data={"mean": 0.25}, arrays={"counts": np.array([1, 2])})}
    },
    {
        "parts": state().parts
        | {"features": Snapshot(data={"mean": 0.5}, arrays={"counts": np.array([1, 3])})}
    },
    {
        "parts": state().parts
        | {"features": Snapshot(data={"mean": 0.5}, arrays={"counts": np.array([1.0, 2])})}
    },
    {"parts": state().parts | {"features": Snapshot(data={"mean": 0.5}, arrays={"sums": np.array([1, 2])})}},
    {"parts": state().parts | {"model/logistic": Snapshot(data={"events_learned": 8})}},
]
NOT_LEARNED: list[Mapping[str, Any]] = [
    {"sequence": 4},
    {"source": {"cluster_id": "b"}},
    {"stream": "another name"},
    {"next_offsets": {TopicPartition("flights", 0): 4, TopicPartition("flights", 1): 5}},
    {"parts": dict(reversed(state().parts.items()))},
]


@pytest.mark.parametrize("changes", LEARNED, ids=lambda changes: repr(changes)[:60])
def test_whatever_was_learned_is_in_the_digest(changes: Mapping[str, Any]) -> None:
    assert state_digest(state(**changes)) != state_digest(state())


@pytest.mark.parametrize("changes", NOT_LEARNED, ids=lambda changes: repr(changes)[:60])
def test_nothing_else_is(changes: Mapping[str, Any]) -> None:
    assert state_digest(state(**changes)) == state_digest(state())


def test_a_written_and_read_state_has_the_same_digest() -> None:
    assert state_digest(decode(b"".join(encode(state())))) == state_digest(state())


def test_the_bytes_of_a_pickle_do_not_count_but_what_they_describe() -> None:
    one = pickle.dumps(pipeline(), protocol=4)
    other = pickle.dumps(pickle.loads(pickle.dumps(pipeline(), protocol=5)), protocol=5)
    assert one != other
    assert part_digest(Snapshot(pickled=one)) == part_digest(Snapshot(pickled=other))


def test_trees_that_learned_the_same_have_the_same_digest() -> None:
    """Their leaves hold generators that the operating system seeded."""

    def grown() -> bytes:
        model = tree.HoeffdingTreeClassifier(grace_period=20)
        for index in range(200):
            model.learn_one({"a": float(index % 13), "b": float(index % 5)}, index % 13 > 6)
        assert model.n_leaves > 1
        return pickle.dumps(model)

    assert part_digest(Snapshot(pickled=grown())) == part_digest(Snapshot(pickled=grown()))


def test_classes_of_the_user_are_digested_where_the_config_admits_them() -> None:
    parts = {"model/mine": Snapshot(pickled=pickle.dumps(Mine()))}
    config = {"models": [{"name": "mine", "admit": [f"{Mine.__module__}:Mine"]}]}
    with pytest.raises(CheckpointRefused, match="Mine"):
        state_digest(state(parts=parts))
    assert len(state_digest(state(parts=parts, config=config))) == 64
