"""The two ends between which latency is measured, each a process of its own.

    python -m bench.latency_ends send BOOTSTRAP_SERVERS TOPIC RATE SECONDS
    python -m bench.latency_ends receive BOOTSTRAP_SERVERS TOPIC EVENTS ISOLATION SECONDS_MAX

Each event's ``id`` is the moment just before it was given to the producer, in nanoseconds of the machine's
monotonic clock, and a prediction carries the id of its event: so the receiver knows how old it is the moment
it has it in hand. The sender's producer lingers for a millisecond (with none each event is a request of its
own, and the broker cannot take so many), and what it sends in one goes to one partition, as Kafka's sticky
partitioner has it. The receiver polls.

``send`` prints ``{"events", "seconds"}``; ``receive`` prints the word READY on stderr once it reads, and
``{"ages_ms"}`` at the end: one for each record, in the order of arrival.
"""

from __future__ import annotations

import json
import re
import sys
import time
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from bench.workload import LABEL, PARTITIONS, SEED, feature_names

FEATURES = 20
TICK_SECONDS = 0.001
DISTINCT_EVENTS = 2_000
CONNECT_SECONDS = 30.0
_ID = re.compile(rb'"id":(\d+)')


def send(bootstrap_servers: str, topic: str, rate: int, seconds: float) -> dict[str, Any]:
    """Produce at an even rate, without keys."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 1, "compression.type": "lz4"})
    producer.list_topics(topic, timeout=CONNECT_SECONDS)
    bodies = _bodies()
    events = int(rate * seconds)
    began = time.monotonic()
    done = ticks = 0
    while done < events:
        ticks += 1
        due = min(events, int((time.monotonic() - began) * rate))
        while done < due:
            value = b'{"id":%d,%b' % (time.monotonic_ns(), bodies[done % DISTINCT_EVENTS])
            producer.produce(topic, value, partition=ticks % PARTITIONS)
            done += 1
        producer.poll(0)
        time.sleep(TICK_SECONDS)
    producer.flush(CONNECT_SECONDS)
    return {"events": done, "seconds": time.monotonic() - began}


def receive(
    bootstrap_servers: str, topic: str, events: int, isolation: str, seconds_max: float
) -> dict[str, Any]:
    """Read a topic that is empty so far, until so many records came or the time is over."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "bench-latency",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    partitions = consumer.list_topics(topic, timeout=CONNECT_SECONDS).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    sys.stderr.write("READY\n")
    sys.stderr.flush()
    ages_ms: list[float] = []
    deadline = time.monotonic() + seconds_max
    while len(ages_ms) < events and time.monotonic() < deadline:
        message = consumer.poll(0.1)
        if message is None:
            continue
        if (error := message.error()) is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                continue
            raise KafkaException(error)
        found = _ID.search(message.value() or b"")
        assert found is not None, f"a record without an id: {message.value()!r}"
        ages_ms.append((time.monotonic_ns() - int(found[1])) / 1e6)
    consumer.close()
    return {"ages_ms": ages_ms}


def _bodies() -> list[bytes]:
    """What stands behind the id: as ``workload.write_events`` has it."""
    generator = np.random.default_rng(SEED)
    x_BF = generator.normal(0.0, 20.0, (DISTINCT_EVENTS, FEATURES))
    names = (*feature_names(FEATURES), LABEL)
    return [
        msgspec.json.encode(dict(zip(names, (*row, row[0] > row[1]), strict=True)))[1:]
        for row in x_BF.tolist()
    ]


def main(arguments: list[str]) -> None:
    match arguments:
        case ["send", servers, topic, rate, seconds]:
            done = send(servers, topic, int(rate), float(seconds))
        case ["receive", servers, topic, events, isolation, seconds_max]:
            done = receive(servers, topic, int(events), isolation, float(seconds_max))
        case _:
            sys.exit(__doc__)
    print(json.dumps(done))


if __name__ == "__main__":
    main(sys.argv[1:])
