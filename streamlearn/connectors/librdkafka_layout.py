"""Whether messages look as the kernels think: a real one, of known content, held against them.

Nothing leaves this process and no broker is needed: a producer without brokers is given one message and
made to give it up, and hands it back in its delivery report as the same ``rd_kafka_message_t`` as a
consumer's.
"""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np

from streamlearn.connectors import librdkafka_kernels as kernels
from streamlearn.connectors.librdkafka import (
    COPY_PAYLOAD,
    DELIVERY_REPORTS,
    NO_CONSUMER_CLOSE,
    PRODUCER,
    PURGE_QUEUE,
    NoCBatches,
    address_of,
    existing,
    new_handle,
)

_TOPIC, _PARTITION, _VALUE, _KEY = b"layout", 7, b"the value", b"key"
_PURGED, _NO_OFFSET, _NO_TIMESTAMP = -152, -1001, -1
_ANSWER_MS = 5000


@cache
def check_layout(library: ctypes.CDLL) -> None:
    """Return where the kernels read a message as it is; compiles or loads them. Raises NoCBatches.

    Blocks for some milliseconds, the first time until the kernels are compiled.

    >>> from streamlearn.connectors.librdkafka import librdkafka
    >>> check_layout(librdkafka())
    """
    handle = new_handle(library, PRODUCER, {"log_level": 0}, events=DELIVERY_REPORTS)
    topic = existing(library.rd_kafka_topic_new(handle, _TOPIC, None))
    queue = existing(library.rd_kafka_queue_get_main(handle))
    event: int | None = None
    try:
        of_message = (_VALUE, len(_VALUE), _KEY, len(_KEY), None)
        library.rd_kafka_produce(topic, _PARTITION, COPY_PAYLOAD, *of_message)
        library.rd_kafka_purge(handle, PURGE_QUEUE)
        event = library.rd_kafka_queue_poll(queue, _ANSWER_MS)
        if event is None:
            raise NoCBatches("librdkafka gave no message to compare the layout with")
        _compare(library, existing(library.rd_kafka_event_message_next(event)), topic)
    finally:
        if event is not None:
            library.rd_kafka_event_destroy(event)
        library.rd_kafka_queue_destroy(queue)
        library.rd_kafka_topic_destroy(topic)
        library.rd_kafka_destroy_flags(handle, NO_CONSUMER_CLOSE)


def _compare(library: ctypes.CDLL, message: int, topic: int) -> None:
    message_B = np.array([message], np.int64)
    fields = kernels.fields_of(message_B, address_of(library.rd_kafka_message_timestamp))
    found: list[object] = [column.tolist()[0] for column in fields]
    expected: list[object] = [_PURGED, topic, _PARTITION, _NO_OFFSET, _NO_TIMESTAMP, len(_VALUE), len(_KEY)]
    # Only what lies where it should is followed to its bytes.
    if found == expected:
        gathered = kernels.bytes_of(message_B, np.ones(1, np.bool_), fields)
        found += [gathered.values.tobytes(), gathered.keys.tobytes()]
        expected += [_VALUE + bytes(kernels.SPARE_BYTES), _KEY]
    if found != expected:
        raise NoCBatches(f"a message has another layout: {found} in place of {expected}")
    # Nothing is freed: its report still holds the message.
    kernels.free(message_B, np.zeros(1, np.int64), address_of(library.rd_kafka_message_destroy))
