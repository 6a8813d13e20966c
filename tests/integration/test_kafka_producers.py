"""Both ways into librdkafka send the same records, and say the same of what is refused."""

from __future__ import annotations

import socket
from typing import Any, Literal

import pytest
from confluent_kafka import KafkaError, KafkaException
from records_for_tests import column
from waiting import eventually

from streamlearn.connectors.kafka_producers import KafkaProducer, Reported, open_producer
from streamlearn.connectors.kafka_settings import producer_settings
from streamlearn.connectors.librdkafka_producer import ColumnProducer

pytestmark = pytest.mark.kafka

Way = Literal["columns", "produce"]
WAYS: list[Way] = ["columns", "produce"]
KEYS = [b"k%d" % (n % 50) if n % 3 else None for n in range(3000)]
VALUES = [b"", None, *(b'{"n": %d}' % n for n in range(2998))]


class Reports(list[tuple[int, str | None, bytes | None]]):
    def note(self, error: KafkaError | None, message: Reported) -> None:
        assert error is not None
        self.append((error.code(), message.topic(), message.value()))


def producer(kafka: Any, way: Way, reports: Reports, **properties: str) -> KafkaProducer:
    return open_producer(producer_settings(kafka.bootstrap_servers, properties), reports.note, way=way)


def test_columns_are_the_way_that_is_taken(kafka: Any) -> None:
    made = open_producer(producer_settings(kafka.bootstrap_servers, {}), Reports().note)
    assert isinstance(made, ColumnProducer)


@pytest.mark.parametrize("way", WAYS)
def test_keys_values_nulls_and_partitions(kafka: Any, way: Way) -> None:
    topic, reports = kafka.topic(partitions=4), Reports()
    made = producer(kafka, way, reports)
    # A slice, so that the first row does not begin at the first byte.
    assert made.produce_columns(topic, column([b"x", *KEYS])[1:], column([b"x", *VALUES])[1:]) == len(KEYS)
    made.produce(
        topic, b"by itself", b"key", 2, headers=[("name", "text"), ("none", None), ("bytes", b"\x00")]
    )
    assert made.flush(30) == 0
    read = kafka.read_back(topic)
    [alone] = [each for each in read if each.headers]
    assert (alone.value, alone.key, alone.partition) == (b"by itself", b"key", 2)
    assert alone.headers == (("name", b"text"), ("none", None), ("bytes", b"\x00"))
    places: dict[bytes | None, set[int]] = {}
    for each in read:
        if not each.headers:
            places.setdefault(each.key, set()).add(each.partition)
    assert all(len(partitions) == 1 for key, partitions in places.items() if key is not None)
    rows = sorted((each.key or b"", each.value or b"") for each in read if not each.headers)
    assert rows == sorted((key or b"", value or b"") for key, value in zip(KEYS, VALUES, strict=True))
    # Of one key, in order.
    expected = [value for key, value in zip(KEYS, VALUES, strict=True) if key == b"k7"]
    assert [each.value for each in sorted(read, key=lambda r: r.offset) if each.key == b"k7"] == expected
    assert reports == []


@pytest.mark.parametrize("way", WAYS)
def test_a_full_queue_takes_what_it_can_in_order(way: Way) -> None:
    reports = Reports()
    # Who is connected to and says nothing: of one that refuses, each refusal is counted among what waits.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = producer_settings(
            f"127.0.0.1:{silent.getsockname()[1]}", {"queue.buffering.max.messages": "10"}
        )
        made = open_producer(settings, reports.note, way=way)
        values = column([b"%d" % n for n in range(30)])
        keys = column([None] * 30)
        assert made.produce_columns("nowhere", keys, values) == 10
        assert made.produce_columns("nowhere", keys, values, 10) == 10
        with pytest.raises(BufferError):
            made.produce("nowhere", b"10")
        assert len(made) == 10
        assert made.flush(0.01) == 10
        made.purge()
        assert made.flush(5) == 0
    # What is given up is told: nothing that fails is silent.
    assert reports == [(KafkaError._PURGE_QUEUE, "nowhere", b"%d" % n) for n in range(10)]


@pytest.mark.parametrize("way", WAYS)
def test_a_record_that_is_too_large_is_said_to_be(kafka: Any, way: Way) -> None:
    topic, reports = kafka.topic(), Reports()
    made = producer(kafka, way, reports, **{"message.max.bytes": "2000"})
    values = column([b"small", b"x" * 5000, b"behind"])
    assert made.produce_columns(topic, column([None] * 3), values) == 1
    with pytest.raises(KafkaException) as caught:
        made.produce(topic, values[1].as_py())
    assert caught.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE


@pytest.mark.parametrize("way", WAYS)
def test_what_the_broker_refuses_is_reported(kafka: Any, way: Way) -> None:
    reports = Reports()
    made = producer(kafka, way, reports, **{"topic.metadata.propagation.max.ms": "100"})
    made.produce_columns("no-such-topic", column([b"k"]), column([b"v"]))

    def is_reported() -> bool:
        made.poll(0.1)
        return bool(reports)

    eventually(is_reported, 30)
    [(code, topic, value)] = reports
    assert code in (KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART)
    assert (topic, value) == ("no-such-topic", b"v")
