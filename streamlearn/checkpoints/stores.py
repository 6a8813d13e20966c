"""The checkpoint files of one stream: their order, which of them counts, and who may add one.

Upholds `old_or_new`: a file appears as a whole under a name that was free, and the newest one that verifies
counts. One that does not verify is set aside as ``*.corrupt`` and kept. Where there are files but none
verifies, that is an error: a shard never silently begins from nothing. So it is where the two newest do not
verify: no crash damages two, so the disk does, or somebody. An empty file is neither: it is a name that a crash
left without its checkpoint.

A shard belongs to the newest claim on it; see ``claims.py`` for why nobody else can publish.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from streamlearn.checkpoints.arrays import Buffer
from streamlearn.checkpoints.claims import Claims
from streamlearn.checkpoints.disk import Disk
from streamlearn.checkpoints.names import (
    CORRUPT_SUFFIX,
    Version,
    checkpoint_name,
    folder_name,
    is_set_aside,
    shard_name,
    version_of,
)
from streamlearn.checkpoints.places import Place, open_place
from streamlearn.checkpoints.segments import ShardSegments
from streamlearn.errors import CheckpointCorrupt, CheckpointFenced, CheckpointLocked, CheckpointRefused

State = TypeVar("State")

FIRST_SEQUENCE = 1  # of a shard that never had a checkpoint


@dataclass(frozen=True, slots=True, order=True)
class CheckpointFile:
    """One checkpoint of a shard, whether it verifies or not. Sorts by age."""

    version: Version
    path: str
    nbytes: int
    written_at: float  # seconds since 1970
    set_aside: bool

    @property
    def is_name_alone(self) -> bool:
        """Whether nothing was ever published here: a crash came between a name and its content (places.py)."""
        return self.nbytes == 0


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file that did not verify, where it is now, and what failed."""

    path: str
    why: str


class CheckpointStore:
    """The checkpoints of one stream, as one process sees them. See ``open_store``."""

    def __init__(self, place: Place, root: str, stream: str) -> None:
        self._place = place
        self._folder = f"{root.rstrip('/')}/{folder_name(stream)}"
        self._claims = Claims(place)
        self._segments: dict[str, tuple[int | None, ShardSegments]] = {}  # with the claim that they are of

    def claim(self, shard: str) -> int:
        """Own a shard from now on, and return its epoch. What an earlier owner still publishes, fails.

        Raises
        ------
        CheckpointError
            The claim could not be written, or others keep claiming the shard.
        """
        return self._claims.claim(shard, self._shard_folder(shard))

    def held(self, shard: str) -> int | None:
        """Return the epoch of one's own claim on a shard; ``None`` once it was released."""
        return self._claims.held(shard)

    def release(self, shard: str) -> None:
        """Own a shard no longer. Nothing is written."""
        self._claims.release(shard)

    def publish(self, shard: str, version: Version, data: Sequence[Buffer]) -> str:
        """Make a file durable and visible as a whole, and return its path.

        Parameters
        ----------
        version
            Its epoch is that of one's own claim, its sequence one that was not published in this epoch.

        Raises
        ------
        CheckpointFenced
            The claim was released, or there is a newer one. Nothing was published.
        CheckpointLocked
            The version exists: another process writes to this shard.
        CheckpointError
            It could not be written. Nothing was published; what there was is untouched.
        """
        folder = self._shard_folder(shard)
        path = f"{folder}/{checkpoint_name(version)}"

        def look() -> None:
            self._claims.look(shard, folder, version.epoch)

        try:
            self._place.create(path, data, before_visible=look)
        except (FileExistsError, FileNotFoundError) as error:
            look()  # a newer claim discards what is unfinished: then say so
            happened = "exists already" if isinstance(error, FileExistsError) else "was removed while written"
            raise CheckpointLocked(
                f"{path} {happened}: another process writes the checkpoints of {shard}",
                remedy="see that no two daemons run the same stream with the same checkpoint.path "
                "under different group ids, then start this one again",
            ) from error
        return path

    def look(self, shard: str, decode: Callable[[bytes], State]) -> tuple[str, State] | None:
        """Return path and state of the newest checkpoint, for who does not own the shard. Changes nothing.

        ``None`` where there is none, or it does not verify: that is its owner's to judge, and it may be on its
        way, or be removed meanwhile.

        Raises
        ------
        CheckpointRefused
            It cannot be continued here.
        """
        for file in self.files(shard)[-1:]:
            try:
                return file.path, decode(self._place.read(file.path))
            except (FileNotFoundError, CheckpointCorrupt):
                pass
            except CheckpointRefused as error:
                raise _refused(file, error) from error
        return None

    def segments(self, shard: str) -> ShardSegments:
        """Return what keeps the segments of a shard while this process holds it under its present claim."""
        segments = ShardSegments(self._place, self._shard_folder(shard))
        self._segments[shard] = self._claims.held(shard), segments
        return segments

    def make_durable(self, shard: str, epoch: int, names: Sequence[str]) -> None:
        """See that the segments stay that a checkpoint refers to, before it is published.

        Raises CheckpointError, and CheckpointFenced where the shard was taken up anew since.
        """
        claim, segments = self._segments.get(shard, (None, None))
        if segments is None or claim != epoch:
            raise CheckpointFenced(
                f"{shard} was let go of since claim {epoch}; nothing was published",
                remedy="none: whoever took it up goes on from the checkpoint before",
            )
        segments.make_durable(names)

    def prune_segments(
        self,
        shard: str,
        epoch: int,
        before_row: int,
        names_in: Callable[[str, Callable[[], bytes]], Sequence[str]],
    ) -> None:
        """Remove the segments that no checkpoint of a shard needs any more; see ``ShardSegments.prune``.

        Parameters
        ----------
        before_row
            As the newest checkpoint says, which was published under ``epoch`` just now.
        names_in
            Returns those that a checkpoint names, of its path and what reads it. Where one does not verify, nothing
            is removed.

        Raises
        ------
        CheckpointFenced
            There is a newer claim: nothing was removed.
        """
        claim, segments = self._segments.get(shard, (None, None))
        if segments is None or claim != epoch:
            return
        kept: set[str] = set()
        try:
            for file in self.files(shard):
                kept.update(names_in(file.path, partial(self._read, file.path)))
        except CheckpointCorrupt:
            return
        self._claims.look(shard, self._shard_folder(shard), epoch)
        segments.prune(before_row, kept)

    def newest(
        self, shard: str, decode: Callable[[bytes], State], looked: tuple[str, State] | None = None
    ) -> tuple[State | None, list[SetAside]]:
        """Return the newest state that verifies, and the newer files that did not and were set aside.

        An empty file is a name without a checkpoint. It is set aside too, and is no sign of damage: where there are no
        hard links, each crash in the middle of a publish leaves one.

        To be called by the shard's owner, once it has claimed it, before it publishes.

        Parameters
        ----------
        decode
            Raises CheckpointCorrupt for a file that does not verify.
        looked
            What ``look`` returned just before the claim: a file is never changed under its name, so what was read
            need not be read again.

        Returns
        -------
        The state, ``None`` where the shard never had a checkpoint: no file, or only names of the first one.

        Raises
        ------
        CheckpointCorrupt
            There are files, and none verifies, or the two newest do not. Nothing was set aside.
        CheckpointFenced
            The newest does not verify, and is of a newer claim than one's own.
        CheckpointRefused
            The newest one that verifies cannot be continued here. An older one is not tried.
        """
        bad: list[SetAside] = []
        names: list[SetAside] = []
        files = self._all_files(shard)
        for file in reversed(files):
            amiss = names if file.is_name_alone else bad
            if file.set_aside:
                amiss.append(SetAside(file.path, "it was set aside before"))
                continue
            try:
                if looked is not None and looked[0] == file.path:
                    state = looked[1]
                else:
                    state = decode(self._read(file.path))
            except CheckpointCorrupt as error:
                # It may be on its way yet: a newer owner's files are not ours to judge.
                self._claims.refuse_newer(shard, file.version.epoch)
                amiss.append(SetAside(file.path, error.what))
            except CheckpointRefused as error:
                raise _refused(file, error) from error
            else:
                if len(bad) > 1:
                    raise _two_bad(shard, bad, file)
                return state, self._all_set_aside([*names, *bad])
        if bad or any(file.version.sequence > FIRST_SEQUENCE for file in files):  # then there was one
            newest = (bad or names)[0]
            raise CheckpointCorrupt(
                f"none of the checkpoints of {shard} verifies; the newest: {newest.path}: {newest.why}",
                remedy=f"put a copy of a good one into {self._shard_folder(shard)}; to learn anew from the start "
                "of the topic, on purpose, move that folder away while no daemon runs",
            )
        return None, self._all_set_aside(names)

    def files(self, shard: str) -> list[CheckpointFile]:
        """Return the shard's checkpoints, oldest first, without those set aside."""
        return [file for file in self._all_files(shard) if not file.set_aside]

    def shards(self) -> list[str]:
        """Return the shards that have a folder, sorted by name."""
        return sorted(shard_name(e.name) for e in self._place.entries(self._folder) if e.is_folder)

    def prune(self, shard: str, keep: int, epoch: int) -> list[str]:
        """Remove all but the ``keep`` newest checkpoints, and return what was removed.

        Corrupt ones stay, and so does what was published under a newer claim than ``epoch``.
        """
        assert keep >= 1, "the newest checkpoint is never removed"
        removed = [file.path for file in self.files(shard)[:-keep] if file.version.epoch <= epoch]
        for path in removed:
            self._place.remove(path)
        return removed

    def _shard_folder(self, shard: str) -> str:
        return f"{self._folder}/{folder_name(shard)}"

    def _all_files(self, shard: str) -> list[CheckpointFile]:
        folder = self._shard_folder(shard)
        return sorted(
            CheckpointFile(version, f"{folder}/{e.name}", e.nbytes, e.written_at, is_set_aside(e.name))
            for e in self._place.entries(folder)
            if (version := version_of(e.name)) is not None
        )

    def _read(self, path: str) -> bytes:
        try:
            return self._place.read(path)
        except FileNotFoundError as error:
            raise _vanished(path) from error

    def _all_set_aside(self, amiss: Sequence[SetAside]) -> list[SetAside]:
        return [self._set_aside(each) for each in amiss if not is_set_aside(each.path)]

    def _set_aside(self, bad: SetAside) -> SetAside:
        # The name is free: a file of this version that was set aside before would be a second bad one.
        aside = f"{bad.path}{CORRUPT_SUFFIX}"
        try:
            self._place.move(bad.path, aside)
        except FileNotFoundError as error:
            raise _vanished(bad.path) from error
        return SetAside(aside, bad.why)


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
    >>> epoch = store.claim("flights")
    >>> store.publish("flights", Version(epoch, 1), [b"learned"])
    '/doctest/flights/flights/00000001-0000000000000001.checkpoint'
    >>> store.newest("flights", decode=bytes)
    (b'learned', [])
    >>> open_store("memory://doctest", "flights").claim("flights")
    2
    >>> store.publish("flights", Version(epoch, 2), [b"by one that was thought dead"])
    Traceback (most recent call last):
    ...
    streamlearn.errors.CheckpointFenced: claim 1 on flights counts no more: claim 2 was made by ...
      remedy: ...
    """
    place, root = open_place(url, disk)
    return CheckpointStore(place, root, stream)


def _refused(file: CheckpointFile, error: CheckpointRefused) -> CheckpointRefused:
    return CheckpointRefused(f"{file.path}: {error.what}", remedy=error.remedy)


def _vanished(path: str) -> CheckpointLocked:
    return CheckpointLocked(
        f"{path} was removed while it was to be read: another process works in this folder",
        remedy="see that no two daemons own the same shard, then start this one again",
    )


def _two_bad(shard: str, bad: Sequence[SetAside], good: CheckpointFile) -> CheckpointCorrupt:
    names = ", ".join(each.path.rpartition("/")[2] for each in bad)
    return CheckpointCorrupt(
        f"the {len(bad)} newest checkpoints of {shard} do not verify: "
        + "; ".join(f"{each.path}: {each.why}" for each in bad),
        remedy="look at the disk first: a crash does not damage two. Then put good copies in their place; or, "
        f"to go on from {good.path} and to learn again what came after it, move {names} "
        "out of that folder while no daemon runs",
    )
