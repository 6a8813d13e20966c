"""Files in Kafka's place: what the contract suite does not see."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamlearn.config import FilesSource
from streamlearn.connectors.files import APART_FROM, FilesMembership, FilesReader
from streamlearn.contracts import Assigned
from streamlearn.errors import TopicMissing
from streamlearn.events import TopicPartition


def write(folder: Path, **files: bytes) -> FilesSource:
    for name, text in files.items():
        (folder / f"{name}.jsonl").write_bytes(text)
    return FilesSource(paths=(str(folder / "*.jsonl"),), topic="events")


def test_files_are_partitions_in_sorted_order_once_each(tmp_path: Path) -> None:
    write(tmp_path, b=b"", a=b"", c=b"")
    source = FilesSource(paths=(str(tmp_path / "c.jsonl"), str(tmp_path / "*.jsonl")), topic="events")
    reader = FilesReader(source)
    assert reader.partitions() == [TopicPartition("events", n) for n in range(3)]
    assert reader.identity() == {"kind": "files", "files": ["a.jsonl", "b.jsonl", "c.jsonl"]}
    assert reader.topics == ("events",)


def test_a_pattern_without_a_file_is_told(tmp_path: Path) -> None:
    reader = FilesReader(FilesSource(paths=(str(tmp_path / "*.jsonl"),)))
    with pytest.raises(TopicMissing, match="matches no file"):
        reader.partitions()


def test_a_small_poll_starves_no_file(tmp_path: Path) -> None:
    reader = FilesReader(write(tmp_path, a=b"1\n" * 9, b=b"2\n" * 9, c=b"3\n" * 9))
    reader.assign(dict.fromkeys(reader.partitions(), 0))
    first_polls = [reader.poll(1, 0.0).batch.column("partition")[0].as_py() for _ in range(6)]
    assert first_polls == [0, 1, 2, 0, 1, 2]
    reader.close()


def test_a_large_poll_brings_one_file_after_the_other(tmp_path: Path) -> None:
    """Where shares are small, some lines of each come at once."""
    share, lines = 2 * APART_FROM, 4 * APART_FROM
    reader = FilesReader(write(tmp_path, a=b"1\n" * lines, b=b"2\n" * lines))
    reader.assign(dict.fromkeys(reader.partitions(), 0))
    polls = [reader.poll(share, 0.0) for _ in range(4)]
    brought = [[(partition.partition, line) for partition, line in poll.positions.items()] for poll in polls]
    assert brought == [[(0, share)], [(1, share)], [(0, lines)], [(1, lines)]]
    assert [poll.batch.num_rows for poll in polls] == [share] * 4
    assert [len(poll.caught_up) for poll in polls] == [0, 0, 1, 1]
    reader.close()


def test_lines_have_no_key_and_timestamp_zero(tmp_path: Path) -> None:
    reader = FilesReader(write(tmp_path, a=b"{}\r\n"))
    reader.assign(dict.fromkeys(reader.partitions(), 0))
    [row] = reader.poll(10, 0.0).batch.to_pylist()
    assert (row["key"], row["timestamp_ms"], row["value"]) == (None, 0, b"{}\r")
    reader.close()


def test_an_empty_file_is_caught_up_at_once(tmp_path: Path) -> None:
    reader = FilesReader(write(tmp_path, a=b""))
    [only] = reader.partitions()
    reader.assign({only: 0})
    assert reader.poll(10, 0.0).caught_up == {only}
    assert reader.poll(10, 0.0).caught_up == frozenset()
    reader.close()


def test_a_poll_with_nothing_to_bring_passes_the_time(tmp_path: Path) -> None:
    waited: list[float] = []
    reader = FilesReader(write(tmp_path, a=b"{}\n"), wait=waited.append)
    reader.assign(dict.fromkeys(reader.partitions(), 0))
    reader.poll(10, 0.5)
    assert waited == []
    reader.poll(10, 0.5)
    assert waited == [0.5]
    reader.close()


def test_the_membership_gives_everything_once() -> None:
    first, second = TopicPartition("files", 0), TopicPartition("files", 1)
    membership = FilesMembership([second, first])
    assert membership.assignment_known
    assert membership.happenings() == [Assigned((first, second))]
    assert membership.happenings() == []
    membership.commit({first: 3})
    assert membership.connected()
    membership.close()
