"""What people run today, as programs: a River loop in memory, a plain Kafka consumer, a bare read.

    python -m bench.rivals bare LINES
    python -m bench.rivals plain BOOTSTRAP_SERVERS TOPIC EVENTS
    python -m bench.rivals raw BOOTSTRAP_SERVERS TOPIC EVENTS
    python -m bench.rivals c_batches BOOTSTRAP_SERVERS TOPIC EVENTS

Each prints ``{"events", "seconds"}`` and, where it judges, ``accuracy``. The clock begins with the first event in hand
and ends with the last: whoever reads Kafka has joined and connected before.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from confluent_kafka import Consumer, KafkaException
from river import linear_model, metrics, preprocessing

from bench.workload import LABEL, PARTITIONS
from streamlearn.connectors import librdkafka_kernels as kernels
from streamlearn.connectors.librdkafka import (
    CONSUMER,
    NO_CONSUMER_CLOSE,
    address_of,
    check_code,
    check_error,
    librdkafka,
    new_handle,
    partition_list,
)
from streamlearn.events import TopicPartition

Found = TypeVar("Found")

_POLL_SECONDS = 1.0
_CONSUME_EVENTS = 10_000


def bare(lines: Path) -> dict[str, Any]:
    """Test-then-train over events that are ready in memory, as ``river.evaluate.progressive_val_score``
    does it: ``Accuracy`` takes labels, so the model is asked by ``predict_one``."""
    events = _events(lines)
    model, metric = _model(), _metric()
    began = time.perf_counter()
    for x, y in events:
        y_pred = model.predict_one(x)
        metric.update(y, y_pred)
        model.learn_one(x, y)
    seconds = time.perf_counter() - began
    return {"events": len(events), "seconds": seconds, "accuracy": metric.get()}


def plain(bootstrap_servers: str, topic: str, events: int) -> dict[str, Any]:
    """A consumer as tutorials write it: ``poll()``, ``json.loads``, predict, judge, learn."""
    model, metric = _model(), _metric()
    consumer = _consumer(bootstrap_servers, topic)
    done, began = 0, 0.0
    while done < events:
        message = consumer.poll(_POLL_SECONDS)
        if message is None:
            continue
        began = began or time.perf_counter()
        if message.error() is not None:
            raise KafkaException(message.error())
        x = json.loads(message.value())  # type: ignore[arg-type]  # no tombstones here
        y = x.pop(LABEL)
        y_pred = model.predict_one(x)
        metric.update(y, y_pred)
        model.learn_one(x, y)
        done += 1
    seconds = time.perf_counter() - began
    consumer.close()
    return {"events": done, "seconds": seconds, "accuracy": metric.get()}


def raw(bootstrap_servers: str, topic: str, events: int) -> dict[str, Any]:
    """Read everything and throw it away."""
    # A program that reads and nothing else does not have River loaded. Were it left to the collector, that would look
    # through all of it again and again while messages are made: a quarter of the rate (measured).
    gc.collect()
    gc.freeze()
    consumer = _consumer(bootstrap_servers, topic)
    [first] = _until_there_is_one(lambda: consumer.consume(1, _POLL_SECONDS))
    if first.error() is not None:
        raise KafkaException(first.error())
    began = time.perf_counter()
    read_away(consumer, events - 1)
    seconds = time.perf_counter() - began
    consumer.close()
    return {"events": events, "seconds": seconds}


def read_away(consumer: Consumer, events: int) -> None:
    """Take so many messages by ``consume()`` and throw them away. Raises KafkaException where one is an error."""
    left = events
    while left:
        # Asked for more than are left, it would wait out its time at the end.
        messages = consumer.consume(min(_CONSUME_EVENTS, left), _POLL_SECONDS)
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
        left -= len(messages)


def c_batches(bootstrap_servers: str, topic: str, events: int) -> dict[str, Any]:
    """Read everything through librdkafka's ``rd_kafka_consume_batch_queue`` and throw it away.

    No message becomes a Python object, and none is looked at.
    """
    library = librdkafka()
    consume, give_back = map(
        address_of, (library.rd_kafka_consume_batch_queue, library.rd_kafka_message_destroy)
    )
    message_B, taken = np.zeros(_CONSUME_EVENTS, np.int64), np.zeros(1, np.int64)
    kernels.free(message_B, taken, give_back)  # loads the kernel
    settings: dict[str, str | bool] = {
        "bootstrap.servers": bootstrap_servers,
        "group.id": f"rival-{uuid.uuid4()}",
        "enable.auto.commit": False,
    }
    handle = new_handle(library, CONSUMER, settings)
    queue = library.rd_kafka_queue_get_consumer(handle)
    check_code(library, library.rd_kafka_poll_set_consumer(handle))
    begin = {TopicPartition(topic, partition): 0 for partition in range(PARTITIONS)}
    with partition_list(library, begin) as partitions:
        check_error(library, library.rd_kafka_incremental_assign(handle, partitions))
    first_B = np.zeros(1, np.int64)
    done = _until_there_is_one(
        lambda: max(kernels.consume(consume, queue, int(_POLL_SECONDS * 1000), first_B, taken), 0)
    )
    began = time.perf_counter()
    kernels.free(first_B, taken, give_back)
    while done < events:
        done += max(kernels.consume(consume, queue, int(_POLL_SECONDS * 1000), message_B, taken), 0)
        kernels.free(message_B, taken, give_back)
    seconds = time.perf_counter() - began
    library.rd_kafka_queue_destroy(queue)
    library.rd_kafka_destroy_flags(handle, NO_CONSUMER_CLOSE)
    return {"events": done, "seconds": seconds}


def _until_there_is_one(ask: Callable[[], Found]) -> Found:
    while not (found := ask()):
        pass
    return found


def _model() -> Any:
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


def _metric() -> Any:
    return metrics.Accuracy()  # type: ignore[no-untyped-call]


def _events(lines: Path) -> list[tuple[dict[str, float], bool]]:
    events = []
    with lines.open("rb") as file:
        for line in file:
            x = json.loads(line)
            y = x.pop(LABEL)
            events.append((x, y))
    # What lies ready is no cost of the loop, so the collector need not look at it.
    gc.collect()
    gc.freeze()
    return events


def _consumer(bootstrap_servers: str, topic: str) -> Consumer:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": f"rival-{uuid.uuid4()}",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    return consumer


def main(arguments: list[str]) -> None:
    from_kafka: dict[str, Callable[[str, str, int], dict[str, Any]]] = {
        "plain": plain,
        "raw": raw,
        "c_batches": c_batches,
    }
    match arguments:
        case ["bare", lines]:
            done = bare(Path(lines))
        case ["plain" | "raw" | "c_batches" as name, bootstrap_servers, topic, events]:
            done = from_kafka[name](bootstrap_servers, topic, int(events))
        case _:
            sys.exit(__doc__)
    print(json.dumps(done))


if __name__ == "__main__":
    main(sys.argv[1:])
