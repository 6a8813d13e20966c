"""Lines of a file: the same lines whatever the chunk, found again from any place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlearn.connectors import lines as lines_module
from streamlearn.connectors.lines import LineFile
from streamlearn.errors import SourceError


def read_all(file: LineFile, lines_max: int) -> list[bytes]:
    read: list[bytes] = []
    while not file.at_end:
        piece = file.read(lines_max)
        assert piece.count(b"\n") <= lines_max
        read += piece.split(b"\n")[:-1]
        assert file.next_line == len(read)
    assert file.read(lines_max) == b""
    return read


@given(
    text=st.lists(st.sampled_from([b"a", b"\n", b"\r", b"bb\n", b"{}", b"\n\n"])).map(b"".join),
    chunk_bytes=st.integers(1, 9),
    lines_max=st.integers(1, 5),
)
def test_lines_are_the_same_whatever_the_chunk(
    tmp_path_factory: pytest.TempPathFactory, text: bytes, chunk_bytes: int, lines_max: int
) -> None:
    path = tmp_path_factory.mktemp("lines") / "f"
    path.write_bytes(text)
    expected = text.removesuffix(b"\n").split(b"\n") if text else []
    file = LineFile(path, chunk_bytes=chunk_bytes)
    try:
        assert file.count() == len(expected)
        assert read_all(file, lines_max) == expected
        for line in range(len(expected) + 1):
            assert file.seek(line)
            assert file.next_line == line
            assert file.read(len(expected) + 1).split(b"\n")[0] == (
                expected[line] if line < len(expected) else b""
            )
        assert not file.seek(len(expected) + 1)
        assert file.at_end
    finally:
        file.close()


def test_a_last_line_without_its_newline_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one\ntwo")
    file = LineFile(path)
    assert file.read(10) == b"one\ntwo\n"
    assert file.at_end
    file.close()


def test_going_back_starts_at_the_index_not_at_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_module, "STRIDE_BYTES", 100)
    path = tmp_path / "f"
    path.write_bytes(b"".join(b"%09d\n" % n for n in range(1000)))
    file = LineFile(path, chunk_bytes=50)
    assert file.count() == 1000
    read_from: list[int] = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, n, at: read_from.append(at) or pread(fd, n, at))
    assert file.seek(777)
    assert file.read(1) == b"000000777\n"
    assert min(read_from) >= 7770 - 200
    file.close()


def test_what_is_appended_later_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one\n")
    file = LineFile(path)
    with path.open("ab") as appending:
        appending.write(b"two\n")
    assert read_all(file, 10) == [b"one"]
    file.close()


def test_a_file_that_shrinks_is_told(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one\n" * 100)
    file = LineFile(path, chunk_bytes=8)
    file.read(1)
    os.truncate(path, 8)
    file.read(1)
    with pytest.raises(SourceError, match="became shorter"):
        file.read(1)
    file.close()


def test_a_line_beyond_the_buffer_is_told(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"short\n" + b"x" * 1000)
    file = LineFile(path, chunk_bytes=10, line_bytes_max=100)
    assert file.read(1) == b"short\n"
    with pytest.raises(SourceError, match=r"line 1 .* longer than 100 bytes") as caught:
        file.read(1)
    assert "buffer_bytes_max" in caught.value.remedy
    file.close()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        LineFile(tmp_path / "nothing")
