"""One Kafka message of many events: an Arrow IPC stream that holds one record batch.

Upholds that bad input is a value and never a crash: a batch is looked at only once Arrow has found all of it
valid (``validate(full=True)``), columns that nobody asked for included, as a JSON message must be one document
as a whole. Nothing is unfolded (compressed buffers, repeated dictionary values) before it is known to how
many bytes.

Source: Arrow columnar format 1.5, "IPC streaming format" and "Buffer compression".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

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


def read_message(message: bytes | None, event: Event) -> pa.RecordBatch | Rejected:
    """Return the record batch of a message, valid to the last byte, or why it is rejected as a whole.

    Never raises on any bytes. Top-level dictionary columns come unfolded.

    >>> batch = pa.RecordBatch.from_pydict({"x": [1.5, None]})
    >>> read_message(message_of(batch), Event(format="arrow", numeric=("x",))).num_rows
    2
    >>> read_message(b"{}", Event(format="arrow", numeric=("x",))).reason.label
    'invalid_arrow'
    """
    if message is None:
        return Rejected(Reason.TOMBSTONE, "the value is null")
    if not message:
        return Rejected(Reason.EMPTY, "the value has no bytes")
    if len(message) > event.message_bytes_max:
        size = f"{len(message)} bytes; event.message_bytes_max is {event.message_bytes_max}"
        return Rejected(Reason.OVERSIZED, size)
    try:
        return _read(message, event)
    except _ERRORS as error:
        return Rejected(Reason.INVALID_ARROW, clipped(f"must be an Arrow IPC stream: {error}"))


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


def _read(message: bytes, event: Event) -> pa.RecordBatch | Rejected:
    """Read a message.

    1. Ask to how many bytes it unfolds; nothing is unfolded before.
    2. Read the batch, and see that there is one and nothing behind it.
    3. See that it is valid, and of how many events.
    4. Unfold dictionaries.
    """
    bytes_max = event.unfolded_bytes_max
    # Step 1.
    if sum(map(_unfolded_bytes, pa.ipc.MessageReader.open_stream(message))) > bytes_max:
        return Rejected(
            Reason.OVERSIZED, f"unfolds to more than event.unfolded_bytes_max = {bytes_max} bytes"
        )
    # Step 2.
    source = pa.BufferReader(message)
    with pa.ipc.open_stream(source, options=_OPTIONS) as reader:
        batch = next(reader, None)
        if batch is None or not batch.num_rows:
            return Rejected(Reason.EMPTY, "the stream has no events")
        if next(reader, None) is not None or source.tell() != len(message):
            return Rejected(Reason.TRAILING_DATA, "one record batch must be all; there is more behind it")
    # Step 3.
    if batch.num_rows > event.message_events_max:
        many = f"{batch.num_rows} events; event.message_events_max is {event.message_events_max}"
        return Rejected(Reason.TOO_MANY_EVENTS, many)
    batch.validate(full=True)
    names = batch.schema.names
    if len(set(names)) < len(names):
        return Rejected(Reason.INVALID_ARROW, "two columns have the same name")
    # Most schemas have none, and need not be looked at column by column. (The text names each column's type.)
    if "dictionary<" not in str(batch.schema):
        return batch
    if any(_has_inner_dictionary(field.type) for field in batch.schema):
        return Rejected(Reason.INVALID_ARROW, "a dictionary within a nested column is not taken")
    # Step 4.
    columns = [_bounded(column) for column in batch.columns]
    if sum(map(_bytes_when_unfolded, columns)) > bytes_max:
        return Rejected(
            Reason.OVERSIZED, f"unfolds to more than event.unfolded_bytes_max = {bytes_max} bytes"
        )
    return pa.RecordBatch.from_arrays([_unfolded(column) for column in columns], names=names)


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


def _unfolded_bytes(message: pa.ipc.Message) -> int:
    """Return to how many bytes the buffers of a message unfold, by what they say of themselves."""
    if message.type not in ("record batch", "dictionary"):
        return 0
    metadata, body = message.metadata.to_pybytes(), message.body
    table = _field(metadata, _root(metadata), 2)  # Message.header
    if table is not None and message.type == "dictionary":
        table = _field(metadata, _at(metadata, table), 1)  # DictionaryBatch.data
    if table is None:
        return 0
    batch = _at(metadata, table)
    is_compressed = _field(metadata, batch, 3) is not None  # RecordBatch.compression
    buffers = _field(metadata, batch, 2)  # RecordBatch.buffers
    if buffers is None:
        return 0
    vector = _at(metadata, buffers)
    (count,) = struct.unpack_from("<I", metadata, vector)
    content = memoryview(body) if body is not None else memoryview(b"")
    places = metadata[vector + 4 : vector + 4 + count * _BUFFER_BYTES]
    if len(places) < count * _BUFFER_BYTES:
        raise ValueError(f"{count} buffers are more than there is room for")
    if not is_compressed:
        return sum(size for _start, size in struct.iter_unpack("<qq", places))
    total = 0
    for start, size in struct.iter_unpack("<qq", places):
        if size >= _SIZE_BYTES:
            (unfolded,) = struct.unpack_from("<q", content, start)
            size = size - _SIZE_BYTES if unfolded == _NOT_COMPRESSED else unfolded
        if size < 0:
            raise ValueError(f"a buffer of {size} bytes")
        total += size
    return total


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
