"""The checkpoint files of one stream: their names, their order, and which of them counts.

    <path>/<stream>/<shard>/<sequence, 16 digits>.checkpoint

Upholds `old_or_new`: a file appears as a whole under a name that was free, and the newest one that verifies
counts. One that does not verify is set aside as ``*.corrupt`` and kept. Where there are files but none
verifies, that is an error: a shard never silently begins from nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote, unquote

from streamlearn.checkpoints.arrays import Buffer
from streamlearn.checkpoints.disk import Disk
from streamlearn.checkpoints.places import Place, open_place
from streamlearn.errors import CheckpointCorrupt, CheckpointLocked, CheckpointRefused

SUFFIX = ".checkpoint"
CORRUPT_SUFFIX = ".corrupt"
FILE_NAME = re.compile(r"(\d{16})\.checkpoint")

State = TypeVar("State")


@dataclass(frozen=True, slots=True, order=True)
class CheckpointFile:
    """One checkpoint of a shard, whether it verifies or not."""

    sequence: int
    path: str
    nbytes: int
    written_at: float  # seconds since 1970


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file that did not verify, where it is now, and what failed."""

    path: str
    why: str


class CheckpointStore:
    """The checkpoints of one stream. See ``open_store``."""

    def __init__(self, place: Place, root: str, stream: str) -> None:
        self._place = place
        self._folder = f"{root.rstrip('/')}/{folder_name(stream)}"

    def publish(self, shard: str, sequence: int, data: Sequence[Buffer]) -> str:
        """Make a file durable and visible as a whole, and return its path.

        Raises
        ------
        CheckpointLocked
            The sequence exists: another process writes to this shard.
        CheckpointError
            It could not be written. Nothing was published; what there was is untouched.
        """
        path = f"{self._shard_folder(shard)}/{sequence:016d}{SUFFIX}"
        try:
            self._place.create(path, data)
        except (FileExistsError, FileNotFoundError) as error:
            happened = "exists already" if isinstance(error, FileExistsError) else "was removed while written"
            raise CheckpointLocked(
                f"{path} {happened}: another process writes the checkpoints of {shard}",
                remedy="see that no two daemons run the same stream with the same checkpoint.path "
                "under different group ids, then start this one again",
            ) from error
        return path

    def newest(self, shard: str, decode: Callable[[bytes], State]) -> tuple[State | None, list[SetAside]]:
        """Return the newest state that verifies, and the newer files that did not and were set aside.

        To be called by the shard's owner before it publishes: what an earlier one left half written is
        removed, and if that one still lives, its write fails.

        Parameters
        ----------
        decode
            Raises CheckpointCorrupt for a file that does not verify.

        Returns
        -------
        The state, ``None`` where the shard never had a checkpoint.

        Raises
        ------
        CheckpointCorrupt
            There are files, and none verifies.
        CheckpointRefused
            The newest one that verifies cannot be continued here. An older one is not tried.
        """
        self._place.discard_unfinished(self._shard_folder(shard))
        corrupt: list[tuple[str, str]] = []
        for file in reversed(self.files(shard)):
            try:
                state = decode(self._read(file.path))
            except CheckpointCorrupt as error:
                corrupt.append((file.path, error.what))
            except CheckpointRefused as error:
                raise CheckpointRefused(f"{file.path}: {error.what}", remedy=error.remedy) from error
            else:
                return state, [self._set_aside(*each) for each in corrupt]
        if corrupt or self._entries_that_end(shard, CORRUPT_SUFFIX):
            folder = self._shard_folder(shard)
            newest = ": ".join(corrupt[0]) if corrupt else "all were set aside before"
            raise CheckpointCorrupt(
                f"none of the checkpoints of {shard} in {folder} verifies; the newest: {newest}",
                remedy=f"put a copy of a good one into {folder}; to learn anew from the start of the topic, "
                "on purpose, move that folder away",
            )
        return None, []

    def files(self, shard: str) -> list[CheckpointFile]:
        """Return the shard's checkpoints, oldest first, without those set aside."""
        folder = self._shard_folder(shard)
        return sorted(
            CheckpointFile(int(found[1]), f"{folder}/{entry.name}", entry.nbytes, entry.written_at)
            for entry in self._place.entries(folder)
            if (found := FILE_NAME.fullmatch(entry.name))
        )

    def shards(self) -> list[str]:
        """Return the shards that have a folder, sorted by name."""
        return sorted(shard_name(e.name) for e in self._place.entries(self._folder) if e.is_folder)

    def prune(self, shard: str, keep: int) -> list[str]:
        """Remove all but the ``keep`` newest checkpoints, and return what was removed. Corrupt ones stay."""
        assert keep >= 1, "the newest checkpoint is never removed"
        removed = [file.path for file in self.files(shard)[:-keep]]
        for path in removed:
            self._place.remove(path)
        return removed

    def _shard_folder(self, shard: str) -> str:
        return f"{self._folder}/{folder_name(shard)}"

    def _entries_that_end(self, shard: str, suffix: str) -> list[str]:
        entries = self._place.entries(self._shard_folder(shard))
        return [entry.name for entry in entries if entry.name.endswith(suffix)]

    def _read(self, path: str) -> bytes:
        try:
            return self._place.read(path)
        except FileNotFoundError as error:
            raise CheckpointLocked(
                f"{path} was removed while it was to be read: another process works in this folder",
                remedy="see that no two daemons own the same shard, then start this one again",
            ) from error

    def _set_aside(self, path: str, why: str) -> SetAside:
        shard_folder, _, name = path.rpartition("/")
        taken = {entry.name for entry in self._place.entries(shard_folder)}
        # A sequence is written again after its first file was set aside, and may be damaged again.
        numbers = ("", *(f".{number}" for number in range(2, len(taken) + 3)))
        free = next(n for each in numbers if (n := f"{name}{each}{CORRUPT_SUFFIX}") not in taken)
        self._place.move(path, f"{shard_folder}/{free}")
        return SetAside(f"{shard_folder}/{free}", why)


def open_store(url: str, stream: str, disk: Disk | None = None) -> CheckpointStore:
    """Return the store of a stream's checkpoints. Nothing is created or read yet.

    Parameters
    ----------
    url
        A folder, or an fsspec URL (``s3://bucket/folder``).
    disk
        What a folder is on; the machine's own by default.

    Raises
    ------
    CheckpointError
        The URL's scheme cannot be used.

    >>> store = open_store("memory://doctest", "flights")
    >>> store.publish("flights", 1, [b"learned"])
    '/doctest/flights/flights/0000000000000001.checkpoint'
    >>> store.newest("flights", decode=bytes)
    (b'learned', [])
    >>> store.publish("flights", 1, [b"by somebody else"])
    Traceback (most recent call last):
    ...
    streamlearn.errors.CheckpointLocked: ... exists already: another process writes the checkpoints of flights
      remedy: ...
    """
    place, root = open_place(url, disk)
    return CheckpointStore(place, root, stream)


def folder_name(name: str) -> str:
    """Return a stream's or shard's name as one that every file system and object store takes.

    >>> folder_name("flights"), folder_name("late flights[3]"), folder_name("../x")
    ('flights', 'late%20flights(3)', '%2E.%2Fx')
    """
    quoted = quote(name, safe="[]").replace("[", "(").replace("]", ")")  # brackets are patterns to fsspec
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted


def shard_name(folder: str) -> str:
    """Return the name that ``folder_name`` was given.

    >>> shard_name(folder_name("late (flights)[3]"))
    'late (flights)[3]'
    """
    return unquote(folder.replace("(", "[").replace(")", "]"))
