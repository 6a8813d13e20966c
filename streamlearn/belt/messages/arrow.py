"""One Kafka message of many events: an Arrow IPC stream that holds one record batch.

Upholds that bad input is a value and never a crash: a batch is looked at only once Arrow has found all of it
valid (``validate(full=True)``), columns that nobody asked for included, as a JSON message must be one document
as a whole. Nothing is unfolded (compressed buffers, repeated dictionary values) before it is known to how
many bytes.

Source: Arrow columnar format 1.5, "IPC streaming format" and "Buffer compression".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from streamlearn.belt.decode_exact import DETAIL_CHARACTERS_MAX, Rejected
from streamlearn.belt.decode_fields import TEXT_BYTES_MAX
from streamlearn.config import Event
from streamlearn.events import Reason

_NOT_COMPRESSED = -1
_BUFFER_BYTES = 16
_SIZE_BYTES = 8
# What Arrow raises on bytes that are no stream; names in a schema may be no text.
_ERRORS = (pa.ArrowException, OSError, ValueError, OverflowError, struct.error)
_OPTIONS = pa.ipc.IpcReadOptions(use_threads=False)


class MessageReader:
    """Reads messages. Remembers the last schema, for the next one mostly has the same; may be shared by threads."""

    def __init__(self, event: Event) -> None:
        self._event = event
        self._last = _Plain(pa.py_buffer(b""), pa.schema([]))

    def read(self, message: bytes | None) -> pa.RecordBatch | Rejected:
        """Return the record batch of a message, valid to the last byte, or why it is rejected as a whole.

        Never raises on any bytes. Top-level dictionary columns come unfolded.

        >>> batch = pa.RecordBatch.from_pydict({"x": [1.5, None]})
        >>> reader = MessageReader(Event(format="arrow", numeric=("x",)))
        >>> reader.read(message_of(batch)).num_rows
        2
        >>> reader.read(b"{}").reason.label
        'invalid_arrow'
        """
        if message is None:
            return Rejected(Reason.TOMBSTONE, "the value is null")
        if not message:
            return Rejected(Reason.EMPTY, "the value has no bytes")
        if len(message) > self._event.message_bytes_max:
            size = f"{len(message)} bytes; event.message_bytes_max is {self._event.message_bytes_max}"
            return Rejected(Reason.OVERSIZED, size)
        try:
            return self._read(message)
        except _ERRORS as error:
            return Rejected(Reason.INVALID_ARROW, clipped(f"must be an Arrow IPC stream: {error}"))

    def _read(self, message: bytes) -> pa.RecordBatch | Rejected:
        """Read a message.

        1. Ask to how many bytes it unfolds; nothing is unfolded before.
        2. Read the batch, and see that there is one and nothing behind it.
        3. See that it is valid, and of how many events.
        4. Unfold dictionaries.
        """
        source = pa.BufferReader(message)
        parts = list(pa.ipc.MessageReader.open_stream(source))
        # Step 1.
        sizes = [_unfolded_bytes(part) for part in parts]
        if sum(size for size, _ in sizes) > self._event.unfolded_bytes_max:
            return self._unfolds_to_more()
        # Step 2.
        is_compressed = any(compressed for _, compressed in sizes)
        plain = None if is_compressed or source.tell() < len(message) else self._plain(parts)
        batch = _only_batch(message) if plain is None else pa.ipc.read_record_batch(parts[1], plain)
        if isinstance(batch, Rejected):
            return batch
        if not batch.num_rows:
            return Rejected(Reason.EMPTY, "the stream has no events")
        # Step 3.
        if batch.num_rows > self._event.message_events_max:
            many = f"{batch.num_rows} events; event.message_events_max is {self._event.message_events_max}"
            return Rejected(Reason.TOO_MANY_EVENTS, many)
        batch.validate(full=True)
        if plain is not None:
            return batch
        names = batch.schema.names
        if len(set(names)) < len(names):
            return Rejected(Reason.INVALID_ARROW, "two columns have the same name")
        if any(_has_inner_dictionary(field.type) for field in batch.schema):
            return Rejected(Reason.INVALID_ARROW, "a dictionary within a nested column is not taken")
        # Step 4.
        columns = [_bounded(column) for column in batch.columns]
        if sum(map(_bytes_when_unfolded, columns)) > self._event.unfolded_bytes_max:
            return self._unfolds_to_more()
        return pa.RecordBatch.from_arrays([_unfolded(column) for column in columns], names=names)

    def _plain(self, parts: Sequence[pa.ipc.Message]) -> pa.Schema | None:
        """Return the schema of a stream of one batch, without dictionaries and of distinct names; None: it is not such.

        Nearly every message is, and need not be gone through once more.
        """
        if [part.type for part in parts] != ["schema", "record batch"]:
            return None
        last = self._last
        if parts[0].metadata.equals(last.metadata):
            return last.schema
        schema = pa.ipc.read_schema(parts[0])
        metadata = parts[0].metadata.to_pybytes()  # a copy: the message is not kept for it
        # The text of a schema names each column's type. Only a whole stream is read in another order of bytes.
        if (
            "dictionary<" in str(schema)
            or len(set(schema.names)) < len(schema.names)
            or _is_swapped(metadata)
        ):
            return None
        self._last = _Plain(pa.py_buffer(metadata), schema)
        return schema

    def _unfolds_to_more(self) -> Rejected:
        bytes_max = self._event.unfolded_bytes_max
        return Rejected(
            Reason.OVERSIZED, f"unfolds to more than event.unfolded_bytes_max = {bytes_max} bytes"
        )


class _Plain(NamedTuple):
    """A schema of which nothing has to be unfolded, and how a message spells it."""

    metadata: pa.Buffer
    schema: pa.Schema


def message_of(batch: pa.RecordBatch, compression: str | None = None) -> bytes:
    """Return a message that holds a batch: its schema, the batch, and the end.

    Parameters
    ----------
    compression
        ``"lz4"``, ``"zstd"`` or None; where Kafka compresses (``compression.type``), it gains nothing.
    """
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(
        sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression=compression)
    ) as writer:
        writer.write_batch(batch)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def message_of_row(message: bytes, row: int) -> bytes:
    """Return a message that holds one row of a valid one, with its dictionaries unfolded and no metadata."""
    with pa.ipc.open_stream(message, options=_OPTIONS) as reader:
        batch = reader.read_next_batch().slice(row, 1)
    columns = [_unfolded(column) for column in batch.columns]
    fields = [pa.field(f.name, c.type, f.nullable) for f, c in zip(batch.schema, columns, strict=True)]
    return message_of(pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields)))


def clipped(text: str) -> str:
    """Return a detail for people, of bounded length."""
    text = " ".join(text.split())
    return text if len(text) <= DETAIL_CHARACTERS_MAX else text[: DETAIL_CHARACTERS_MAX - 1] + "…"


def _only_batch(message: bytes) -> pa.RecordBatch | Rejected:
    source = pa.BufferReader(message)
    with pa.ipc.open_stream(source, options=_OPTIONS) as reader:
        batch = next(reader, None)
        if batch is None or not batch.num_rows:
            return Rejected(Reason.EMPTY, "the stream has no events")
        if next(reader, None) is not None or source.tell() != len(message):
            return Rejected(Reason.TRAILING_DATA, "one record batch must be all; there is more behind it")
    return batch


def _unfolded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _bounded(column: pa.Array) -> pa.Array:
    """Cut a dictionary's texts to just more than a text may have: the rows are refused all the same."""
    if not pa.types.is_dictionary(column.type) or not _is_text(column.type.value_type):
        return column
    texts = column.dictionary.cast(pa.large_string())
    if pc.max(pc.binary_length(texts).fill_null(0)).as_py() <= TEXT_BYTES_MAX:
        return column
    texts = pc.utf8_slice_codeunits(texts, 0, TEXT_BYTES_MAX + 1)
    return pa.DictionaryArray.from_arrays(column.indices, texts)


def _bytes_when_unfolded(column: pa.Array) -> int:
    if not pa.types.is_dictionary(column.type):
        return 0
    values = column.dictionary
    if not len(values):
        return 0
    each = pa.scalar(_SIZE_BYTES, pa.int64())
    if _is_text(values.type) or pa.types.is_large_binary(values.type) or pa.types.is_binary(values.type):
        sizes = pc.binary_length(values).cast(pa.int64()).fill_null(0)
        return int(pc.sum(sizes.take(column.indices)).as_py() or 0)
    if pa.types.is_primitive(values.type):
        return len(column) * int(each.as_py())
    # Of whatever else: as if each row took the whole dictionary.
    return len(column) * int(values.nbytes)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _has_inner_dictionary(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_dictionary(kind):
        return _holds_dictionary(kind.value_type)
    return any(_holds_dictionary(child) for child in _children(kind))


def _holds_dictionary(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return pa.types.is_dictionary(kind) or any(_holds_dictionary(child) for child in _children(kind))


def _children(kind: pa.DataType) -> Iterator[pa.DataType]:
    if pa.types.is_run_end_encoded(kind):
        yield kind.value_type
        return
    for number in range(kind.num_fields):
        yield kind.field(number).type


# --------------------------------------------------------------- what Arrow's Python interface does not tell


def _unfolded_bytes(message: pa.ipc.Message) -> tuple[int, bool]:
    """Return to how many bytes the buffers of a message unfold, by what they say of themselves, and whether they are
    compressed."""
    if message.type not in ("record batch", "dictionary"):
        return 0, False
    metadata, body = message.metadata.to_pybytes(), message.body
    table = _field(metadata, _root(metadata), 2)  # Message.header
    if table is not None and message.type == "dictionary":
        table = _field(metadata, _at(metadata, table), 1)  # DictionaryBatch.data
    if table is None:
        return 0, False
    batch = _at(metadata, table)
    is_compressed = _field(metadata, batch, 3) is not None  # RecordBatch.compression
    buffers = _field(metadata, batch, 2)  # RecordBatch.buffers
    if buffers is None:
        return 0, is_compressed
    vector = _at(metadata, buffers)
    (count,) = struct.unpack_from("<I", metadata, vector)
    content = memoryview(body) if body is not None else memoryview(b"")
    places = metadata[vector + 4 : vector + 4 + count * _BUFFER_BYTES]
    if len(places) < count * _BUFFER_BYTES:
        raise ValueError(f"{count} buffers are more than there is room for")
    numbers = struct.unpack(f"<{2 * count}q", places)  # of each where it begins, and how long it is
    if not is_compressed:
        return sum(numbers[1::2]), False
    total = 0
    for start, size in zip(numbers[::2], numbers[1::2], strict=True):
        if size >= _SIZE_BYTES:
            (unfolded,) = struct.unpack_from("<q", content, start)
            size = size - _SIZE_BYTES if unfolded == _NOT_COMPRESSED else unfolded
        if size < 0:
            raise ValueError(f"a buffer of {size} bytes")
        total += size
    return total, True


def _is_swapped(metadata: bytes) -> bool:
    """Whether a schema says that the numbers of its batches are big-endian."""
    table = _field(metadata, _root(metadata), 2)  # Message.header
    endianness = None if table is None else _field(metadata, _at(metadata, table), 0)  # Schema.endianness
    return endianness is not None and metadata[endianness : endianness + 2] != b"\0\0"


def _root(metadata: bytes) -> int:
    (offset,) = struct.unpack_from("<I", metadata, 0)
    return int(offset)


def _at(metadata: bytes, field: int) -> int:
    """Follow a reference: a table or a vector."""
    (offset,) = struct.unpack_from("<I", metadata, field)
    return field + int(offset)


def _field(metadata: bytes, table: int, number: int) -> int | None:
    """Return where a field of a flatbuffer's table lies; None: it has none."""
    (back,) = struct.unpack_from("<i", metadata, table)
    entries = table - back
    (size,) = struct.unpack_from("<H", metadata, entries)
    entry = 4 + 2 * number
    if entry + 2 > size:
        return None
    (offset,) = struct.unpack_from("<H", metadata, entries + entry)
    return table + int(offset) if offset else None
