"""Sealed segments beside the checkpoints that refer to them (docs/labels.md, "What waits").

Upholds `offsets_travel_with_state` for state that is too much to copy: a checkpoint becomes visible only when each
segment that it names is durable under a name that says its content; so what a checkpoint refers to is there, and
is what it was. A segment is removed only when no checkpoint that is kept names it, and never one that a later
checkpoint may still need: see ``prune``.

A segment is written by a thread of its own, which does not wait for the disk; the thread that writes
checkpoints makes it durable.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from threading import Lock

from streamlearn.checkpoints.names import checksum_of, first_row_of
from streamlearn.checkpoints.places import Draft, Place, spooled
from streamlearn.contracts import Mapped
from streamlearn.errors import CheckpointCorrupt, CheckpointError


class ShardSegments:
    """``contracts.Segments`` of one shard, in the folder of its checkpoints.

    >>> from streamlearn.checkpoints.places import open_place
    >>> segments = ShardSegments(open_place("memory://")[0], "/segments/flights")
    >>> name = f"{0:016d}-{sha256(b'kept').hexdigest()}.segment"
    >>> bytes(segments.seal(name, b"kept").content)
    b'kept'
    >>> segments.make_durable([name])
    >>> bytes(ShardSegments(open_place("memory://")[0], "/segments/flights").open(name).content)
    b'kept'
    """

    def __init__(self, place: Place, folder: str) -> None:
        self._place = place
        self._folder = folder
        self._lock = Lock()
        self._drafts: dict[str, Draft] = {}  # sealed, and not durable yet
        self._durable: set[str] = set()
        self._failed: set[str] = set()  # whose first way to the disk did not end well

    def seal(self, name: str, content: bytes | memoryview) -> Mapped:
        """Write a segment, and return it; durable once ``make_durable`` has named it. Raises CheckpointError."""
        with self._lock:
            known = self._drafts.get(name)
        if known is not None:
            return known.mapped  # sealed again after a step back: the same bytes
        draft = self._place.draft(f"{self._folder}/{name}", [content])
        with self._lock:
            self._drafts[name] = draft
        return draft.mapped

    def open(self, name: str) -> Mapped:
        """Return a segment, once it has verified. Raises CheckpointCorrupt."""
        with self._lock:
            draft = self._drafts.get(name)
        if draft is not None:
            return draft.mapped
        path = f"{self._folder}/{name}"
        try:
            mapped = self._place.map(path)
        except FileNotFoundError as error:
            raise _corrupt(path, "is gone") from error
        if sha256(mapped.content).hexdigest() != checksum_of(name):
            raise _corrupt(path, "does not verify")
        mapped.rest()
        with self._lock:
            self._durable.add(name)
        return mapped

    def make_durable(self, names: Collection[str]) -> None:
        """See that these segments stay, whatever happens. Waits for the disk.

        Raises
        ------
        CheckpointError
            One could not be written; to be tried again.
        CheckpointCorrupt
            What was written reads back otherwise.
        """
        for name in names:
            with self._lock:
                draft, failed = self._drafts.get(name), name in self._failed
            if draft is None:
                assert name in self._durable, f"{name} was neither sealed nor opened here"
                continue
            try:
                self._finish(name, draft, again=failed)
            except CheckpointError:
                with self._lock:
                    self._failed.add(name)
                raise
            with self._lock:
                self._durable.add(name)
                self._drafts.pop(name, None)

    def _finish(self, name: str, draft: Draft, *, again: bool) -> None:
        path = f"{self._folder}/{name}"
        try:
            if again:
                self._write_anew(name, path, draft)
            else:
                draft.finish()
        except FileExistsError:
            # The name says the content, so whoever wrote it before has written the same; unless a crash cut it short.
            if sha256(self._place.map(path).content).hexdigest() != checksum_of(name):
                self._place.remove(path)
                self._write_anew(name, path, draft)
        except FileNotFoundError:  # a claimer that was slow took it for what an earlier owner had left
            self._write_anew(name, path, draft)

    def _write_anew(self, name: str, path: str, draft: Draft) -> None:
        """Write what a draft holds to another file: one whose sync failed may not be trusted again."""
        content = bytes(draft.mapped.content)
        if sha256(content).hexdigest() != checksum_of(name):
            raise _corrupt(path, "was lost by the disk before it was durable")
        self._place.create(path, [content])

    def prune(self, before_row: int, kept: Collection[str]) -> None:
        """Remove segments that begin before this row and that no checkpoint names which is kept.

        The newest checkpoint needs none of them, and whoever goes on from it never will: rows only grow.
        """
        for entry in self._place.entries(self._folder):
            row = first_row_of(entry.name)
            if row is not None and row < before_row and entry.name not in kept:
                self._place.remove(f"{self._folder}/{entry.name}")
                with self._lock:
                    self._durable.discard(entry.name)
        with self._lock:
            late = [name for name in self._drafts if (first_row_of(name) or 0) < before_row]
            drafts = [self._drafts.pop(name) for name in late]
        for draft in drafts:
            draft.discard()


class UnsavedSegments:
    """``contracts.Segments`` of a shard of which no checkpoint is published; they go with the process."""

    def seal(self, name: str, content: bytes | memoryview) -> Mapped:
        """Keep a segment in a file without a name."""
        return spooled([content])

    def open(self, name: str) -> Mapped:
        """Never called: nothing refers to what goes with the process."""
        raise AssertionError(f"nobody has kept {name}")


def _corrupt(path: str, what: str) -> CheckpointCorrupt:
    return CheckpointCorrupt(
        f"{path} {what}, and a checkpoint refers to it",
        remedy="put a copy of the segment back in its place; or move that checkpoint away, to go on from the one before",
    )
