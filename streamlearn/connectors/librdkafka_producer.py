"""Records through librdkafka's C interface: columns in, no Python object each.

A handle of our own, which answers like confluent-kafka's ``Producer`` as far as it is used here, and takes
whole columns besides. Its one callback is called for records that failed, and only while one of the methods
here polls, on the thread that called it; so nothing that fails goes unnoticed, and no Python runs for a
record that arrives (``delivery.report.only.error``).

Upholds the sending half of `learned_once` in its part: rows are queued in order, and where the queue is full
the rest is left to the caller, nothing behind it queued.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import MethodType
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaTopicPartition
from numba.core.errors import NumbaError

from streamlearn.connectors.kafka_producers import DeliveryReport, Headers
from streamlearn.connectors.kafka_settings import Settings
from streamlearn.connectors.librdkafka import (
    ANY_PARTITION,
    COPY_PAYLOAD,
    PRODUCER,
    PURGE_QUEUE,
    NoCBatches,
    address_of,
    check_error,
    existing,
    librdkafka,
    new_handle,
    partition_list,
)
from streamlearn.connectors.librdkafka_layout import check_layout
from streamlearn.connectors.librdkafka_produce_kernels import produce
from streamlearn.events import Bool_B, Int_B, TopicPartition

PURGE_IN_FLIGHT: Final = 0x2  # RD_KAFKA_PURGE_F_INFLIGHT
_NO_FLAGS: Final = 0
# rd_kafka_vtype_t
_V_TOPIC, _V_PARTITION, _V_VALUE, _V_KEY, _V_FLAGS, _V_HEADER = 1, 3, 4, 5, 7, 9


class _Bytes(ctypes.Structure):
    _fields_ = (("data", ctypes.c_char_p), ("count", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("data", ctypes.c_char_p), ("count", ctypes.c_ssize_t))


class _Argument(ctypes.Union):
    _fields_ = (
        ("text", ctypes.c_char_p),
        ("partition", ctypes.c_int32),
        ("flags", ctypes.c_int),
        ("data", _Bytes),
        ("header", _Header),
        ("room", ctypes.c_char * 64),
    )


class _Tagged(ctypes.Structure):
    """``rd_kafka_vu_t``: one argument of ``rd_kafka_produceva``."""

    _fields_ = (("kind", ctypes.c_int), ("argument", _Argument))


class _Message(ctypes.Structure):
    """The beginning of ``rd_kafka_message_t``."""

    _fields_ = (
        ("error", ctypes.c_int),
        ("topic", ctypes.c_void_p),
        ("partition", ctypes.c_int32),
        ("value", ctypes.c_void_p),
        ("value_bytes", ctypes.c_size_t),
    )


class Refused(NamedTuple):
    """A record that failed for good, as far as anybody asks: what confluent-kafka's ``Message`` says of it."""

    name: str
    content: bytes

    def topic(self) -> str:
        """Return where it was to go."""
        return self.name

    def value(self) -> bytes:
        """Return its value."""
        return self.content


class ColumnProducer:
    """A producer that takes records as columns. The names and errors of its methods are confluent-kafka's.

    Methods may be called from several threads.

    Parameters
    ----------
    settings
        Of librdkafka; ``delivery.report.only.error`` among them.
    on_delivery
        Called with the error and the record, for each that failed; must not raise. A method is held weakly,
        lest a producer that nobody else holds is held by its own handle.

    Raises
    ------
    ConfigError
        When librdkafka refuses a setting.
    NoCBatches
        When this process's librdkafka is none that is known, or the kernels cannot be had.
    """

    def __init__(self, settings: Settings, on_delivery: DeliveryReport) -> None:
        assert settings.get("delivery.report.only.error") is True, "else every record calls Python"
        library = self._library = librdkafka()
        try:
            check_layout(library)
            _compile()
        except NumbaError as error:
            raise NoCBatches(f"the kernels cannot be compiled: {error}") from error
        self._produce_function = address_of(library.rd_kafka_produce)
        callback = _callback(library, on_delivery)
        self._handle = new_handle(library, PRODUCER, settings, on_delivery=address_of(callback))
        self._topics: dict[str, int] = {}
        # The callback lives as long as the handle.
        let_go = weakref.finalize(self, _let_go, library, self._handle, self._topics, callback)
        # In a forked child the handle's threads are not there, and letting go of it would wait for them.
        let_go.atexit = False

    def __len__(self) -> int:
        """Return how many records and reports wait."""
        return int(self._library.rd_kafka_outq_len(self._handle))

    def produce_columns(
        self, topic: str, keys: pa.LargeBinaryArray, values: pa.LargeBinaryArray, start: int = 0
    ) -> int:
        """Queue rows from ``start`` on, in order; return the first that was not taken. ``produce`` says why."""
        assert len(keys) == len(values)
        if start >= len(values):
            return start
        key_ends, keys_at, is_key_B = _bytes_of(keys)
        value_ends, values_at, is_value_B = _bytes_of(values)
        return produce(
            self._produce_function,
            self._topic(topic),
            COPY_PAYLOAD,
            key_ends,
            keys_at,
            is_key_B,
            value_ends,
            values_at,
            is_value_B,
            start,
        )

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = ANY_PARTITION,
        *,
        headers: Headers | None = None,
    ) -> None:
        """Queue one record. Raises BufferError where the queue is full, else KafkaException."""
        arguments = [
            _Tagged(_V_TOPIC, _Argument(text=topic.encode())),
            _Tagged(_V_PARTITION, _Argument(partition=partition)),
            _Tagged(_V_FLAGS, _Argument(flags=COPY_PAYLOAD)),
            _Tagged(_V_VALUE, _Argument(data=_Bytes(value, len(value or b"")))),
            _Tagged(_V_KEY, _Argument(data=_Bytes(key, len(key or b"")))),
        ]
        for name, content in headers or ():
            held = content.encode() if isinstance(content, str) else content
            header = _Header(name.encode(), held, len(held or b""))
            arguments.append(_Tagged(_V_HEADER, _Argument(header=header)))
        array = (_Tagged * len(arguments))(*arguments)
        try:
            self._check(self._library.rd_kafka_produceva(self._handle, array, len(arguments)))
        except KafkaException as exception:
            if exception.args[0].code() == KafkaError._QUEUE_FULL:
                raise BufferError("the queue is full") from None
            raise

    def poll(self, timeout_seconds: float = 0.0) -> int:
        """Take in delivery reports; wait for the first one at most so long."""
        return int(self._library.rd_kafka_poll(self._handle, _milliseconds(timeout_seconds)))

    def flush(self, timeout_seconds: float) -> int:
        """Wait until nothing waits any more; return how many still do."""
        self._library.rd_kafka_flush(self._handle, _milliseconds(timeout_seconds))
        return len(self)

    def purge(self) -> None:
        """Give up all records that wait, and those that are on their way."""
        self._library.rd_kafka_purge(self._handle, PURGE_QUEUE | PURGE_IN_FLIGHT)

    def init_transactions(self, timeout_seconds: float) -> None:
        """Fence whoever had the transactional id. Raises KafkaException, as do all that follow."""
        self._check(self._library.rd_kafka_init_transactions(self._handle, _milliseconds(timeout_seconds)))

    def begin_transaction(self) -> None:
        """Begin; nothing is asked of the broker."""
        self._check(self._library.rd_kafka_begin_transaction(self._handle))

    def send_offsets_to_transaction(
        self, offsets: Sequence[KafkaTopicPartition], group_metadata: bytes, timeout_seconds: float
    ) -> None:
        """Add the group's offsets. ``group_metadata``: what ``Consumer.consumer_group_metadata()`` returned."""
        library = self._library
        next_offsets: Mapping[TopicPartition, int] = {
            TopicPartition(each.topic, each.partition): each.offset for each in offsets
        }
        metadata = ctypes.c_void_p()
        read = library.rd_kafka_consumer_group_metadata_read
        self._check(read(ctypes.byref(metadata), group_metadata, len(group_metadata)))
        try:
            with partition_list(library, next_offsets) as partitions:
                timeout_ms = _milliseconds(timeout_seconds)
                send = library.rd_kafka_send_offsets_to_transaction
                self._check(send(self._handle, partitions, metadata, timeout_ms))
        finally:
            library.rd_kafka_consumer_group_metadata_destroy(metadata)

    def commit_transaction(self, timeout_seconds: float) -> None:
        """Commit, once all records have arrived."""
        self._check(self._library.rd_kafka_commit_transaction(self._handle, _milliseconds(timeout_seconds)))

    def abort_transaction(self, timeout_seconds: float) -> None:
        """Abort; what waits is given up."""
        self._check(self._library.rd_kafka_abort_transaction(self._handle, _milliseconds(timeout_seconds)))

    def _check(self, error: int | None) -> None:
        check_error(self._library, error)

    def _topic(self, name: str) -> int:
        if name not in self._topics:
            made = existing(self._library.rd_kafka_topic_new(self._handle, name.encode(), None))
            self._topics[name] = made
        return self._topics[name]


def _callback(library: ctypes.CDLL, on_delivery: DeliveryReport) -> Any:
    held: Callable[[], DeliveryReport | None] = lambda: on_delivery  # noqa: E731
    if isinstance(on_delivery, MethodType):
        held = weakref.WeakMethod(on_delivery)
        del on_delivery

    def report(_handle: int, address: int, _opaque: int) -> None:
        message = _Message.from_address(address)
        name = library.rd_kafka_topic_name(message.topic).decode()
        text = library.rd_kafka_err2str(message.error).decode()
        content = ctypes.string_at(message.value, message.value_bytes) if message.value else b""
        told = held()
        if told is not None:
            told(KafkaError(message.error, text), Refused(name, content))

    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    return kind(report)


def _let_go(library: ctypes.CDLL, handle: int, topics: Mapping[str, int], callback: Any) -> None:
    for topic in topics.values():
        library.rd_kafka_topic_destroy(topic)
    library.rd_kafka_destroy_flags(handle, _NO_FLAGS)
    del callback  # until here it may be called


def _bytes_of(column: pa.LargeBinaryArray) -> tuple[Int_B, int, Bool_B]:
    """Return where each value ends (and the first begins), where they lie, and which there are."""
    _, ends, data = column.buffers()
    end_B = np.frombuffer(ends, np.int64)[column.offset :][: len(column) + 1]
    # What has no bytes has an address, too: else it would be null.
    at = data.address if data is not None and data.size else ends.address
    return end_B, at, column.is_valid().to_numpy(zero_copy_only=False)


def _compile() -> None:
    """Compile the kernel, or load it, before a record waits for it: of one row, those behind it are none."""
    one = _bytes_of(pa.array([b""], pa.large_binary()))
    produce(0, 0, COPY_PAYLOAD, *one, *one, 1)


def _milliseconds(seconds: float) -> int:
    return math.ceil(seconds * 1000)
