"""One checkpoint file: what goes in comes out, and what does not verify says why."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import struct
from dataclasses import replace
from importlib import metadata
from typing import Any

import numpy as np
import pytest
from river import linear_model, preprocessing
from safetensors.numpy import load as load_safetensors

from streamlearn.checkpoints import format as checkpoint_format
from streamlearn.checkpoints.arrays import DTYPES, read_arrays, write_arrays
from streamlearn.checkpoints.canonical import canonical_json, fingerprint
from streamlearn.checkpoints.format import MAGIC, PROLOGUE_BYTES, SEAL_BYTES, decode, encode, read_header
from streamlearn.contracts import ModelEntry, ShardState, Snapshot
from streamlearn.errors import CheckpointCorrupt, CheckpointRefused
from streamlearn.events import TopicPartition

KEY = b"a key of the operator"


def state(**changes: Any) -> ShardState:
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    model.learn_one({"distance": 1.0}, True)
    whole = ShardState(
        stream="flights",
        shard="flights[3]",
        sequence=12,
        next_offsets={TopicPartition("flights", 3): 1041, TopicPartition("delays", 0): 7},
        events_learned=1000,
        events_rejected=3,
        counters={"events_unlabelled": 45},
        models=(ModelEntry("logistic", 1000, 1000), ModelEntry("mlp", 512, 1000)),
        parts={
            "features": Snapshot(
                data={"means": [0.5, -0.0, 1e308], "names": ["distanz ü", "\U0001f600"], "draws": 2**127},
                arrays={"counts": np.arange(6).reshape(2, 3), "none": np.zeros((0, 4)), "one": np.array(1.5)},
            ),
            "model/logistic": Snapshot(
                data={"events_learned": 1000}, pickled=pickle.dumps(model, protocol=5)
            ),
            "merge": Snapshot(),
        },
        config={"seed": 1, "models": [{"name": "logistic", "admit": ["shop:Ranker"]}]},
        source={"cluster_id": "abc", "topic_ids": {"flights": "x"}},
    )
    return replace(whole, **changes)


def file(whole: ShardState | None = None, key: bytes | None = None) -> bytes:
    return b"".join(encode(whole or state(), key=key))


def sealed(header: dict[str, Any], body: bytes = b"") -> bytes:
    """A file with a header of our own that verifies."""
    text = json.dumps(header).encode()
    before = MAGIC + struct.pack("<Q", len(text)) + text + bytes(32)
    return before + hashlib.sha256(before).digest() + body


def header_of(data: bytes) -> dict[str, Any]:
    end = PROLOGUE_BYTES + struct.unpack("<Q", data[8:PROLOGUE_BYTES])[0]
    return json.loads(data[PROLOGUE_BYTES:end])


def body_of(data: bytes) -> bytes:
    return data[PROLOGUE_BYTES + struct.unpack("<Q", data[8:PROLOGUE_BYTES])[0] + SEAL_BYTES :]


def assert_equal(one: ShardState, other: ShardState) -> None:
    assert replace(one, parts={}) == replace(other, parts={})
    assert list(one.parts) == list(other.parts)
    for name, part in one.parts.items():
        assert part.data == other.parts[name].data
        assert part.pickled == other.parts[name].pickled
        assert sorted(part.arrays) == list(other.parts[name].arrays)
        for key, array in part.arrays.items():
            restored = other.parts[name].arrays[key]
            assert restored.dtype == array.dtype
            assert restored.shape == array.shape
            assert restored.tobytes() == array.tobytes()


@pytest.mark.parametrize("key", [None, KEY])
def test_offsets_travel_with_state(key: bytes | None) -> None:
    restored = decode(file(key=key), key=key)
    assert_equal(state(), restored)
    assert restored.next_offsets[TopicPartition("flights", 3)] == 1041


def test_the_same_state_is_the_same_file() -> None:
    assert file() == file()


def test_a_restored_array_may_be_learned_into() -> None:
    decode(file()).parts["features"].arrays["counts"][0, 0] = 7


def test_not_a_number_and_infinities_are_data() -> None:
    whole = state(
        parts={"drift": Snapshot(data={"minimum": math.inf, "mean": math.nan, "maximum": -math.inf})}
    )
    data = decode(file(whole)).parts["drift"].data
    assert data["minimum"] == math.inf
    assert math.isnan(data["mean"])
    assert data["maximum"] == -math.inf


@pytest.mark.parametrize("data", [{1: "a"}, {"a": {2: 3}}, {"a": np.float64(1)}, {"a": {1, 2}}, {"a": b"x"}])
def test_data_that_would_read_back_as_something_else_is_a_bug(data: Any) -> None:
    with pytest.raises(AssertionError, match="JSON types"):
        encode(state(parts={"features": Snapshot(data=data)}))


def test_libraries_are_named() -> None:
    libraries = read_header(file()).libraries
    assert libraries["river"] == metadata.version("river")
    assert {"python", "numpy", "streamlearn"} <= set(libraries)


# ------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("key", [None, KEY])
def test_every_truncation_is_told(key: bytes | None) -> None:
    data = file(key=key)
    for length in range(0, len(data), 7):
        with pytest.raises(CheckpointCorrupt):
            decode(data[:length], key=key)
    with pytest.raises(CheckpointCorrupt):
        decode(data[:-1], key=key)


def test_appended_bytes_are_told() -> None:
    with pytest.raises(CheckpointCorrupt, match="its length"):
        decode(file() + b"\0")


def test_the_error_names_what_failed() -> None:
    data = bytearray(file())
    data[-1] ^= 1  # in the last section that has bytes
    with pytest.raises(CheckpointCorrupt, match="section 'data' of 'merge'") as told:
        decode(bytes(data))
    assert told.value.remedy
    with pytest.raises(CheckpointCorrupt, match="does not begin"):
        decode(b"PK\x03\x04" + bytes(200))
    with pytest.raises(CheckpointCorrupt, match="prologue"):
        decode(b"")
    data = bytearray(file())
    data[20] ^= 1
    with pytest.raises(CheckpointCorrupt, match="checksum of its header"):
        decode(bytes(data))


def test_a_header_length_beyond_the_file_is_told() -> None:
    for length in (2**64 - 1, 2**63, 10**6):
        with pytest.raises(CheckpointCorrupt, match="within its header"):
            decode(MAGIC + struct.pack("<Q", length) + bytes(500))


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence": "one"},
        {"events_learned": None},
        {"next_offsets": [["flights", 0]]},
        {"models": {}},
        {"stranger": 1},
        {"signed": True},
        {"config": {"seed": 2}},
    ],
    ids=repr,
)
def test_a_header_that_verifies_but_does_not_read_is_corrupt(changes: dict[str, Any]) -> None:
    whole = file()
    with pytest.raises(CheckpointCorrupt):
        decode(sealed(header_of(whole) | changes, body_of(whole)))
    decode(sealed(header_of(whole), body_of(whole)))  # it is the change that is told


def test_sections_that_do_not_fit_are_corrupt() -> None:
    whole = file()
    header = header_of(whole)
    for sections in (
        header["sections"][:-1],
        header["sections"] + header["sections"][-1:],
        [*header["sections"], {"part": "x", "kind": "data", "nbytes": -1, "sha256": ""}],
        [each | {"kind": "code"} for each in header["sections"]],
    ):
        with pytest.raises(CheckpointCorrupt):
            decode(sealed(header | {"sections": sections}, body_of(whole)))
    for kind, content in (
        ("data", b"[1]"),
        ("data", b"{"),
        ("data", b"[" * 10**6),
        ("arrays", b"no tensors"),
    ):
        table = [
            {"part": "p", "kind": kind, "nbytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        ]
        with pytest.raises(CheckpointCorrupt):
            decode(sealed(header | {"sections": table}, content))


# ------------------------------------------------------------------------------------------ refusal


def test_with_a_key_only_files_that_it_signed_are_read() -> None:
    with pytest.raises(CheckpointRefused, match="is not signed"):
        decode(file(), key=KEY)
    with pytest.raises(CheckpointRefused, match="another key"):
        decode(file(key=b"somebody else's"), key=KEY)
    assert_equal(state(), decode(file(key=KEY)))  # integrity alone, where no key is set


def test_a_signature_cannot_be_taken_over_to_other_content() -> None:
    signed, other = file(key=KEY), file(state(events_learned=1))
    signature = signed[: -len(body_of(signed))][-SEAL_BYTES:-32]
    before = other[: -len(body_of(other))][:-SEAL_BYTES] + signature
    forged = before + hashlib.sha256(before).digest() + body_of(other)
    with pytest.raises(CheckpointRefused, match="another key"):
        decode(forged, key=KEY)


def test_another_format_version_is_refused_with_what_to_do() -> None:
    whole = file()
    future = {"format_version": 2, "layout": "nobody knows"}
    with pytest.raises(CheckpointRefused, match="format version 2") as refused:
        decode(sealed(future))
    assert "streamlearn" in refused.value.remedy
    with pytest.raises(CheckpointRefused):
        decode(sealed(header_of(whole) | {"format_version": 0}, body_of(whole)))


def test_another_river_is_refused_where_models_are_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = file()
    header = header_of(whole)
    other = header | {"libraries": header["libraries"] | {"river": "0.25.0"}}
    with pytest.raises(CheckpointRefused, match=r"model/logistic.*river 0\.25\.0; installed is") as refused:
        decode(sealed(other, body_of(whole)))
    assert "pip install river==0.25.0" in refused.value.remedy
    plain = file(state(parts={"features": Snapshot(data={"n": 1})}))
    decode(sealed(header_of(plain) | {"libraries": other["libraries"]}, body_of(plain)))


# ------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize("code", sorted(DTYPES))
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3)])
def test_arrays_are_what_the_library_reads(code: str, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).integers(0, 2, shape).astype(code)
    data = b"".join(write_arrays({"first": array, "second": np.arange(3)}))
    for read in (read_arrays, load_safetensors):
        restored = read(data)
        assert restored["first"].dtype == array.dtype
        assert restored["first"].shape == array.shape
        assert restored["first"].tobytes() == array.tobytes()
        assert restored["second"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "array",
    [np.arange(6.0).reshape(2, 3).T, np.arange(10)[::3], np.arange(4, dtype=">i4"), np.arange(4)[::-1]],
    ids=["transposed", "strided", "big endian", "reversed"],
)
def test_any_memory_layout_is_written(array: Any) -> None:
    restored = read_arrays(b"".join(write_arrays({"a": array})))["a"]
    assert restored.tolist() == array.tolist()


def test_arrays_are_not_copied() -> None:
    array = np.zeros(10)
    buffers = write_arrays({"a": array})
    assert np.shares_memory(np.frombuffer(buffers[1], dtype=np.uint8), array)


def test_an_array_that_safetensors_cannot_hold_is_a_bug() -> None:
    for array in (np.array(["text"]), np.array([None]), np.zeros(1, dtype=np.complex128)):
        with pytest.raises(AssertionError, match="no dtype"):
            write_arrays({"a": array})


# ---------------------------------------------------------------------------------------- canonical


def test_canonical_json_is_one_text() -> None:
    assert canonical_json({"b": 1, "a": (1, 2)}) == canonical_json({"a": [1, 2], "b": 1})
    assert len({canonical_json(value) for value in (1, 1.0, True, "1", None, [1], -0.0, 0.0)}) == 8
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_the_format_is_pinned() -> None:
    """A file of this version from another day: changed code that no longer reads it needs a new version."""
    assert checkpoint_format.FORMAT_VERSION == 1
    header = {
        "format_version": 1,
        "signed": False,
        "libraries": {"river": "0.26.1"},
        "stream": "s",
        "shard": "s",
        "sequence": 1,
        "events_learned": 2,
        "events_rejected": 0,
        "counters": {},
        "config": {},
        "source": {},
        "config_fingerprint": hashlib.sha256(b"{}").hexdigest(),
        "next_offsets": [{"topic": "t", "partition": 0, "next_offset": 5}],
        "models": [{"name": "m", "version": 2, "events_learned": 2}],
        "sections": [
            {"part": "p", "kind": "data", "nbytes": 2, "sha256": hashlib.sha256(b"{}").hexdigest()},
        ],
    }
    restored = decode(sealed(header, b"{}"))
    assert restored.next_offsets == {TopicPartition("t", 0): 5}
    assert restored.models == (ModelEntry("m", 2, 2),)
    assert restored.parts == {"p": Snapshot()}
