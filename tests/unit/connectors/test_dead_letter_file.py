"""Dead letters in a file: nothing glued, nothing dropped, typed trouble."""

from __future__ import annotations

import errno
import json
import os
from base64 import b64decode
from pathlib import Path

import pytest

from streamlearn.connectors.dead_letter_file import DeadLetterFile
from streamlearn.contracts import DeadLetter
from streamlearn.errors import DeadLetterError

LETTER = DeadLetter("events", 3, 17, "invalid_json", "expected '}' — né", b"\x00k", b'{"a": \xff\n')


def test_a_letter_keeps_its_bytes_and_its_names(tmp_path: Path) -> None:
    letters = DeadLetterFile(tmp_path / "deep" / "dead.jsonl", "flights")
    letters.send([LETTER, DeadLetter("events", 0, 1, "tombstone", "", None, None)])
    assert letters.flush(1.0)
    letters.close()
    letters.close()
    first, second = map(json.loads, (tmp_path / "deep" / "dead.jsonl").read_text().splitlines())
    assert b64decode(first.pop("key_base64")) == LETTER.key
    assert b64decode(first.pop("value_base64")) == LETTER.value
    assert first == {
        "streamlearn.reason": "invalid_json",
        "streamlearn.detail": LETTER.detail,
        "streamlearn.topic": "events",
        "streamlearn.partition": 3,
        "streamlearn.offset": 17,
        "streamlearn.stream": "flights",
    }
    assert (second["key_base64"], second["value_base64"]) == (None, None)


def test_a_restart_appends(tmp_path: Path) -> None:
    for _ in range(2):
        letters = DeadLetterFile(tmp_path / "dead.jsonl", "flights")
        letters.send([LETTER])
        letters.flush(1.0)
        letters.close()
    assert len((tmp_path / "dead.jsonl").read_text().splitlines()) == 2


def test_a_torn_last_line_is_ended_so_that_nothing_is_glued_to_it(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    path.write_bytes(b'{"streamlearn.rea')
    letters = DeadLetterFile(path, "flights")
    letters.send([LETTER])
    letters.flush(1.0)
    letters.close()
    torn, whole = path.read_text().splitlines()
    assert torn == '{"streamlearn.rea'
    assert json.loads(whole)["streamlearn.offset"] == 17


def test_no_letters_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    letters = DeadLetterFile(tmp_path / "dead.jsonl", "flights")
    monkeypatch.setattr(os, "fsync", lambda _descriptor: pytest.fail("nothing to sync"))
    letters.send([])
    assert letters.flush(1.0)
    letters.close()


def test_flush_is_an_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    letters = DeadLetterFile(tmp_path / "dead.jsonl", "flights")
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    letters.send([LETTER])
    letters.flush(1.0)
    letters.flush(1.0)
    assert len(synced) == 1
    letters.close()


def test_a_folder_in_its_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(DeadLetterError, match="Is a directory") as caught:
        DeadLetterFile(tmp_path, "flights")
    assert "name a file" in caught.value.remedy


def test_a_file_in_the_folders_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeadLetterError):
        DeadLetterFile(tmp_path / "file" / "dead.jsonl", "flights")


def test_a_full_disk_fails_the_sink_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    letters = DeadLetterFile(tmp_path / "dead.jsonl", "flights")

    def full(_descriptor: int, _bytes: memoryview) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(DeadLetterError, match="No space left") as caught:
            letters.send([LETTER])
    assert "free some space" in caught.value.remedy
    with pytest.raises(DeadLetterError):
        letters.flush(1.0)
    with pytest.raises(DeadLetterError):
        letters.send([LETTER])
    letters.close()


def test_a_failed_fsync_is_never_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    letters = DeadLetterFile(tmp_path / "dead.jsonl", "flights")
    letters.send([LETTER])
    tried: list[int] = []

    def failing(descriptor: int) -> None:
        tried.append(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    for _ in range(2):
        with pytest.raises(DeadLetterError, match="Input/output error"):
            letters.flush(1.0)
    assert len(tried) == 1
    letters.close()


def test_a_short_write_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    letters = DeadLetterFile(tmp_path / "dead.jsonl", "flights")
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
        letters.send([LETTER])
    letters.close()
    assert json.loads((tmp_path / "dead.jsonl").read_text())["streamlearn.offset"] == 17
