"""Dead letters come back from a file as they were sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamlearn.connectors.dead_letter_file import DeadLetterFile
from streamlearn.connectors.dead_letter_reading import distinct, letters_in_file
from streamlearn.contracts import DeadLetter
from streamlearn.errors import DeadLetterError

LETTERS = [
    DeadLetter("t", 0, 7, "tombstone", "", b"k", None),
    DeadLetter("t", 3, 2**40, "invalid_utf8", "byte 1", None, bytes(range(256))),
    DeadLetter("t", 0, 8, "empty", 'a "quoted"\nline', b"\xff\x00", b""),
    # Of one message of many events: two of its events, which are two letters.
    DeadLetter("t", 0, 9, "bad_label", "", None, b"one row", 0),
    DeadLetter("t", 0, 9, "bad_label", "", None, b"another row", 12),
]


def kept(folder: Path) -> Path:
    path = folder / "dead.jsonl"
    sink = DeadLetterFile(path, "flights")
    sink.send(LETTERS)
    assert sink.flush(1.0)
    sink.close()
    return path


def test_what_was_kept_comes_back_to_the_byte(tmp_path: Path) -> None:
    assert list(letters_in_file(kept(tmp_path))) == LETTERS


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = kept(tmp_path)
    path.write_bytes(path.read_bytes()[:-5])
    assert list(letters_in_file(path)) == LETTERS[:-1]


def test_a_line_that_is_no_letter_is_named(tmp_path: Path) -> None:
    path = kept(tmp_path)
    path.write_bytes(b'{"streamlearn.topic": "t"}\n' + path.read_bytes())
    with pytest.raises(DeadLetterError, match="line 1 of"):
        list(letters_in_file(path))


def test_no_file_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(DeadLetterError, match=r"dead_letters\.path"):
        list(letters_in_file(tmp_path / "none.jsonl"))


def test_a_letter_kept_twice_is_one() -> None:
    assert list(distinct([*LETTERS, LETTERS[0], LETTERS[-1]])) == LETTERS
