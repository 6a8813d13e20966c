"""Any state is read back as it was; any damage to its file is told (`old_or_new`)."""

from __future__ import annotations

import functools
from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.checkpoints.digest import part_digest, state_digest
from streamlearn.checkpoints.format import decode, encode
from streamlearn.contracts import ModelEntry, ShardState, Snapshot
from streamlearn.errors import CheckpointCorrupt, CheckpointError
from streamlearn.events import TopicPartition

KEY = b"secret"
INTEGERS = st.integers(0, 2**63 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NUMBERS = st.sampled_from(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "c8"])
ARRAYS = NUMBERS.flatmap(
    lambda code: arrays.arrays(code, arrays.array_shapes(min_dims=0, min_side=0, max_side=4))
)
SNAPSHOTS = st.builds(
    Snapshot,
    data=st.dictionaries(st.text(), JSON, max_size=4),
    arrays=st.dictionaries(st.text().filter(lambda name: name != "__metadata__"), ARRAYS, max_size=3),
)
STATES = st.builds(
    ShardState,
    stream=st.text(),
    shard=st.text(),
    sequence=INTEGERS,
    next_offsets=st.dictionaries(st.builds(TopicPartition, st.text(), INTEGERS), INTEGERS, max_size=3),
    events_learned=INTEGERS,
    events_rejected=INTEGERS,
    counters=st.dictionaries(st.text(), INTEGERS, max_size=3),
    models=st.lists(st.builds(ModelEntry, st.text(), INTEGERS, INTEGERS), max_size=3).map(tuple),
    parts=st.dictionaries(st.text(), SNAPSHOTS, max_size=3),
    config=st.just({"seed": 1}),
    source=st.dictionaries(st.text(), st.text(), max_size=2),
)


@functools.cache
def example(key: bytes | None) -> bytes:
    part = Snapshot({"means": [0.5, 1.5]}, {"weights": np.arange(8.0)}, b"pickled bytes, never read here")
    state = ShardState(
        *("flights", "flights", 3, {TopicPartition("flights", 0): 9}, 9, 0, {}, (ModelEntry("a", 9, 9),)),
        *({"model/a": part}, {"seed": 1}, {}),
    )
    return b"".join(encode(state, key=key))


@given(STATES, st.sampled_from([None, KEY]))
@settings(max_examples=150, deadline=None)
def test_any_state_is_read_back_as_it_was(state: ShardState, key: bytes | None) -> None:
    restored = decode(b"".join(encode(state, key=key)), key=key)
    assert state_digest(restored) == state_digest(state)
    assert (restored.stream, restored.shard, restored.sequence) == (state.stream, state.shard, state.sequence)
    assert (restored.config, restored.source, restored.models) == (state.config, state.source, state.models)
    for name, part in state.parts.items():
        assert same(part.data, restored.parts[name].data)
        for key_, array in part.arrays.items():
            read = restored.parts[name].arrays[key_]
            assert (read.dtype, read.shape, read.tobytes()) == (array.dtype, array.shape, array.tobytes())


@pytest.mark.parametrize("key", [None, KEY], ids=["unsigned", "signed"])
def test_a_changed_byte_anywhere_is_told(key: bytes | None) -> None:
    """All positions, not a sample of them."""
    data = bytearray(example(key))
    for position in range(len(data)):
        for mask in (0x01, 0x80, 0xFF):
            data[position] ^= mask
            with pytest.raises(CheckpointCorrupt):
                decode(bytes(data), key=key)
            data[position] ^= mask
    decode(bytes(data), key=key)


@given(st.data(), st.sampled_from([None, KEY]))
@settings(max_examples=200, deadline=None)
def test_any_edit_is_told(data: st.DataObject, key: bytes | None) -> None:
    whole = example(key)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 64)))
    edited = whole[:start] + data.draw(st.binary(max_size=64)) + whole[end:]
    if edited != whole:
        with pytest.raises(CheckpointCorrupt):
            decode(edited, key=key)


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_bytes_that_never_were_a_checkpoint_are_told(noise: bytes) -> None:
    for key in (None, KEY):
        with pytest.raises(CheckpointError):
            decode(noise, key=key)
        with pytest.raises(CheckpointError):
            decode(example(None)[:100] + noise, key=key)


@given(SNAPSHOTS, SNAPSHOTS)
@settings(max_examples=100, deadline=None)
def test_parts_have_one_digest_exactly_if_they_are_the_same(one: Snapshot, other: Snapshot) -> None:
    equal = same(one.data, other.data) and same(dict(one.arrays), dict(other.arrays))
    assert (part_digest(one) == part_digest(other)) == equal


def same(one: Any, other: Any) -> bool:
    """Equal in type and to the bit, NaN to NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        values = one.dtype == other.dtype and one.shape == other.shape
        return values and all(map(same, one.reshape(-1).tolist(), other.reshape(-1).tolist()))
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, float):
        return repr(one) == repr(other)
    return bool(one == other)
