"""The environment variables: read by their names, empty ones not at all, the key never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from streamlearn.environment import Environment


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in Environment.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_nothing_set(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    environment = Environment()
    assert environment.kafka_home is None
    assert environment.streamlearn_bootstrap_servers is None
    assert environment.streamlearn_checkpoint_key is None
    assert environment.cache_folder == Path("/home/somebody/.cache/streamlearn")


def test_variables_are_read_by_name(monkeypatch):
    monkeypatch.setenv("KAFKA_HOME", "/opt/kafka")
    monkeypatch.setenv("STREAMLEARN_BOOTSTRAP_SERVERS", "localhost:9092")
    environment = Environment()
    assert environment.kafka_home == Path("/opt/kafka")
    assert environment.streamlearn_bootstrap_servers == "localhost:9092"


def test_an_empty_variable_is_not_set(monkeypatch):
    for name in Environment.model_fields:
        monkeypatch.setenv(name.upper(), "")
    assert Environment() == Environment.model_construct(
        **{name: field.default for name, field in Environment.model_fields.items()}
    )


def test_the_cache_folder_prefers_our_own_variable(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert Environment().cache_folder == Path("/xdg/streamlearn")
    monkeypatch.setenv("STREAMLEARN_CACHE", "~/jars")
    assert Environment().cache_folder == Path("/home/somebody/jars")


def test_the_key_is_never_shown(monkeypatch):
    monkeypatch.setenv("STREAMLEARN_CHECKPOINT_KEY", "hunter2")
    environment = Environment()
    assert "hunter2" not in repr(environment)
    assert environment.streamlearn_checkpoint_key.get_secret_value() == "hunter2"


def test_every_variable_is_documented_and_fixed():
    assert all(field.description for field in Environment.model_fields.values())
    with pytest.raises(ValidationError):
        Environment().kafka_home = Path("/elsewhere")
