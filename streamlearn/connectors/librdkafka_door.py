"""Messages through librdkafka's C interface: a batch of message addresses in, columns out.

A handle of our own, without callbacks: nothing but ``rd_kafka_consume_batch_queue`` serves it, so no Python
runs inside a read. Whatever was taken is freed, wanted or not, whatever happens in between. A message
whose ``err`` is not 0 is something that was said, not a row.

Upholds `offsets_increase` with ``kafka_rows.due``.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from confluent_kafka import Consumer, KafkaError
from numba.core.errors import NumbaError

from streamlearn.connectors import librdkafka_kernels as kernels
from streamlearn.connectors.kafka_errors import opened
from streamlearn.connectors.kafka_rows import Said, Taken, due
from streamlearn.connectors.kafka_settings import Settings
from streamlearn.connectors.librdkafka import (
    CONSUMER,
    NO_CONSUMER_CLOSE,
    NoCBatches,
    address_of,
    check_code,
    check_error,
    existing,
    librdkafka,
    new_handle,
    partition_list,
)
from streamlearn.connectors.librdkafka_layout import check_layout
from streamlearn.connectors.raw import EMPTY_BATCH
from streamlearn.events import RAW_SCHEMA, Bool_B, Int_B, TopicPartition


class BatchDoor:
    """A consumer whose messages become columns without a Python object each. See ``kafka_doors.Door``.

    Raises
    ------
    ConfigError
        When librdkafka refuses a setting.
    NoCBatches
        When this process's librdkafka is none that is known, or the kernels cannot be had.
    """

    def __init__(self, settings: Settings, topics: Sequence[str]) -> None:
        self._settings, self._topics = settings, tuple(topics)
        library = librdkafka()
        try:
            check_layout(library)
        except NumbaError as error:
            raise NoCBatches(f"the kernels cannot be compiled: {error}") from error
        self.why = f"librdkafka {library.rd_kafka_version_str().decode()} is known, and passed its check"
        self._library = library
        self._timestamp_function = address_of(library.rd_kafka_message_timestamp)
        self._free_function = address_of(library.rd_kafka_message_destroy)
        self._consume_function = address_of(library.rd_kafka_consume_batch_queue)
        self._message_B = np.zeros(1, np.int64)
        self._taken_count = np.zeros(1, np.int64)
        handle = self._address = new_handle(library, CONSUMER, settings)
        self._queue = existing(library.rd_kafka_queue_get_consumer(handle))
        # Known from the beginning, so that their leaders are: else an assignment may wait a second for them.
        # A name that no topic can have makes no handle here, and is told when the cluster is asked for it.
        known = [library.rd_kafka_topic_new(handle, topic.encode(), None) for topic in topics]
        self._let_go = weakref.finalize(self, _let_go, library, handle, self._queue, known)
        # In a forked child the handle's threads are not there, and letting go of it would wait for them.
        self._let_go.atexit = False
        check_code(library, library.rd_kafka_poll_set_consumer(handle))

    @property
    def _handle(self) -> int:
        assert self._let_go.alive, "the reader is closed"
        return self._address

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these too, each from its offset. Raises KafkaException."""
        with partition_list(self._library, positions) as partitions:
            check_error(self._library, self._library.rd_kafka_incremental_assign(self._handle, partitions))

    def unassign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read these no more. Raises KafkaException."""
        with partition_list(self._library, partitions) as gone:
            check_error(self._library, self._library.rd_kafka_incremental_unassign(self._handle, gone))

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Bring nothing of these until ``resume``. Raises KafkaException."""
        with partition_list(self._library, partitions) as paused:
            check_code(self._library, self._library.rd_kafka_pause_partitions(self._handle, paused))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Bring these again. Raises KafkaException."""
        with partition_list(self._library, partitions) as resumed:
            check_code(self._library, self._library.rd_kafka_resume_partitions(self._handle, resumed))

    def take(
        self, events_max: int, wait_seconds: float, positions: Mapping[TopicPartition, int]
    ) -> Taken | None:
        """Wait for the first to come, and bring what is there then; None: nothing came.

        Takes at most ``events_max`` messages. Other Python threads run while it waits, copies and frees.
        """
        assert self._let_go.alive, "the reader is closed"
        if len(self._message_B) < events_max:
            self._message_B = np.zeros(events_max, np.int64)
        message_B, taken = self._message_B[:events_max], self._taken_count
        try:
            wait_ms = math.ceil(wait_seconds * 1000)
            count = kernels.consume(self._consume_function, self._queue, wait_ms, message_B, taken)
            if count < 0:
                check_code(self._library, self._library.rd_kafka_last_error())
            return self._taken(message_B[:count], positions) if count else None
        finally:
            kernels.free(message_B, taken, self._free_function)

    def close(self) -> None:
        """Let go of everything. Idempotent; waits for librdkafka's threads, never for a broker."""
        self._let_go()
        if "asked" in self.__dict__:
            self.asked.close()

    @cached_property
    def asked(self) -> Consumer:
        """Who is asked questions of the cluster: confluent-kafka knows how, on a handle of its own."""
        return opened(Consumer, self._settings)

    def _taken(self, message_B: Int_B, positions: Mapping[TopicPartition, int]) -> Taken:
        fields = kernels.fields_of(message_B, self._timestamp_function)
        is_row_B = fields.error_B == 0
        said = tuple(
            self._said(int(message_B[row]), fields, row) for row in np.flatnonzero(~is_row_B).tolist()
        )
        if len(said) == len(message_B):
            return Taken(EMPTY_BATCH, {}, said)
        rows = _those(is_row_B)
        topic_B = self._topics_of(fields.topic_B[rows])
        partition_B, offset_B = fields.partition_B[rows], fields.offset_B[rows]
        is_due, reached = due(topic_B, partition_B, offset_B, self._topics, positions)
        is_due_B = is_row_B.copy()
        is_due_B[rows] = is_due
        gathered = kernels.bytes_of(message_B, is_due_B, fields)
        # Columns of the rows first, then of the messages: they differ where something was said.
        of_rows, of_messages = _those(is_due), _those(is_due_B)
        batch = pa.RecordBatch.from_arrays(
            [
                pa.array(topic_B[of_rows]),
                pa.array(partition_B[of_rows]),
                pa.array(offset_B[of_rows]),
                pa.array(fields.timestamp_B[of_messages]),
                _binary(gathered.key_ends, gathered.keys, fields.key_bytes_B[of_messages]),
                _binary(gathered.value_ends, gathered.values, fields.value_bytes_B[of_messages]),
            ],
            schema=RAW_SCHEMA,
        )
        return Taken(batch, reached, said)

    def _topics_of(self, handle_B: Int_B) -> npt.NDArray[np.int16]:
        """Index into the topics of each row, from the addresses of topic handles, which come in runs."""
        if len(self._topics) == 1:
            return np.zeros(len(handle_B), np.int16)
        firsts = np.concatenate([[0], np.flatnonzero(handle_B[1:] != handle_B[:-1]) + 1])
        # A handle's address means something only while a message of the batch holds it.
        index = {
            handle: self._topics.index(self._library.rd_kafka_topic_name(handle).decode())
            for handle in set(handle_B[firsts].tolist())
        }
        runs = np.array([index[handle] for handle in handle_B[firsts].tolist()], np.int16)
        return np.repeat(runs, np.diff(firsts, append=len(handle_B)))

    def _said(self, message: int, fields: kernels.Fields, row: int) -> Said:
        topic, partition = int(fields.topic_B[row]), int(fields.partition_B[row])
        about: TopicPartition | None = None
        if topic and partition >= 0:
            about = TopicPartition(self._library.rd_kafka_topic_name(topic).decode(), partition)
        text = self._library.rd_kafka_message_errstr(message).decode(errors="replace")
        return Said(about, int(fields.offset_B[row]), KafkaError(int(fields.error_B[row]), text))


def _let_go(library: ctypes.CDLL, handle: int, queue: int, topics: Sequence[int | None]) -> None:
    for topic in filter(None, topics):
        library.rd_kafka_topic_destroy(topic)
    library.rd_kafka_queue_destroy(queue)
    # No group was joined that would have to be left.
    library.rd_kafka_destroy_flags(handle, NO_CONSUMER_CLOSE)


def _those(wanted_B: Bool_B) -> Bool_B | slice:
    """An index of the wanted rows, which copies nothing where that is all of them, as it mostly is."""
    return slice(None) if wanted_B.all() else wanted_B


def _binary(ends: Int_B, values: kernels.Byte_N, bytes_B: Int_B) -> pa.LargeBinaryArray:
    is_there_B = bytes_B != kernels.ABSENT
    validity = None
    if not is_there_B.all():
        validity = pa.py_buffer(np.packbits(is_there_B, bitorder="little"))
    buffers = [validity, pa.py_buffer(ends), pa.py_buffer(values)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(bytes_B), buffers)
