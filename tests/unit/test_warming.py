"""What is compiled before the first event: with every form of predictions, and wherever labels come from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from belt_world import CONFIG, DELAYED

from streamlearn.assemble import make_decoder, shard_factory
from streamlearn.belt.emit import prediction_records
from streamlearn.config_file import parse
from streamlearn.telemetry import Telemetry
from streamlearn.warming import _made_up, warm_up

# A model that warming up leaves out: its kernels are none of ours.
BAYES = """
[[models]]
name = "bayes"
learner = "river"
engine = "river"
pipeline = [{ use = "compose.Select", keys = ["a", "b"] }, "naive_bayes.GaussianNB"]
"""


@pytest.mark.parametrize("form", ["json", "arrow"])
@pytest.mark.parametrize("labels", ["none", "labels-after", "before-events"])
def test_made_up_events_go_the_whole_way(labels: str, form: str) -> None:
    text = (
        CONFIG + BAYES
        if labels == "none"
        else DELAYED.replace('topic = "labels"', f'topic = "{labels}"') + BAYES
    )
    config = parse(text, [f'predictions.format="{form}"'], {})
    assert labels == "none" or config.topics.index(labels) == (labels == "labels-after")
    warm_up(config, make_decoder(config), shard_factory(config)("probe", {}), Telemetry())


def test_records_are_not_written_of_what_does_not_fit_together() -> None:
    config = parse(DELAYED.replace('topic = "labels"', 'topic = "before-events"'), [], {})
    (outcome,) = shard_factory(config)("probe", {}).advance(make_decoder(config).decode(_made_up(config)))
    with pytest.raises(AssertionError):
        list(prediction_records(outcome, "flow", ("one",)))
    said = outcome.predictions["logistic"]
    fewer = replace(outcome, predictions={"logistic": said.rows(slice(1, None))})
    with pytest.raises(AssertionError):
        list(prediction_records(fewer, "flow", config.topics))
