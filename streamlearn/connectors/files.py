"""Local JSON-lines files in Kafka's place: each file a partition, each line a message.

Partitions are numbered in sorted order of the files' paths; an offset is a line's number, from 0.
A line has no timestamp of its own, so every record's is 0: a file's modification time would change
with a copy, and state is a function of events alone. Without a configured event time a merge then reads
the files one after another. The set of files and their ends are those of the start.
"""

from __future__ import annotations

import glob
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from streamlearn.config import FilesSource
from streamlearn.connectors.lines import LineFile
from streamlearn.connectors.raw import EMPTY_BATCH, lines_batch
from streamlearn.contracts import Assigned, Happening, Polled, Revoked, Watermarks
from streamlearn.errors import TopicMissing
from streamlearn.events import TopicPartition
from streamlearn.gaps import PartitionGap

CHUNK_BYTES_MIN, CHUNK_BYTES_MAX = 64 * 1024, 4 * 1024 * 1024
APART_FROM = 1024  # lines: files with as large a share each take turns, since a portion has costs of its own


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


class FilesReader:
    """``contracts.Reader`` over the lines of local files. Owned by one thread.

    Parameters
    ----------
    source
        The config section; ``paths`` are taken relative to the working directory.
    labels
        The topic and the paths of labels that come in files of their own, where there are any.
    wait
        Passes the time when a poll has nothing to bring; another for a simulator.
    """

    def __init__(
        self,
        source: FilesSource,
        labels: tuple[str, tuple[str, ...]] | None = None,
        *,
        wait: Callable[[float], None] = _wait,
    ) -> None:
        self._source = source
        self._patterns = {source.topic: ("source.files.paths", source.paths)}
        if labels is not None:
            self._patterns[labels[0]] = "labels.paths", labels[1]
        self._wait = wait
        self._paths: dict[TopicPartition, Path] | None = None
        self._files: dict[TopicPartition, LineFile] = {}
        self._assigned: list[TopicPartition] = []  # in the order in which the next poll reads them
        self._paused: set[TopicPartition] = set()
        self._caught_up: set[TopicPartition] = set()  # and said so
        self._gaps: list[PartitionGap] = []

    @property
    def topics(self) -> tuple[str, ...]:
        """The names that the config gives the files, sorted."""
        return tuple(sorted(self._patterns))

    def identity(self) -> dict[str, Any]:
        """Return ``{"kind": "files", "files": [...]}``, names in the order of their partitions, JSON types.

        A checkpoint keeps it: another file in between would move the numbers of those behind it.
        """
        return {"kind": "files", "files": [path.name for path in self._find().values()]}

    def partitions(self) -> list[TopicPartition]:
        """Return one partition a file, sorted. Raises TopicMissing when a path or pattern matches no file."""
        return list(self._find())

    def watermarks(self, partition: TopicPartition) -> Watermarks:
        """Return 0 and the number of lines. Reads the file through once. Raises SourceError."""
        return Watermarks(0, self._file(partition).count())

    def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        """Return the first line, since every timestamp is 0; the end for a later time. Raises SourceError."""
        return 0 if timestamp_ms <= 0 else self.watermarks(partition).high

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read exactly these files from now on, each from its line, none of them paused.

        Raises SourceError when one cannot be read.
        """
        self._gaps = []
        for partition, line in positions.items():
            file = self._file(partition)
            if file.next_line != line and not file.seek(line):
                self._gaps.append(PartitionGap(partition, line, self.watermarks(partition)))
        for partition in self._files.keys() - positions.keys():
            self._files.pop(partition).close()
        beyond = {gap.partition for gap in self._gaps}
        self._assigned = sorted(positions.keys() - beyond)
        self._paused = set()
        self._caught_up = set()

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Bring nothing of these until ``resume``."""
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Bring these again, from where they stood."""
        self._paused.difference_update(partitions)

    def poll(self, events_max: int, timeout_seconds: float) -> Polled:
        """Bring up to ``events_max`` lines, a fair share of each file or, where that is large, of one file in turn; an empty batch after the timeout.

        Raises
        ------
        PartitionGap
            (an ``OffsetGap``) when a file ends before the line that it was assigned from. It is not read
            until ``assign`` names it again; the others go on with the next poll.
        SourceError
            When a file shrank while it was read, or holds a line longer than the buffer.
        """
        if self._gaps:
            raise self._gaps.pop()
        active = [p for p in self._assigned if p not in self._paused and p not in self._caught_up]
        batches: list[pa.RecordBatch] = []
        positions: dict[TopicPartition, int] = {}
        caught_up: set[TopicPartition] = set()
        room = events_max
        share = -(-events_max // max(1, len(active)))
        take_turns = share >= APART_FROM
        for partition in active:
            if not room or (batches and take_turns):
                break
            file = self._files[partition]
            first_line = file.next_line
            lines = file.read(room if take_turns else min(share, room))
            if lines:
                topic = self.topics.index(partition.topic)
                batches.append(lines_batch(topic, partition.partition, first_line, lines))
                room -= batches[-1].num_rows
            if file.at_end:
                caught_up.add(partition)
            positions[partition] = file.next_line
        self._caught_up |= caught_up
        # Those that had their turn go to the back, so that a small poll starves nobody.
        self._assigned = [p for p in self._assigned if p not in positions] + list(positions)
        if not positions:
            self._wait(timeout_seconds)
        if len(batches) > 1:
            batches = [pa.concat_batches(batches)]  # it copies, even one
        return Polled(batches[0] if batches else EMPTY_BATCH, positions, frozenset(caught_up))

    def close(self) -> None:
        """Let go of all files. Idempotent."""
        for file in self._files.values():
            file.close()
        self._files = {}
        self._assigned = []

    def _find(self) -> dict[TopicPartition, Path]:
        if self._paths is None:
            self._paths = {
                TopicPartition(topic, number): path
                for topic in self.topics
                for number, path in enumerate(_matching(*self._patterns[topic]))
            }
        return self._paths

    def _file(self, partition: TopicPartition) -> LineFile:
        if partition not in self._files:
            paths = self._find()
            chunk_bytes = self._source.buffer_bytes_max // len(paths)
            self._files[partition] = LineFile(
                paths[partition],
                chunk_bytes=min(max(chunk_bytes, CHUNK_BYTES_MIN), CHUNK_BYTES_MAX),
                line_bytes_max=self._source.buffer_bytes_max,
            )
        return self._files[partition]


def _matching(option: str, patterns: Sequence[str]) -> list[Path]:
    """Return the files that match, sorted. Raises TopicMissing where a pattern matches none."""
    found: set[Path] = set()
    for pattern in patterns:
        files = {Path(name) for name in glob.glob(pattern, recursive=True) if Path(name).is_file()}  # noqa: PTH207  pathlib's glob takes no absolute pattern
        if not files:
            raise TopicMissing(
                f"{option}: {pattern!r} matches no file",
                remedy="correct the path; a relative one begins at the working directory",
            )
        found |= files
    return sorted(found)


class FilesMembership:
    """``contracts.Membership`` of a group of one: everything is assigned at the start, for good."""

    commits_failed = 0
    revokes_over_budget = 0

    def __init__(self, partitions: Sequence[TopicPartition]) -> None:
        self._news: list[Happening] = [Assigned(tuple(sorted(partitions)))]

    @property
    def assignment_known(self) -> bool:
        """Always: there is no group to ask."""
        return True

    def happenings(self) -> list[Happening]:
        """Return the one assignment, once."""
        news, self._news = self._news, []
        return news

    def released(self, revoked: Revoked) -> None:
        """Never called: nothing is ever revoked."""
        raise AssertionError(f"nobody revoked {revoked}")

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Do nothing: there is no group to tell."""

    def connected(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Do nothing: there is no group to leave."""
