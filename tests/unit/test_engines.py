"""Each engine goes on from what the other learned, and a notebook from what either did."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from belt_world import CONFIG, World, events
from river import compose

from streamlearn.assemble import make_learner
from streamlearn.commands.export import Wanted, export_river
from streamlearn.config import RiverModel
from streamlearn.config_file import parse
from streamlearn.engines import stream_of, why_not_compiled
from streamlearn.errors import ConfigError

LOGS = events(400, partitions=2, seed=2)
TREE = CONFIG.replace('"linear_model.LogisticRegression"]', '"tree.HoeffdingTreeClassifier"]')


def of_engine(engine: str) -> str:
    return CONFIG.replace('learner = "river"\n', f'learner = "river"\nengine = "{engine}"\n')


@pytest.mark.parametrize(("first", "second"), [("river", "compiled"), ("compiled", "river")])
def test_one_engine_goes_on_where_the_other_stopped(tmp_path: Path, first: str, second: str) -> None:
    straight = World(tmp_path / "straight", LOGS, text=of_engine(first)).run()
    small: dict[str, Any] = {"overrides": ["stream.micro_batch_events=20"], "poll_events": 20}
    World(tmp_path / "changed", LOGS, text=of_engine(first), **small).run(stop_after=150)
    changed = World(tmp_path / "changed", LOGS, text=of_engine(second)).run()
    assert len(changed.predictions.records) > 100
    said = straight.predictions.records[-100:]
    again = changed.predictions.records[-100:]
    assert [(r["offset"], r["version"], r["prediction"]) for _, r in again] == [
        (r["offset"], r["version"], r["prediction"]) for _, r in said
    ]
    for (_, one), (_, other) in zip(again, said, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-9)


@pytest.mark.parametrize("engine", ["river", "compiled"])
def test_a_model_leaves_a_checkpoint_as_a_working_river_object(tmp_path: Path, engine: str) -> None:
    """It says of the next events, learning on, what the daemon says of them."""
    fed = {}
    for partition, log in LOGS.items():
        for offset, (key, value, time) in enumerate(log):
            event = json.loads(value or b"")
            event["b"] = (
                event["b"] or 0.0
            )  # a missing one is filled in by the stream's mean, not by the model
            fed[partition, offset] = event
            log[offset] = (key, json.dumps(event).encode(), time)
    small: dict[str, Any] = {"overrides": ["stream.micro_batch_events=20"], "poll_events": 20}
    World(tmp_path / "run", LOGS, text=of_engine(engine), **small).run(stop_after=200)
    exported = export_river(str(tmp_path / "run"), Wanted(), tmp_path / "model.pickle")
    model = pickle.loads((tmp_path / "model.pickle").read_bytes())
    assert isinstance(model, compose.Pipeline)
    assert (exported["model"], exported["shard"]) == ("logistic", "flow")
    rest = World(tmp_path / "run", LOGS, text=of_engine(engine), **small).run()
    assert len(rest.predictions.records) > 100
    for _, record in rest.predictions.records:
        event = fed[record["partition"], record["offset"]]
        features = {"a": event["a"], "b": event["b"]}
        share = model.predict_proba_one(features)[True]
        assert record["probabilities"]["true"] == pytest.approx(share, abs=1e-9)
        if event["y"] is not None:
            model.learn_one(features, event["y"])


def test_what_cannot_be_compiled_says_why() -> None:
    config = parse(TREE, [], {})
    [model] = config.models
    assert isinstance(model, RiverModel)
    why = why_not_compiled(model, stream_of(config))
    assert why is not None
    assert "HoeffdingTreeClassifier" in why
    assert make_learner(model, config).engine == "river"
    forced = model.model_copy(update={"engine": "compiled"})
    with pytest.raises(ConfigError, match="cannot be compiled"):
        make_learner(forced, config)
    assert why_not_compiled(config.models[0].model_copy(update={"engine": "river"}), stream_of(config)) == (
        'engine = "river"'
    )


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    World(tmp_path, LOGS).run(stop_after=50)
    with pytest.raises(ConfigError, match="there is no River model 'other'") as caught:
        export_river(str(tmp_path), Wanted(model="other"), tmp_path / "model.pickle")
    assert "logistic" in caught.value.remedy
