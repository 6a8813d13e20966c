"""Pinned jars: nothing unverified leaves, and what is wrong is named."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from streamlearn.connectors.kafka_jars import Jar, JarList, class_path
from streamlearn.errors import LocalBrokerError

CONTENT = {"kafka-clients": b"clients", "kafka_2.13": b"core", "zstd-jni": b"compression"}
JARS = JarList(
    tuple(
        Jar("org.example", artifact, "1.0", hashlib.sha256(content).hexdigest())
        for artifact, content in CONTENT.items()
    )
)


class Repository:
    """Stands in for jgo: serves contents by artifact; an exception in place of one is raised."""

    def __init__(self, contents):
        self.contents = dict(contents)
        self.asked = []

    def context(self, *, repo_cache, **_rest):
        return SimpleNamespace(project=lambda group, artifact: self._project(repo_cache, artifact))

    def _project(self, repo_cache, artifact):
        resolved = SimpleNamespace(resolve=lambda: self._resolve(repo_cache, artifact))
        return SimpleNamespace(at_version=lambda _version: SimpleNamespace(artifact=lambda: resolved))

    def _resolve(self, repo_cache, artifact):
        self.asked.append(artifact)
        content = self.contents[artifact]
        if isinstance(content, Exception):
            raise content
        path = repo_cache / artifact
        path.write_bytes(content)
        return path


@pytest.fixture
def repository(monkeypatch):
    served = Repository(CONTENT)
    module = SimpleNamespace(MavenContext=served.context, PythonResolver=lambda: None)
    monkeypatch.setitem(sys.modules, "jgo", SimpleNamespace(maven=module))
    monkeypatch.setitem(sys.modules, "jgo.maven", module)
    return served


def provide(cache: Path, lines: list[str] | None = None) -> tuple[Path, ...]:
    return class_path(cache, jars=JARS, report=(lines if lines is not None else []).append)


def test_the_pinned_list_is_one_kafka():
    pins = JarList.pinned()
    kafkas = {jar.version for jar in pins.jars if jar.group == "org.apache.kafka"}
    assert kafkas == {pins.kafka_version}
    assert {"kafka_2.13", "kafka-clients", "log4j-slf4j-impl"} <= {jar.artifact for jar in pins.jars}
    assert all(set(jar.sha256) <= set("0123456789abcdef") for jar in pins.jars)
    assert [jar.coordinate for jar in pins.jars] == sorted(jar.coordinate for jar in pins.jars)


def test_the_first_time_downloads_all_and_the_second_nothing(repository, tmp_path):
    lines: list[str] = []
    paths = provide(tmp_path, lines)
    assert [path.read_bytes() for path in paths] == list(CONTENT.values())
    assert sorted(repository.asked) == sorted(CONTENT)
    assert len(lines) == 1
    assert "3 jars" in lines[0]
    assert provide(tmp_path, lines) == paths
    assert len(repository.asked) == len(CONTENT)
    assert len(lines) == 1
    assert [each.name for each in tmp_path.iterdir()] == [JARS.folder_name()]  # no download left behind


def test_only_what_is_missing_is_downloaded(repository, tmp_path):
    paths = provide(tmp_path)
    paths[1].unlink()
    repository.asked.clear()
    assert provide(tmp_path) == paths
    assert repository.asked == ["kafka_2.13"]


def test_other_bytes_than_the_pinned_ones_are_refused_and_not_kept(repository, tmp_path):
    repository.contents["zstd-jni"] = b"something else"
    with pytest.raises(LocalBrokerError, match=r"org\.example:zstd-jni:1\.0 came with other bytes"):
        provide(tmp_path)
    kept = sorted(path.name for path in tmp_path.rglob("*.jar"))
    assert kept == ["kafka-clients-1.0.jar", "kafka_2.13-1.0.jar"]


def test_a_failed_download_keeps_what_came_and_goes_on_from_there(repository, tmp_path):
    repository.contents["kafka_2.13"] = ConnectionError("no route to host")
    with pytest.raises(LocalBrokerError, match=r"1 of 3 jars .* no route to host") as caught:
        provide(tmp_path)
    assert "try again" in caught.value.remedy
    repository.contents["kafka_2.13"] = CONTENT["kafka_2.13"]
    repository.asked.clear()
    provide(tmp_path)
    assert repository.asked == ["kafka_2.13"]


def test_without_jgo_the_remedy_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jgo", None)
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    with pytest.raises(LocalBrokerError, match="jgo") as caught:
        provide(tmp_path)
    assert caught.value.remedy == "pip install 'streamlearn[broker]'"


def test_a_changed_jar_is_refused_by_name_also_after_it_was_verified(repository, tmp_path):
    paths = provide(tmp_path)
    paths[0].write_bytes(b"changed")
    with pytest.raises(LocalBrokerError, match=r"not the pinned ones: kafka-clients-1\.0\.jar") as caught:
        provide(tmp_path)
    assert str(paths[0].parent) in caught.value.remedy
    with pytest.raises(LocalBrokerError):  # and again: the refusal was not remembered as a success
        provide(tmp_path)


def test_an_unknown_jar_is_refused_by_name(repository, tmp_path):
    folder = provide(tmp_path)[0].parent
    (folder / "surprise-2.0.jar").write_bytes(b"?")
    with pytest.raises(LocalBrokerError, match=r"nobody pinned: surprise-2\.0\.jar"):
        provide(tmp_path)


def test_a_touched_jar_is_read_again_and_an_untouched_one_is_not(repository, tmp_path):
    path = provide(tmp_path)[0]
    before = path.stat()
    path.write_bytes(b"CLIENTS")  # as long as before, and below given the same time: only reading it tells
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert provide(tmp_path)[0] == path
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with pytest.raises(LocalBrokerError, match="kafka-clients"):
        provide(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"kafka-clients-1.0.jar": ["0", 7, 1]}', b"\xff"])
def test_a_broken_memory_of_what_was_verified_costs_a_hash_and_nothing_else(repository, tmp_path, content):
    paths = provide(tmp_path)
    (paths[0].parent / "verified.json").write_bytes(content)
    assert provide(tmp_path) == paths
    paths[0].write_bytes(b"changed")
    (paths[0].parent / "verified.json").write_bytes(content)
    with pytest.raises(LocalBrokerError, match="kafka-clients"):
        provide(tmp_path)


def test_a_cache_that_cannot_be_written_says_how_to_name_another(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(LocalBrokerError, match="cannot be kept") as caught:
        provide(tmp_path / "file")
    assert "STREAMLEARN_CACHE" in caught.value.remedy
