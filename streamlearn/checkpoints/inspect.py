"""What ``streamlearn checkpoints ls | show | verify`` reports, as data. Reads only (`reads_are_pure`).

A PATH is a configured checkpoint folder or URL, the folder of a stream or of a shard in it, or one file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from streamlearn.checkpoints.digest import part_digest, state_digest
from streamlearn.checkpoints.disk import Listed
from streamlearn.checkpoints.format import FORMAT_VERSION, Header, read_header
from streamlearn.checkpoints.format import decode as decode_file
from streamlearn.checkpoints.keeper import verify_restorable
from streamlearn.checkpoints.names import (
    CORRUPT_SUFFIX,
    SUFFIX,
    Version,
    folder_name,
    is_set_aside,
    shard_name,
    version_of,
)
from streamlearn.checkpoints.places import Place, open_place
from streamlearn.checkpoints.unpickle import admitted_by
from streamlearn.contracts import ShardState
from streamlearn.errors import CheckpointCorrupt, CheckpointError, CheckpointRefused


@dataclass(frozen=True, slots=True)
class Found:
    """One file below a PATH."""

    version: Version
    path: str
    folder: str
    nbytes: int
    written_at: float
    set_aside: bool


def show(path: str, stream: str | None = None, *, key: bytes | None = None) -> dict[str, Any]:
    """Return what the newest checkpoint of each shard of a stream holds.

    Parameters
    ----------
    stream
        Needed where the folder holds several.
    key
        Given one, only files that it signed are read.

    Raises
    ------
    CheckpointError
        There is none, or there are several streams.
    CheckpointCorrupt
        None of a shard's checkpoints verifies.
    CheckpointRefused
        One cannot be read by this version, or with this key.

    >>> from streamlearn.checkpoints.keeper import CheckpointKeeper
    >>> from streamlearn.checkpoints.stores import open_store
    >>> state = ShardState("flights", "flights", 1, {}, 2, 0, {}, (), {}, config={}, source={})
    >>> keeper = CheckpointKeeper(open_store("memory://show", "flights"), keep=5)
    >>> _ = keeper.claim("flights"), keeper.publish(state)
    >>> shown = show("memory://show")
    >>> shown["stream"], shown["format_version"], shown["shards"][0]["events_learned"]
    ('flights', 1, 2)
    """
    states = newest_states(path, stream, key=key)
    return {
        "stream": states[0].stream,
        "format_version": FORMAT_VERSION,
        "shards": [_shown(state) for state in states],
    }


def newest_states(path: str, stream: str | None = None, *, key: bytes | None = None) -> list[ShardState]:
    """Return the newest checkpoint of each shard of a stream that verifies, by partition. Raises as ``show``."""
    place, root = open_place(path)
    folders: dict[str, list[Found]] = {}
    for file in _of_one_stream(path, list(_files(place, root)), stream):
        folders.setdefault(file.folder, []).append(file)
    return sorted((_newest(place, files, key) for files in folders.values()), key=_shard_order)


def ls(path: str) -> list[dict[str, Any]]:
    """Return what there is, by stream, shard, epoch and sequence: every file, also those set aside.

    Facts from inside a file are ``None`` where its header does not verify. ``valid`` is of the whole file,
    signature apart; ``written_at`` is the store's own time.
    """
    place, root = open_place(path)
    return [row for file in _files(place, root) if (row := _listed(place, file)) is not None]


def verify(path: str, *, key: bytes | None = None) -> list[dict[str, Any]]:
    """Return for every file that counts whether a start could go on from it: ``ok``, or ``error`` says why not.

    Checksums, versions and (given a key) signatures are verified, and pickled models are rebuilt.
    """
    place, root = open_place(path)
    rows = []
    for file in _files(place, root):
        if not file.set_aside and (data := _read(place, file)) is not None:
            try:
                verify_restorable(data, key=key)
            except (CheckpointCorrupt, CheckpointRefused) as error:
                rows.append({"path": file.path, "ok": False, "error": str(error)})
            else:
                rows.append({"path": file.path, "ok": True, "error": None})
    return rows


def _files(place: Place, path: str) -> Iterator[Found]:
    """Find the files at a path, or up to two folders below it."""
    if path.endswith((SUFFIX, CORRUPT_SUFFIX)):
        folder, _, name = path.rpartition("/")
        yield from (
            f for f in _in_folder(folder or ".", place.entries(folder or ".")) if f.path.endswith(name)
        )
        return
    pending = [(path, 0)]
    while pending:
        folder, depth = pending.pop()
        entries = place.entries(folder)
        yield from _in_folder(folder, entries)
        if depth < 2:
            below = [
                (f"{folder.rstrip('/')}/{entry.name}", depth + 1) for entry in entries if entry.is_folder
            ]
            pending += reversed(below)


def _in_folder(folder: str, entries: list[Listed]) -> Iterator[Found]:
    versions = {entry.name: version for entry in entries if (version := version_of(entry.name)) is not None}
    for entry in sorted(entries, key=lambda entry: (versions.get(entry.name, (0, 0)), entry.name)):
        if entry.name in versions:
            path, aside = f"{folder}/{entry.name}", is_set_aside(entry.name)
            yield Found(versions[entry.name], path, folder, entry.nbytes, entry.written_at, aside)


def _of_one_stream(path: str, files: list[Found], stream: str | None) -> list[Found]:
    if stream is not None:
        files = [file for file in files if file.folder.split("/")[-2:][0] == folder_name(stream)]
    if not files:
        of = f" of the stream {stream!r}" if stream is not None else ""
        raise CheckpointError(
            f"there is no checkpoint{of} in {path}",
            remedy="name the folder that checkpoint.path configures, a stream's folder in it, or one file",
        )
    streams = sorted({shard_name(file.folder.split("/")[-2:][0]) for file in files})
    if len(streams) > 1:
        raise CheckpointError(
            f"{path} holds the checkpoints of several streams: {', '.join(streams)}",
            remedy="name one of them with --stream",
        )
    return files


def _newest(place: Place, files: list[Found], key: bytes | None) -> ShardState:
    why = "all were set aside"
    for file in sorted(files, key=lambda file: file.version, reverse=True):
        if not file.set_aside and (data := _read(place, file)) is not None:
            try:
                return decode_file(data, key=key)
            except CheckpointCorrupt as error:
                why = f"{file.path}: {error.what}"
    raise CheckpointCorrupt(
        f"none of the checkpoints in {files[0].folder} verifies; the last tried: {why}",
        remedy="put a copy of a good one into that folder",
    )


def _read(place: Place, file: Found) -> bytes | None:
    """Return a file's content; ``None`` where a running daemon has removed it since it was listed."""
    try:
        return place.read(file.path)
    except FileNotFoundError:
        return None


def _shard_order(state: ShardState) -> tuple[Any, ...]:
    return (min(state.next_offsets, default=("", -1)), state.shard)


def _shown(state: ShardState) -> dict[str, Any]:
    admit = admitted_by(state.config)
    return {
        "shard": state.shard,
        "next_offsets": [
            {"topic": each.topic, "partition": each.partition, "next_offset": next_offset}
            for each, next_offset in sorted(state.next_offsets.items())
        ],
        "events_learned": state.events_learned,
        "events_rejected": state.events_rejected,
        "state_digest": state_digest(state),
        "models": [
            {
                "name": model.name,
                "version": model.version,
                "events_learned": model.events_learned,
                "digest": part_digest(state.parts[f"model/{model.name}"], admit),
            }
            for model in state.models
        ],
    }


def _listed(place: Place, file: Found) -> dict[str, Any] | None:
    data = _read(place, file)
    if data is None:
        return None
    header: Header | None = None
    valid = False
    try:
        header = read_header(data)
        decode_file(data)
        valid = True
    except (CheckpointCorrupt, CheckpointRefused) as error:
        why: str | None = error.what
    else:
        why = None
    return {
        "path": file.path,
        "stream": header.stream if header else None,
        "shard": header.shard if header else shard_name(file.folder.rpartition("/")[2]),
        "epoch": file.version.epoch,
        "sequence": file.version.sequence,
        "bytes": file.nbytes,
        "written_at": datetime.fromtimestamp(file.written_at, UTC).isoformat(timespec="milliseconds"),
        "next_offsets": [
            {"topic": each.topic, "partition": each.partition, "next_offset": each.next_offset}
            for each in sorted(header.next_offsets, key=lambda each: (each.topic, each.partition))
        ]
        if header
        else None,
        "events_learned": header.events_learned if header else None,
        "libraries": header.libraries if header else None,
        "signed": header.signed if header else None,
        "valid": valid,
        "error": why,
        "set_aside": file.set_aside,
    }
