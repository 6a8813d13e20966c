"""One checkpoint file: a header that is verified first, then sections, each verified in turn.

    magic            8 bytes
    header length    8 bytes, little endian
    header           JSON: versions, the shard's offsets and counts, and a table of the sections
    signature        32 bytes: HMAC-SHA256 of all before under the key; zeros where the file is unsigned
    checksum         32 bytes: SHA-256 of all before
    sections         one behind the other, in the order of the table, up to the end of the file

Upholds `offsets_travel_with_state` (one file holds all parts of a shard and its `next_offsets`) and, with
``stores.py``, `old_or_new`: the checksum covers the header, whose table covers every section by its length
and SHA-256, so a file that is cut short, longer, or changed in any bit does not verify. Prologue and
checksum stay where they are in every format version; so a newer file is told from a damaged one.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import platform
import struct
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any, Literal

import msgspec

from streamlearn import __version__
from streamlearn.checkpoints.arrays import Buffer, read_arrays, write_arrays
from streamlearn.checkpoints.canonical import canonical_json, fingerprint
from streamlearn.contracts import ModelEntry, ShardState, Snapshot
from streamlearn.errors import CheckpointCorrupt, CheckpointRefused
from streamlearn.events import TopicPartition

# As PNG's: a byte that is no text, a name, and line ends that a text transfer would change.
MAGIC = b"\x89SLR\r\n\x1a\n"
FORMAT_VERSION = 1
PROLOGUE_BYTES = 16
SEAL_BYTES = 64
UNSIGNED = bytes(32)


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    part: str
    kind: Literal["data", "arrays", "pickled"]
    nbytes: int
    sha256: str


class Offset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    topic: str
    partition: int
    next_offset: int


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file says of itself, and all of a shard's state that is not in its parts."""

    format_version: int
    signed: bool
    libraries: dict[str, str]
    config_fingerprint: str
    stream: str
    shard: str
    sequence: int
    next_offsets: list[Offset]
    events_learned: int
    events_rejected: int
    counters: dict[str, int]
    models: list[ModelEntry]
    config: dict[str, Any]
    source: dict[str, Any]
    sections: list[Section]
    segments: list[str] | msgspec.UnsetType = msgspec.UNSET  # only where there are any


class _AnyVersion(msgspec.Struct, frozen=True):
    format_version: int


def encode(state: ShardState, *, key: bytes | None = None) -> list[Buffer]:
    """Return a shard's state as the buffers of one file; ``b"".join(...)`` of them is the file.

    The arrays are not copied: the buffers are of their memory.

    Parameters
    ----------
    key
        Signs the file.

    >>> from streamlearn.events import TopicPartition
    >>> state = ShardState("flights", "flights", 1, {TopicPartition("flights", 0): 2}, 2, 0, {}, (),
    ...                    {"features": Snapshot(data={"count": 2})}, config={}, source={})
    >>> decode(b"".join(encode(state))) == state
    True
    """
    assert key != b"", "an empty key signs nothing"
    sections: list[Section] = []
    body: list[Buffer] = []
    for name, part in state.parts.items():
        for kind, buffers in _sections_of(part):
            nbytes = sum(len(buffer) for buffer in buffers)
            sections.append(Section(name, kind, nbytes, _sha256(*buffers).hex()))
            body += buffers
    header = Header(
        format_version=FORMAT_VERSION,
        signed=key is not None,
        libraries=installed_versions(),
        config_fingerprint=fingerprint(state.config),
        stream=state.stream,
        shard=state.shard,
        sequence=state.sequence,
        next_offsets=[Offset(*partition, offset) for partition, offset in state.next_offsets.items()],
        events_learned=state.events_learned,
        events_rejected=state.events_rejected,
        counters=dict(state.counters),
        models=list(state.models),
        config=dict(state.config),
        source=dict(state.source),
        sections=sections,
        segments=list(state.segments) or msgspec.UNSET,
    )
    text = canonical_json(msgspec.to_builtins(header))
    assert msgspec.json.decode(text, type=Header).sections == sections, "what is written reads back"
    signed = MAGIC + struct.pack("<Q", len(text)) + text
    sealed = signed + (UNSIGNED if key is None else hmac.digest(key, signed, "sha256"))
    return [sealed + _sha256(sealed), *body]


def decode(data: bytes | memoryview, *, key: bytes | None = None) -> ShardState:
    """Return the state in a file, once all of it has verified. Nothing is unpickled.

    Parameters
    ----------
    key
        Given one, only files that it signed are read. Without one, signatures are not looked at.

    Raises
    ------
    CheckpointCorrupt
        The file is not whole; it says which part failed.
    CheckpointRefused
        The file is whole, but of another format version, not signed with the key, or holds models
        pickled under another version of River.
    """
    header = read_header(data, key=key)
    parts: dict[str, dict[str, Any]] = {}
    for section, content in _read_sections(header, memoryview(data)):
        fields = parts.setdefault(section.part, {})
        _verify(section.kind not in fields, f"the part {section.part!r} has two sections {section.kind!r}")
        fields[section.kind] = _read_section(section, content)
    _refuse_other_river(header)
    return ShardState(
        stream=header.stream,
        shard=header.shard,
        sequence=header.sequence,
        next_offsets={TopicPartition(o.topic, o.partition): o.next_offset for o in header.next_offsets},
        events_learned=header.events_learned,
        events_rejected=header.events_rejected,
        counters=header.counters,
        models=tuple(header.models),
        parts={name: Snapshot(**fields) for name, fields in parts.items()},
        config=header.config,
        source=header.source,
        segments=tuple(header.segments or ()),
    )


def read_header(data: bytes | memoryview, *, key: bytes | None = None) -> Header:
    """Return the verified header of a file, without a look at its sections. Raises as ``decode`` does."""
    view = memoryview(data)
    _verify(bytes(view[:8]) == MAGIC[: len(view)], "it does not begin as a checkpoint does")
    _verify(len(view) >= PROLOGUE_BYTES + SEAL_BYTES, f"it ends within its prologue ({len(view)} bytes)")
    end = PROLOGUE_BYTES + struct.unpack("<Q", view[8:PROLOGUE_BYTES])[0]
    _verify(end + SEAL_BYTES <= len(view), "it ends within its header")
    signature = bytes(view[end : end + 32])
    checksum = bytes(view[end + 32 : end + SEAL_BYTES])
    _verify(_sha256(view[: end + 32]) == checksum, "the checksum of its header does not match")
    if key is not None:
        _refuse_unsigned(view[:end], signature, key)
    text = bytes(view[PROLOGUE_BYTES:end])
    try:
        version = msgspec.json.decode(text, type=_AnyVersion).format_version
        _refuse_other_format(version)
        header = msgspec.json.decode(text, type=Header)
    except (msgspec.DecodeError, RecursionError) as error:
        raise corrupt(f"its header cannot be read: {error}") from error
    _verify(header.signed == (signature != UNSIGNED), "it was signed, or not, otherwise than it says")
    _verify(header.config_fingerprint == fingerprint(header.config), "its config has another fingerprint")
    return header


def installed_versions() -> dict[str, str]:
    """Return the versions of what writes and reads checkpoints here.

    >>> sorted(installed_versions())[:2]
    ['numpy', 'python']
    """
    names = ["numpy", "river", *(["torch"] if "torch" in sys.modules else [])]
    versions = {name: _installed_version(name) for name in names}
    return {"streamlearn": __version__, "python": platform.python_version(), **versions}


@functools.cache
def _installed_version(name: str) -> str:
    # Kept: it reads the package's files, and a checkpoint is written every few seconds.
    return metadata.version(name)


def _sections_of(part: Snapshot) -> Iterator[tuple[Literal["data", "arrays", "pickled"], list[Buffer]]]:
    yield "data", [canonical_json(part.data)]
    if part.arrays:
        yield "arrays", write_arrays(part.arrays)
    if part.pickled is not None:
        yield "pickled", [part.pickled]


def _read_sections(header: Header, view: memoryview) -> Iterator[tuple[Section, memoryview]]:
    start = len(view) - sum(section.nbytes for section in header.sections)
    _verify(
        all(section.nbytes >= 0 for section in header.sections) and start == _header_bytes(view),
        "its length is not that of its header and sections",
    )
    for section in header.sections:
        content = view[start : start + section.nbytes]
        start += section.nbytes
        what = f"the checksum of its section {section.kind!r} of {section.part!r} does not match"
        _verify(_sha256(content).hex() == section.sha256, what)
        yield section, content


def _header_bytes(view: memoryview) -> int:
    length: int = struct.unpack("<Q", view[8:PROLOGUE_BYTES])[0]
    return PROLOGUE_BYTES + length + SEAL_BYTES


def _read_section(section: Section, content: memoryview) -> Any:
    if section.kind == "arrays":
        return read_arrays(bytes(content))
    if section.kind == "pickled":
        return bytes(content)
    try:
        data = json.loads(bytes(content))
    except (ValueError, RecursionError) as error:
        raise corrupt(f"its section 'data' of {section.part!r} is no JSON: {error}") from error
    _verify(isinstance(data, dict), f"its section 'data' of {section.part!r} is no JSON object")
    return data


def _sha256(*buffers: Buffer) -> bytes:
    whole = hashlib.sha256()
    for buffer in buffers:
        whole.update(buffer)
    return whole.digest()


def corrupt(what: str) -> CheckpointCorrupt:
    """Return the error for a file that does not verify; ``what`` says which part of it."""
    return CheckpointCorrupt(
        f"the checkpoint does not verify: {what}",
        remedy="none at a start, which goes on from the newest one that verifies; "
        "if none does, put a copy back in its place",
    )


def _verify(holds: bool, what: str) -> None:
    if not holds:
        raise corrupt(what)


def _refuse_unsigned(signed: memoryview, signature: bytes, key: bytes) -> None:
    if not hmac.compare_digest(hmac.digest(key, signed, "sha256"), signature):
        how = "is not signed" if signature == UNSIGNED else "was signed with another key"
        raise CheckpointRefused(
            f"the checkpoint {how}, and STREAMLEARN_CHECKPOINT_KEY is set",
            remedy="set the key that it was written with; unset it to load unsigned files that you trust",
        )


def _refuse_other_format(version: int) -> None:
    if version != FORMAT_VERSION:
        raise CheckpointRefused(
            f"the checkpoint has format version {version}; streamlearn {__version__} reads {FORMAT_VERSION}",
            remedy="run the streamlearn that wrote it, or start anew under another checkpoint.path",
        )


def _refuse_other_river(header: Header) -> None:
    pickled = sorted(section.part for section in header.sections if section.kind == "pickled")
    written, installed = header.libraries.get("river", "none"), _installed_version("river")
    if pickled and written != installed:
        raise CheckpointRefused(
            f"the checkpoint holds {', '.join(pickled)} as pickled by river {written}; installed is {installed}, "
            "and River's models do not survive another version",
            remedy=f"pip install river=={written}, or start anew under another checkpoint.path",
        )
