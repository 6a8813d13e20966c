"""One SHA-256 over what a shard has learned, and over nothing else.

Two shards that learned the same events in the same order have the same digest (`replay_equals_run` is
checked by it): clocks, paths, the checkpoint's sequence, the source's identity and the config are not in
it, the offsets, the counters and every part are.

A pickle's bytes are no canonical form: they differ with what happened to be interned or shared by
accident. So the digest of a pickled model is taken of the objects that it describes. The digest does not
depend on PYTHONHASHSEED; a model whose learning iterates over a set does, so the daemon fixes it.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from streamlearn.checkpoints.admitted import Pair
from streamlearn.checkpoints.canonical import canonical_json
from streamlearn.checkpoints.structure import array_digest, structure_digest
from streamlearn.checkpoints.unpickle import admitted_by, loads
from streamlearn.contracts import ShardState, Snapshot


def state_digest(state: ShardState) -> str:
    """Return the digest of a shard's learned state, as 64 hexadecimal digits.

    Raises
    ------
    CheckpointRefused
        A pickled part names what is not admitted.

    >>> from dataclasses import replace
    >>> from streamlearn.events import TopicPartition
    >>> part = Snapshot(data={"events_learned": 2}, arrays={"weights": np.array([0.5, -1.0])})
    >>> state = ShardState("flights", "flights", 7, {TopicPartition("flights", 0): 2}, 2, 0, {}, (),
    ...                    {"model/logistic": part}, config={}, source={"cluster": "a"})
    >>> state_digest(state) == state_digest(replace(state, sequence=8, source={"cluster": "b"}))
    True
    >>> state_digest(state) == state_digest(replace(state, events_learned=3))
    False
    """
    admit = admitted_by(state.config)
    learned = {
        "next_offsets": [[*partition, offset] for partition, offset in sorted(state.next_offsets.items())],
        "events_learned": state.events_learned,
        "events_rejected": state.events_rejected,
        "counters": dict(state.counters),
        "models": sorted([model.name, model.version, model.events_learned] for model in state.models),
        "parts": {name: part_digest(part, admit) for name, part in state.parts.items()},
    }
    return hashlib.sha256(canonical_json(learned)).hexdigest()


def part_digest(snapshot: Snapshot, admit: frozenset[Pair] = frozenset()) -> str:
    """Return the digest of one part: of its JSON data, its arrays and the objects that it pickled.

    Raises
    ------
    CheckpointRefused
        The pickle names what neither River, NumPy nor ``admit`` defines.

    >>> part_digest(Snapshot(data={"n": 1})) == part_digest(Snapshot(data={"n": 1.0}))
    False
    """
    whole = {
        "data": hashlib.sha256(canonical_json(snapshot.data)).hexdigest(),
        "arrays": {name: _named(array) for name, array in snapshot.arrays.items()},
        "pickled": None if snapshot.pickled is None else structure_digest(loads(snapshot.pickled, admit)),
    }
    return hashlib.sha256(canonical_json(whole)).hexdigest()


def _named(array: npt.NDArray[Any]) -> str:
    return array_digest(np.asarray(array)).hex()
