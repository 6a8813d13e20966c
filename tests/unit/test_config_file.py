"""A config is read whole, or every error in it is told at once with path, value, rule and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamlearn.config import Config, RiverModel, TorchModel
from streamlearn.config_file import InvalidConfig, load, parse
from streamlearn.errors import ConfigError

# As a user writes it: the example of the design, word for word.
AS_WRITTEN = """
[stream]
name = "flights"
task = "binary"                 # binary | multiclass | regression | anomaly

[source.kafka]
bootstrap_servers = "localhost:9092"
topics = ["flights"]
group_id = "flights-learner"

[event]
format = "json"
label = "late"
time = "scheduled_at"
numeric = ["distance", "dep_delay", "hour"]
categorical = ["carrier", "origin", "dest"]

[[models]]
name = "logistic"
learner = "river"
pipeline = ["preprocessing.StandardScaler", { use = "linear_model.LogisticRegression", l2 = 1e-4 }]

[[models]]
name = "mlp"
learner = "torch"
hidden = [128, 64]
batch_events = 512

[predictions]
topic = "flights-predictions"
delivery = "exactly_once"       # exactly_once | at_least_once

[dead_letters]
topic = "flights-dead-letters"  # or path = "dead-letters.jsonl"

[checkpoint]
path = "checkpoints"
every_seconds = 30              # and every_events
keep = 5

[http]
host = "127.0.0.1"
port = 9464
"""


def problems(text: str, **environment: str) -> dict[str, tuple[str, str, str]]:
    with pytest.raises(InvalidConfig) as raised:
        parse(text, environment=environment)
    return {each.path: (each.value, each.rule, each.remedy) for each in raised.value.problems}


def changed(old: str, new: str) -> str:
    assert old in AS_WRITTEN
    return AS_WRITTEN.replace(old, new)


def test_the_example_of_the_design_is_a_config() -> None:
    config = parse(AS_WRITTEN)
    assert config.stream.scope == "stream"
    assert [type(model) for model in config.models] == [RiverModel, TorchModel]
    assert config.source.kafka is not None
    assert config.source.kafka.start == "earliest"


def test_the_tree_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse(AS_WRITTEN).stream.name = "other"  # type: ignore[misc]


def test_all_problems_at_once() -> None:
    text = changed('task = "binary" ', 'task = "binry" ').replace("keep = 5", "keep = 1\nevry_events = 7")
    text = text.replace("hidden = [128, 64]", "hiden = [128, 64]").replace('group_id = "flights-learner"', "")
    found = problems(text)
    assert set(found) == {
        "stream.task",
        "source.kafka.group_id",
        "models.mlp.hiden",
        "checkpoint.keep",
        "checkpoint.evry_events",
    }
    assert found["stream.task"][::2] == ("'binry'", "did you mean 'binary'?")
    assert found["source.kafka.group_id"][1] == "is needed and not there"
    assert found["models.mlp.hiden"] == (
        "[128, 64]",
        "is no option of [models.mlp]",
        "did you mean 'hidden'?",
    )
    assert found["checkpoint.keep"][:2] == ("1", "Input should be greater than or equal to 2")
    assert found["checkpoint.evry_events"][2] == "did you mean 'every_events'?"


@pytest.mark.parametrize(
    ("old", "new", "path", "says"),
    [
        ('learner = "torch"', 'learner = "touch"', "models.mlp", "torch"),
        ('learner = "torch"', "", "models.mlp", "learner"),
        ('name = "mlp"', 'name = "logistic"', "", "two models"),
        ('name = "mlp"', 'name = "baseline_majority"', "", "taken by the baselines"),
        ('label = "late"', "", "", "event.label is needed"),
        ('"hour"]', '"hour", "late"]', "event", "named both"),
        ('"hour"]', '"hour", "hour"]', "event", "named twice"),
        ('topics = ["flights"]', 'topics = ["flights", "flights"]', "source.kafka.topics", "twice"),
        ('topics = ["flights"]', 'topics = ["fli*"]', "source.kafka.topics", "no topic name"),
        ("[source.kafka]", "[source.files]\npaths=['a']\n[source.kafka]", "source", "exactly one source"),
        ('task = "binary" ', 'task = "anomaly" ', "", "torch learner has no anomaly"),
        (
            'group_id = "flights-learner"',
            'group_id = "g"\nproperties = { "enable.auto.commit" = true }',
            "source.kafka.properties",
            "publish_before_commit",
        ),
    ],
)
def test_each_rule_has_its_words(old: str, new: str, path: str, says: str) -> None:
    found = problems(changed(old, new))
    assert path in found
    assert says in " ".join(found[path])


def test_no_toml_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="line 2"):
        parse("[stream]\nname = \n")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.toml")


def test_secrets_come_from_the_environment_and_are_never_shown() -> None:
    text = changed(
        'group_id = "flights-learner"',
        'group_id = "g"\nproperties = { "sasl.password" = "${PASSWORD}", "sasl.username" = "${USER_NAME}" }',
    )
    config = parse(text, environment={"PASSWORD": "hunter2", "USER_NAME": "ann"})
    assert config.source.kafka is not None
    assert config.source.kafka.plain_properties() == {"sasl.password": "hunter2", "sasl.username": "ann"}
    assert "hunter2" not in repr(config)
    assert "hunter2" not in str(config.model_dump(mode="json"))
    found = problems(text, USER_NAME="ann")
    assert found["source.kafka.properties.sasl.password"][1] == "the environment has no PASSWORD"


def test_a_secret_in_a_wrong_place_is_not_shown_either() -> None:
    with pytest.raises(InvalidConfig) as raised:
        parse(changed("port = 9464", 'port = "${PASSWORD}"'), environment={"PASSWORD": "hunter2"})
    assert "hunter2" not in str(raised.value)
    assert "${PASSWORD}" in str(raised.value)


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("http.port=0", lambda c: c.http.port == 0),
        ("stream.name=other", lambda c: c.stream.name == "other"),
        ("models.mlp.hidden=[8]", lambda c: c.models[1].hidden == (8,)),
        (
            "models.0.pipeline=['linear_model.Perceptron']",
            lambda c: c.models[0].pipeline == ("linear_model.Perceptron",),
        ),
        ("drift.detectors=[]", lambda c: c.drift.detectors == ()),
        ("source.kafka.start=2026-01-31T00:00:00Z", lambda c: c.source.kafka.start.year == 2026),
    ],
)
def test_set_overrides(override: str, read: object) -> None:
    config: Config = parse(AS_WRITTEN, [override])
    assert read(config)  # type: ignore[operator]


@pytest.mark.parametrize("override", ["http.port", "=3", "http.port.deep=3", "models.nobody.hidden=[1]"])
def test_a_wrong_override_is_told(override: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        parse(AS_WRITTEN, [override])
