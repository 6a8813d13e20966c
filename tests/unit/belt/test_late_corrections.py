"""on_late_label = "correct" in expectation: clicks of which most come after the wait, on a stream whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from numbers_for_tests import together

from streamlearn.assemble import shard_factory
from streamlearn.belt.labels.shard import JoiningShard
from streamlearn.checkpoints.digest import state_digest
from streamlearn.checkpoints.format import decode, encode
from streamlearn.config_file import parse
from streamlearn.events import Float_B, TopicPartition, event_schema

EVENTS = 12_000
LAST = 4_000  # of them, by which models are compared
CLICKED, SHOWN = 0, 1  # topics, sorted
SECOND_US = 1_000_000
WAIT_SECONDS = 200
TEXT = """
[stream]
name = "clicks"
task = "binary"
[source.kafka]
bootstrap_servers = "nowhere:1"
topics = ["shown"]
group_id = "clicks"
[event]
id = "id"
numeric = ["a"]
[labels]
topic = "clicked"
id = "of"
label = "y"
wait = 200
remember = 20000
on_expiry = false
[[models]]
name = "model"
learner = "river"
"""
LOGISTIC = """pipeline = [{ use = "linear_model.LogisticRegression", optimizer = { use = "optim.SGD", lr = 0.02 }, intercept_lr = 0.02 }]
"""
TREE = """pipeline = [{ use = "tree.HoeffdingTreeClassifier", grace_period = 500, leaf_prediction = "mc" }]
"""


def stream(seed: int) -> tuple[pa.RecordBatch, Float_B]:
    """Return events and clicks in time order, and each event's chance of a click. No click is never told."""
    chance = np.random.default_rng(seed)
    a_B = chance.choice([-1.5, -0.5, 0.5, 1.5], EVENTS)
    p_B = 1 / (1 + np.exp(-(1.2 * a_B - 0.5)))
    clicks_B = chance.random(EVENTS) < p_B
    is_late_B = chance.random(EVENTS) < 0.7
    delay_B = np.where(is_late_B, chance.integers(210, 1000, EVENTS), chance.integers(1, 190, EVENTS))
    shown_us = np.arange(EVENTS) * SECOND_US
    clicked = np.flatnonzero(clicks_B)
    clicked = clicked[np.argsort(shown_us[clicked] + delay_B[clicked] * SECOND_US, kind="stable")]
    time_us = np.concatenate((shown_us, shown_us[clicked] + delay_B[clicked] * SECOND_US))
    topic = np.concatenate((np.full(EVENTS, SHOWN), np.full(len(clicked), CLICKED)))
    rows = np.concatenate((np.arange(EVENTS), clicked))
    order = np.argsort(time_us, kind="stable")
    columns = {
        "topic": topic,
        "partition": np.zeros(len(topic), int),
        "offset": np.concatenate((np.arange(EVENTS), np.arange(len(clicked)))),
        "timestamp_ms": np.zeros(len(topic), int),
        "time_us": time_us,
        "reason": np.zeros(len(topic), int),
    }
    schema = event_schema(("a",), (), real_label=False)
    arrays = []
    a_J = np.concatenate((a_B, np.full(len(clicked), np.nan)))
    for field in schema:
        if field.name == "numeric":
            arrays.append(together([a_J[order].tolist()]))
        elif field.name in columns:
            arrays.append(pa.array(columns[field.name][order], field.type))
        elif field.name == "id":
            arrays.append(pa.array([str(row) for row in rows[order].tolist()], field.type))
        elif field.name == "label":
            arrays.append(
                pa.array([None if each == SHOWN else "true" for each in topic[order].tolist()], field.type)
            )
        else:
            arrays.append(pa.nulls(len(topic), field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema), p_B


ROWS, TRUTH = stream(5)


def shard_of(model: str, on_late_label: str) -> JoiningShard:
    config = parse(TEXT + model, [f"labels.on_late_label={on_late_label}"], {})
    partitions = {TopicPartition("clicked", 0): 0, TopicPartition("shown", 0): 0}
    shard = shard_factory(config)("clicks", partitions)
    assert isinstance(shard, JoiningShard)
    return shard


def said(shard: JoiningShard, starts: Sequence[int] = (0,)) -> Float_B:
    """Return what was said of each event, the rows cut at these places and the state saved there and restored."""
    shares = []
    for start, stop in zip(starts, [*starts[1:], ROWS.num_rows], strict=True):
        if start:
            shard.restore(decode(b"".join(encode(shard.snapshot({})))))
        for outcome in shard.advance(ROWS.slice(start, stop - start)):
            share_BC = outcome.predictions["model"].probability_BC
            assert share_BC is not None
            shares.append(share_BC[:, 1])
    together: Float_B = np.concatenate(shares)
    return together


@pytest.mark.parametrize(
    "model", [LOGISTIC, LOGISTIC + 'engine = "river"\n', TREE], ids=["compiled", "river", "tree"]
)
def test_corrected_shares_are_the_true_ones_and_those_of_ignore_and_learn_are_not(model: str) -> None:
    off = {}
    for on_late_label in ("ignore", "learn", "correct"):
        shares = said(shard_of(model, on_late_label))[-LAST:]
        off[on_late_label] = float(np.mean(np.abs(np.nan_to_num(shares) - TRUTH[-LAST:])))
    # By the sums of docs/labels.md, over these events: 0.28 of p is left of it, or p / (1 + 0.7 p).
    assert off["ignore"] > 0.2
    assert off["learn"] > 0.08
    assert off["correct"] < 0.035, off


def test_replay_equals_run_with_corrections() -> None:
    whole, parts = shard_of(LOGISTIC, "correct"), shard_of(LOGISTIC, "correct")
    shares = said(whole)
    np.testing.assert_array_equal(said(parts, [0, 1, 777, 5000, 5003]), shares)
    assert whole.counters["labels_late_corrected"] > 1000
    assert state_digest(parts.snapshot({})) == state_digest(whole.snapshot({}))
