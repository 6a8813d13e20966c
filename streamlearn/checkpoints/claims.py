"""Who may publish the checkpoints of a shard: the worker that made its newest claim, and nobody else.

A claim is a file that one worker created under the next free epoch. From then on whoever made an older one
(a worker that was frozen, cut off, or thought dead) publishes nothing: its ``publish`` ends in
``CheckpointFenced``. No clock is asked, and the old worker need not be reached.

Why nothing slips through in a local folder. The claimer makes, in this order:

    A  its claim visible, durably and under a name that was free;
    B  a list of the unfinished files of older epochs, and removes each;
    C  a list of the checkpoints, and loads the newest that verifies.

The publisher makes:

    T  its unfinished file, in which the content goes to the disk;
    L  a look: is the newest claim still its own?
    N  the file's name, by a link from the unfinished one.

If B's list holds the unfinished file, it is removed: either N came before, and so before C, which lists the
checkpoint; or N finds no file to link, and fails. If B's list does not hold it, T came after B had begun, so L
came after A, and sees the claim. There is no third case: *what the claimer does not load is never published*.
(Where there are no links, N takes the name with an empty file and renames, which finds no file either. A
claimer that comes upon the empty one sets it aside.)
It rests on entries being seen by all at once, as on every local file system; a network one must be mounted
without caches of attributes (NFS: ``noac``).

Behind fsspec there are no unfinished files, and a publisher may stand still between its look and its upload.
What slips through then is a whole, valid file of an older epoch. It sorts below every file of the newer epoch;
and where there is none yet, whoever loads it goes on from a state that was flushed before it was published
(`publish_before_commit`), and learns the same events again. So nothing is lost and nothing counts twice.

Before A the claimer may look at the newest checkpoint, to see whether it could go on from it at all: a look takes
no name and removes nothing, so it is no part of the argument; nor does what it saw decide what counts, which is
C's list. (A file is never changed under its name, so what was seen of one that C lists need not be read again.)

A claim holds who made it. So a claimer whose file was replaced is told, where a store creates without looking
(fsspec's default for file systems without a conditional put), and so is one whose folder was moved away.
"""

from __future__ import annotations

import functools
import os
import platform
import secrets
from typing import NoReturn

from streamlearn.checkpoints.names import claim_name, claimed_epoch, first_row_of, version_of
from streamlearn.checkpoints.places import Place
from streamlearn.errors import CheckpointFenced, CheckpointLocked

# Older ones say nothing any more; a few are left for people who ask who owned a shard before.
CLAIMS_KEPT = 4
# Each failure means that another worker was faster, so that one claim more stands. More is no race.
CLAIM_TRIES = 100


class Claims:
    """What one process has claimed of the shards in a place.

    >>> from streamlearn.checkpoints.places import open_place
    >>> place, _ = open_place("memory://")
    >>> mine, theirs = Claims(place), Claims(place)
    >>> mine.claim("flights", "/claims/flights")
    1
    >>> mine.look("flights", "/claims/flights", 1)
    >>> theirs.claim("flights", "/claims/flights")
    2
    >>> mine.look("flights", "/claims/flights", 1)
    Traceback (most recent call last):
    ...
    streamlearn.errors.CheckpointFenced: claim 1 on flights counts no more: claim 2 was made by ...
      remedy: ...
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._maker = f"{platform.node()}, process {os.getpid()}, {secrets.token_hex(8)}".encode()
        self._held: dict[str, int | None] = {}

    def claim(self, shard: str, folder: str) -> int:
        """Own a shard from now on, and return the epoch of it: higher than any that was ever returned.

        1. The claim is there, durably, and is the newest.
        2. What earlier owners left unfinished is removed; not what a later one has begun meanwhile.

        Raises
        ------
        CheckpointLocked
            Others keep claiming it.
        CheckpointError
            The claim could not be written.
        """
        for _ in range(CLAIM_TRIES):
            # Step 1.
            epoch = self._newest(folder) + 1
            if self._make(folder, epoch):
                # Step 2.
                self._place.discard_unfinished(folder, functools.partial(_is_stale, epoch))
                self._forget_old(folder, epoch)
                self._held[shard] = epoch
                return epoch
        raise CheckpointLocked(
            f"{folder}: {CLAIM_TRIES} times another worker has claimed {shard} first",
            remedy="see that no two daemons run the same stream with the same checkpoint.path "
            "under different group ids, then start this one again",
        )

    def look(self, shard: str, folder: str, epoch: int) -> None:
        """Raise CheckpointFenced unless this process holds the shard, under its newest claim, which is ``epoch``."""
        if self.held(shard) != epoch:
            _fence(shard, epoch, "this worker has let go of it")
        newest = self._newest(folder)
        if newest != epoch:
            who = self._maker_of(folder, newest).decode(errors="replace")
            _fence(shard, epoch, f"claim {newest} was made by {who or 'a worker whose claim is gone'}")
        if (who := self._maker_of(folder, epoch).decode(errors="replace")) != self._maker.decode():
            _fence(shard, epoch, f"it belongs to {who}" if who else f"it is gone from {folder}")

    def refuse_newer(self, shard: str, epoch: int) -> None:
        """Raise CheckpointFenced where something is of a newer epoch than this process holds the shard under."""
        own = self._held.get(shard)
        if own is not None and epoch > own:
            _fence(shard, own, f"there are checkpoints of claim {epoch}")

    def release(self, shard: str) -> None:
        """Own a shard no longer: what is still being published fails. Its claim stays until there is a newer one."""
        self._held[shard] = None

    def held(self, shard: str) -> int | None:
        """Return the epoch under which this process holds a shard; ``None`` once it was released."""
        assert shard in self._held, f"{shard} is claimed before it is used"
        return self._held[shard]

    def _make(self, folder: str, epoch: int) -> bool:
        """Create a claim; whether it is the newest now."""
        try:
            self._place.create(f"{folder}/{claim_name(epoch)}", [self._maker])
        except (FileExistsError, FileNotFoundError):
            return False  # somebody was faster: the name is taken, or the unfinished claim was discarded
        # A claimer that was slow may have taken the name of an old claim that is gone by now.
        return self._newest(folder) == epoch and self._maker_of(folder, epoch) == self._maker

    def _newest(self, folder: str) -> int:
        """Return the newest epoch that a claim or a checkpoint names; 0 where there is none."""
        return max((_epoch_of(entry.name) for entry in self._place.entries(folder)), default=0)

    def _maker_of(self, folder: str, epoch: int) -> bytes:
        try:
            return self._place.read(f"{folder}/{claim_name(epoch)}")
        except FileNotFoundError:
            return b""

    def _forget_old(self, folder: str, epoch: int) -> None:
        names = [entry.name for entry in self._place.entries(folder)]
        older = sorted(old for name in names if (old := claimed_epoch(name)) is not None and old < epoch)
        for old in older[: -(CLAIMS_KEPT - 1)]:
            self._place.remove(f"{folder}/{claim_name(old)}")


def _epoch_of(name: str) -> int:
    """Return the epoch of a claim or a checkpoint; 0 for anything else."""
    version = version_of(name)
    return claimed_epoch(name) or 0 if version is None else version.epoch


def _is_stale(epoch: int, name: str) -> bool:
    """Whether what is unfinished under a name is of an earlier owner, or a claim that came too late for its epoch."""
    if (claimed := claimed_epoch(name)) is not None:
        return claimed <= epoch
    version = version_of(name)
    # A segment names no epoch, and whoever sealed it published nothing that refers to it.
    return first_row_of(name) is not None if version is None else version.epoch < epoch


def _fence(shard: str, epoch: int, why: str) -> NoReturn:
    raise CheckpointFenced(
        f"claim {epoch} on {shard} counts no more: {why}; nothing was published",
        remedy="none: the worker with the newest claim goes on. If that should not be, see that no two daemons "
        "run the same stream with the same checkpoint.path under different group ids",
    )
