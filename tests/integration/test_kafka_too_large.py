"""A message larger than what the client can receive: the reader stands still, and the watchdog says why."""

from __future__ import annotations

from typing import Any

import pytest
from waiting import eventually

from streamlearn.belt.watchdog import Stand, Watchdog
from streamlearn.config import KafkaSource
from streamlearn.connectors.kafka_reader import KafkaReader
from streamlearn.contracts import Reader
from streamlearn.events import TopicPartition

pytestmark = pytest.mark.kafka

LARGE = b"x" * 900_000
DEADLINE_SECONDS = 60.0


def offsets_read(reader: Reader, upto: int) -> list[int]:
    """Read one partition to an offset, and return the offsets that came."""
    came: list[int] = []

    def is_there() -> bool:
        came.extend(reader.poll(10, 0.2).batch.column("offset").to_pylist())
        return bool(came) and came[-1] >= upto

    eventually(is_there, DEADLINE_SECONDS)
    return came


@pytest.fixture
def only(kafka: Any) -> TopicPartition:
    """A partition with a small message, a large one, and a small one."""
    topic = kafka.topic()
    for value in (b"{}", LARGE, b"{}"):
        kafka.produce(topic, [(0, None, value, None)])  # one after the other: a batch is what is too large
    return TopicPartition(topic, 0)


def source(kafka: Any, topic: str, **properties: Any) -> KafkaSource:
    return KafkaSource(
        bootstrap_servers=kafka.bootstrap_servers,
        topics=(topic,),
        group_id="large",
        buffer_bytes_max=64 * 1024,  # so that a fetch is of 4 KiB
        properties=properties,
    )


def test_a_message_larger_than_buffers_and_fetches_comes_through(kafka: Any, only: TopicPartition) -> None:
    reader = KafkaReader(source(kafka, only.topic))
    reader.assign({only: 0})
    assert offsets_read(reader, upto=2) == [0, 1, 2]
    reader.close()


def test_one_message_too_large_to_receive_is_a_stuck_partition(kafka: Any, only: TopicPartition) -> None:
    reader = KafkaReader(source(kafka, only.topic, **{"receive.message.max.bytes": 100_000}))
    reader.assign({only: 0})
    assert offsets_read(reader, upto=0) == [0]
    high = reader.watermarks(only).high
    watchdog, found = Watchdog(10.0, "receive.message.max.bytes = 100,000"), {}
    for second in range(11):
        polled = reader.poll(10, 0.2)
        assert not polled.batch.num_rows
        stand = Stand(only.topic, 1, max(1, polled.positions.get(only, 1)), high, waits=False)
        found = watchdog.look(float(second), {only: stand}, paused=None)
    assert "offset 1 for 10 s" in found[only]
    assert "larger than receive.message.max.bytes = 100,000" in found[only]
    reader.close()
