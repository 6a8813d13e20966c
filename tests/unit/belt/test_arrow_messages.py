"""Arrow messages as batches: the short way of plain ones ends where the whole way does, on any bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.belt.decode_exact import Rejected
from streamlearn.belt.messages.arrow import MessageReader, message_of
from streamlearn.config import Event

EVENT = Event(
    format="arrow", label="late", numeric=("x",), unfolded_bytes_max=1_000_000, message_events_max=1000
)
BATCH = pa.RecordBatch.from_pydict(
    {"x": [1.5, None, 3.0], "late": [True, False, None], "note": ["a", "", "ö"]}
)


class WholeWay(MessageReader):
    """Takes every message for one that is not plain."""

    def _plain(self, parts: Sequence[pa.ipc.Message]) -> pa.Schema | None:
        return None


def found(reader: MessageReader, message: bytes) -> object:
    read = reader.read(message)
    return read if isinstance(read, Rejected) else (read.schema, read.to_pylist())


def in_the_other_order(message: bytes) -> bytes:
    """Have the schema of a message say that it is big-endian: with a field named so, it finds two bytes that say 1."""
    metadata = next(iter(pa.ipc.MessageReader.open_stream(message))).metadata.to_pybytes()
    begin = message.index(metadata)
    (root,) = struct.unpack_from("<I", metadata, 0)
    (root_back,) = struct.unpack_from("<i", metadata, root)
    (header,) = struct.unpack_from("<H", metadata, root - root_back + 4 + 2 * 2)
    schema = root + header + struct.unpack_from("<I", metadata, root + header)[0]
    entries = schema - struct.unpack_from("<i", metadata, schema)[0]
    one = next(place for place in range(4, 4000, 2) if metadata[schema + place :].startswith(b"\1\0"))
    changed = bytearray(message)
    struct.pack_into("<H", changed, begin + entries + 4, one)
    return bytes(changed)


def test_plain_messages_are_read_as_all_are() -> None:
    reader = MessageReader(EVENT)
    messages = [message_of(BATCH), message_of(BATCH.select(["late", "x"])), message_of(BATCH.slice(1))]
    for message in [*messages, *messages]:
        assert found(reader, message) == found(WholeWay(EVENT), message)
        assert found(reader, message + b"\0") == found(WholeWay(EVENT), message + b"\0")
        assert found(reader, message[:-8]) == found(
            WholeWay(EVENT), message[:-8]
        )  # without the mark of the end
    empty = message_of(BATCH.slice(0, 0))
    assert found(reader, empty) == found(WholeWay(EVENT), empty)


def test_a_schema_that_is_remembered_is_not_taken_for_another() -> None:
    reader = MessageReader(EVENT)
    twice = pa.RecordBatch.from_arrays([pa.array([1.0])] * 2, ["x", "x"])
    for batch in (BATCH, twice, BATCH.rename_columns(["x", "late", "text"]), twice, BATCH):
        assert found(reader, message_of(batch)) == found(WholeWay(EVENT), message_of(batch))


def test_numbers_in_the_other_order_of_bytes_are_not_misread() -> None:
    batch = pa.RecordBatch.from_pydict({"x": [1.0, 2.0], "\1\0": [1, 256]})
    message = in_the_other_order(message_of(batch))
    swapped = MessageReader(EVENT).read(message)
    assert isinstance(swapped, pa.RecordBatch)
    assert swapped.column("\1\0").to_pylist() == [1 << 56, 1 << 48]


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    st.floats(0.5, 1),
)
def test_no_bytes_tell_the_ways_apart(changes: list[tuple[float, int]], kept: float) -> None:
    message = bytearray(message_of(BATCH))
    for place, byte in changes:
        message[int(place * len(message))] = byte
    hostile = bytes(message[: int(kept * len(message))] if kept < 0.7 else message)
    reader = MessageReader(EVENT)
    assert found(reader, message_of(BATCH)) == found(WholeWay(EVENT), message_of(BATCH))
    short, whole = found(reader, hostile), found(WholeWay(EVENT), hostile)
    if isinstance(short, Rejected) and isinstance(whole, Rejected):
        assert short.reason == whole.reason
    else:
        assert repr(short) == repr(whole)  # NaN is NaN
