"""``streamlearn init`` proposes a config that the daemon takes, from a sample of what is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamlearn.commands.init import InitOptions, infer_fields, infer_task, init_stream
from streamlearn.config_file import load
from streamlearn.errors import ConfigError, SourceError


def written(folder: Path, events: list[Any]) -> Path:
    path = folder / "flow.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


def proposed(folder: Path, events: list[Any], label: str = "y") -> dict[str, Any]:
    options = InitOptions(folder / "flow.toml", label, None, written(folder, events), "")
    return init_stream(options)


EVENTS = [
    {"id": n, "at": f"2026-01-01T00:00:{n:02}Z", "a": n / 7, "ok": n % 2 == 0, "c": "xyz"[n % 3], "y": n % 2}
    for n in range(30)
]


def test_the_proposal_is_a_config_that_loads(tmp_path: Path) -> None:
    done = proposed(tmp_path, EVENTS)
    config = load(tmp_path / "flow.toml")
    assert (config.stream.task, config.event.label) == ("binary", "y")
    assert (config.event.id, config.event.time) == ("id", "at")
    assert (config.event.numeric, config.event.categorical) == (("a", "ok"), ("c",))
    assert done["sampled_events"] == 30


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        ([True, False], "binary"),
        ([0, 1], "binary"),
        ([1, 2, 3], "multiclass"),
        (["a", "b"], "multiclass"),
        ([1.5, 2], "regression"),
        (list(range(500)), "regression"),
    ],
)
def test_the_task_follows_from_the_labels(labels: list[Any], task: str, tmp_path: Path) -> None:
    assert infer_task(labels) == task
    proposed(tmp_path, [{"a": n / 3, "y": label} for n, label in enumerate(labels)])
    assert load(tmp_path / "flow.toml").stream.task == task


@pytest.mark.parametrize(
    ("values", "role"),
    [
        ([1, 2.5, None], "numeric"),
        ([True, False, True], "numeric"),
        (["a", "b", "a"], "categorical"),
        (["a", 1, "b"], "ignored"),
        ([[1], [2], [3]], "ignored"),
        ([None, None, None], "ignored"),
        (["p", "q", "r"], "ignored"),
        (["2026-01-01", "2026-01-02", None], "ignored"),
    ],
)
def test_what_a_field_seems_to_be(values: list[Any], role: str) -> None:
    [field] = infer_fields([{"f": value, "y": 1} for value in values], "y")
    assert field.role == role


def test_hostile_names_stay_names(tmp_path: Path) -> None:
    name = 'a"]\nport = 1 # \u2028'
    proposed(tmp_path, [{name: 1.5, "y": True}, {name: 2.5, "y": False}])
    assert load(tmp_path / "flow.toml").event.numeric == (name,)


def test_a_label_that_is_not_there_is_refused_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="late") as raised:
        proposed(tmp_path, EVENTS, label="late")
    assert "a, at, c, id, ok, y" in raised.value.remedy
    assert not (tmp_path / "flow.toml").exists()


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "flow.toml").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        proposed(tmp_path, EVENTS)
    assert (tmp_path / "flow.toml").read_text() == "mine"


def test_no_object_is_no_sample(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="none of 2"):
        proposed(tmp_path, [1, [2]])
