"""Keeps a stream's checkpoints: what the belt's ``Store`` protocol asks for, of a format and a store of files.

Upholds `old_or_new` and `offsets_travel_with_state` by what it is made of, and one thing more: the first
checkpoint of each shard is read back, models included, before it is published. So a model whose class the
unpickler does not admit is told at once, and not by a restart after days of learning.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from streamlearn.checkpoints.format import decode, encode, read_header
from streamlearn.checkpoints.names import Version
from streamlearn.checkpoints.stores import CheckpointStore
from streamlearn.checkpoints.unpickle import admitted_by, loads
from streamlearn.contracts import Published, Segments, ShardState
from streamlearn.errors import CheckpointFenced


class CheckpointKeeper:
    """Implements ``contracts.Store``.

    Parameters
    ----------
    keep
        Checkpoints kept for each shard.
    key
        Signs what is written, and is asked of what is read.
    on_corrupt
        Told of each file that was set aside: where it is now, and what failed.

    >>> from streamlearn.checkpoints.stores import open_store
    >>> keeper = CheckpointKeeper(open_store("memory://keeper", "flights"), keep=5)
    >>> epoch = keeper.claim("flights")
    >>> keeper.newest("flights") is None
    True
    >>> state = ShardState("flights", "flights", 1, {}, 2, 0, {}, (), {}, config={}, source={}, epoch=epoch)
    >>> keeper.publish(state).path
    '/keeper/flights/flights/00000001-0000000000000001.checkpoint'
    >>> keeper.newest("flights") == state
    True
    """

    def __init__(
        self,
        store: CheckpointStore,
        *,
        keep: int,
        key: bytes | None = None,
        on_corrupt: Callable[[str, str], None] = lambda path, why: None,
    ) -> None:
        self._store = store
        self._keep = keep
        self._key = key
        self._on_corrupt = on_corrupt
        self._read_back: set[str] = set()
        self._looked: dict[str, tuple[str, ShardState] | None] = {}
        self._named: dict[str, tuple[str, ...]] = {}  # by checkpoint: the segments that it refers to

    def look(self, shard: str) -> ShardState | None:
        """Return the newest checkpoint, owning nothing; ``None`` where there is none that this process has not seen.

        What it would be refused for (key, format, versions) is the same for every checkpoint of the process, so
        only the first look at a shard reads; and what it read, the first ``newest`` need not read again.

        Raises
        ------
        CheckpointRefused
            It cannot be continued here.
        """
        if shard in self._looked:
            return None
        looked = self._store.look(shard, functools.partial(decode, key=self._key))
        self._looked[shard] = looked
        return None if looked is None else looked[1]

    def claim(self, shard: str) -> int:
        """Own a shard from now on, and return its epoch. Whoever owned it before publishes nothing more.

        Raises
        ------
        CheckpointLocked, CheckpointError
            Others keep claiming it, or the claim could not be written.
        """
        return self._store.claim(shard)

    def segments(self, shard: str) -> Segments:
        """Return what keeps the segments of a shard that this worker has claimed, until it claims it again."""
        return self._store.segments(shard)

    def release(self, shard: str) -> None:
        """Own a shard no longer: what is still being published fails. Writes nothing."""
        self._store.release(shard)

    def newest(self, shard: str) -> ShardState | None:
        """Return the newest checkpoint that verifies; ``None`` where there never was one.

        Raises
        ------
        CheckpointCorrupt
            There are files, and none verifies, or the two newest do not; it says what to do.
        CheckpointFenced
            The newest does not verify, and is of a newer claim.
        CheckpointRefused
            It cannot be continued here: format, versions, signature.
        """
        assert self._store.held(shard) is not None, f"{shard} was released"
        looked, self._looked[shard] = self._looked.get(shard), None
        state, set_aside = self._store.newest(shard, functools.partial(decode, key=self._key), looked)
        for each in set_aside:
            self._on_corrupt(each.path, each.why)
        return state

    def publish(self, state: ShardState) -> Published:
        """Make a checkpoint durable and visible as a whole, then remove those past ``keep``.

        Raises
        ------
        CheckpointRefused
            The state could be written, but not be read back.
        CheckpointFenced
            The claim is no longer the newest, or was released. Nothing was published.
        CheckpointLocked, CheckpointError
            It could not be written, and nothing was published; or what is past ``keep`` could not be removed.
        """
        began = time.perf_counter()
        epoch = self._store.held(state.shard) if state.epoch is None else state.epoch
        if epoch is None:
            raise CheckpointFenced(
                f"this worker has let go of {state.shard}; nothing was published",
                remedy="none: whoever takes it up goes on from the checkpoint before",
            )
        buffers = encode(state, key=self._key)
        if state.shard not in self._read_back:
            verify_restorable(b"".join(buffers), key=self._key)
            self._read_back.add(state.shard)
        if state.segments:
            self._store.make_durable(state.shard, epoch, state.segments)
        path = self._store.publish(state.shard, Version(epoch, state.sequence), buffers)
        self._store.prune(state.shard, self._keep, epoch)
        if state.segments_from:
            self._named[path] = state.segments
            self._store.prune_segments(state.shard, epoch, state.segments_from, self._names_in)
        nbytes = sum(len(buffer) for buffer in buffers)
        return Published(path, nbytes, time.perf_counter() - began)

    def _names_in(self, path: str, read: Callable[[], bytes]) -> tuple[str, ...]:
        if path not in self._named:
            self._named[path] = tuple(read_header(read()).segments or ())
        return self._named[path]


def verify_restorable(data: bytes, *, key: bytes | None = None) -> ShardState:
    """Return the state in a file once it has verified and each pickled part of it was rebuilt.

    Raises
    ------
    CheckpointCorrupt, CheckpointRefused
        It says what could not be restored.
    """
    state = decode(data, key=key)
    admit = admitted_by(state.config)
    for part in state.parts.values():
        if part.pickled is not None:
            loads(part.pickled, admit)
    return state
