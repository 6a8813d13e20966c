"""[labels]: what fits together, and what is said where it does not."""

from __future__ import annotations

import pytest

from streamlearn.assemble import learning_config
from streamlearn.config_file import InvalidConfig, parse

TEXT = """
[stream]
name = "flow"
task = "binary"
[source.kafka]
bootstrap_servers = "nowhere:1"
topics = ["flights"]
group_id = "flow"
[event]
id = "flight"
numeric = ["distance"]
[labels]
topic = "arrivals"
id = "flight"
label = "late"
wait = "1d12h"
[[models]]
name = "model"
learner = "river"
pipeline = ["linear_model.LogisticRegression"]
"""


def test_both_topics_are_read_and_only_what_is_learned_by_is_state() -> None:
    config = parse(TEXT, [], {})
    assert config.topics == ("arrivals", "flights")
    assert config.label_topic == "arrivals"
    assert config.labels is not None
    assert (config.labels.wait, config.labels.remember_seconds, config.labels.early_seconds) == (
        129600.0,
    ) * 3
    other = parse(TEXT, ["labels.topic=elsewhere", "labels.pending_bytes_max=2048"], {})
    assert learning_config(other) == learning_config(config)
    assert learning_config(parse(TEXT, ["labels.wait=1h"], {})) != learning_config(config)


@pytest.mark.parametrize(
    ("overrides", "rule"),
    [
        (["labels.wait=soon"], "is no duration"),
        (["event.format=arrow"], "has no [labels] yet"),
        (["labels.wait=0"], "wait must be more than nothing"),
        (["event.label=late"], "two sources of one label"),
        (["stream.task=anomaly"], "no anomaly task"),
        (["labels.topic=flights"], "is a topic of the events"),
        (["labels.on_late_label=correct"], 'on_expiry = "drop" teaches none'),
        (
            ["labels.on_late_label=correct", "labels.on_expiry=1", "stream.task=regression"],
            'is for task "binary"',
        ),
        (["labels.on_expiry=maybe"], "must be true, false, 0, 1"),
        (["labels.paths=['x.jsonl']"], "labels.paths is for [source.files]"),
        (
            ["stream.scope=partition", "source.kafka.topics=['flights', 'trains']"],
            "needs one topic of events",
        ),
        (["event.classes=[false, true]", "labels.on_expiry=0"], "is none of event.classes"),
        (["stream.task=regression", "labels.on_expiry=false"], "is no number"),
    ],
)
def test_what_does_not_fit_is_said(overrides: list[str], rule: str) -> None:
    with pytest.raises(InvalidConfig) as raised:
        parse(TEXT, overrides, {})
    assert rule in str(raised.value)


def test_labels_need_an_id() -> None:
    with pytest.raises(InvalidConfig, match=r"needs event\.id"):
        parse(TEXT.replace('id = "flight"\nnumeric', "numeric"), [], {})
