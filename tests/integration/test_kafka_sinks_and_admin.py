"""What goes out to Apache Kafka, read back with the other client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from records_for_tests import column

from streamlearn.connectors.admin import Record, create_topic, delete_topic, produce_lines
from streamlearn.connectors.kafka_sinks import KafkaDeadLetters, KafkaOutlet, KafkaPredictions
from streamlearn.contracts import DeadLetter
from streamlearn.errors import DeadLetterError, TopicMissing

pytestmark = pytest.mark.kafka


def test_predictions_arrive_in_order_with_their_keys(kafka: Any) -> None:
    topic = kafka.topic()
    sink = KafkaPredictions(KafkaOutlet(kafka.bootstrap_servers, {}, topic))
    keys = [b"k%d" % n if n % 3 else None for n in range(3000)]
    values = [b'{"n": %d}' % n for n in range(3000)]
    sink.send(column(keys[:1000]), column(values[:1000]))
    sink.send(column(keys[1000:]), column(values[1000:]))
    assert sink.flush(30)
    sink.close()
    records = kafka.read_back(topic)
    assert [(record.key, record.value) for record in records] == list(zip(keys, values, strict=True))


def test_more_than_the_queue_holds_is_not_dropped(kafka: Any) -> None:
    topic = kafka.topic()
    sink = KafkaPredictions(
        KafkaOutlet(kafka.bootstrap_servers, {"queue.buffering.max.messages": "10"}, topic)
    )
    sink.send(column([None] * 500), column([b"%d" % n for n in range(500)]))
    assert sink.flush(30)
    sink.close()
    assert [record.value for record in kafka.read_back(topic)] == [b"%d" % n for n in range(500)]


def test_a_dead_letter_keeps_its_bytes_and_says_why(kafka: Any) -> None:
    topic = kafka.topic()
    sink = KafkaDeadLetters(KafkaOutlet(kafka.bootstrap_servers, {}, topic), "flights")
    letters = [
        DeadLetter("events", 3, 17, "invalid_json", "expected ',' — né", b"\x00k", b'{"a": \xff\n'),
        DeadLetter("events", 0, 18, "tombstone", "", b"", None),
        DeadLetter("events", 0, 19, "empty", "", None, b""),
    ]
    sink.send(letters)
    assert sink.flush(30)
    sink.close()
    kept = {record.headers[4][1]: record for record in kafka.read_back(topic)}
    for letter in letters:
        record = kept[str(letter.offset).encode()]
        assert (record.key, record.value) == (letter.key, letter.value)
        assert record.headers == (
            ("streamlearn.reason", letter.reason.encode()),
            ("streamlearn.detail", letter.detail.encode()),
            ("streamlearn.topic", b"events"),
            ("streamlearn.partition", str(letter.partition).encode()),
            ("streamlearn.offset", str(letter.offset).encode()),
            ("streamlearn.stream", b"flights"),
        )


def test_a_dead_letter_beyond_the_topics_limit_is_an_error_with_a_remedy(kafka: Any) -> None:
    topic = kafka.topic(config={"max.message.bytes": "100000"})
    properties = {"compression.type": "none"}
    sink = KafkaDeadLetters(KafkaOutlet(kafka.bootstrap_servers, properties, topic), "flights")
    small = DeadLetter("events", 0, 1, "oversized", "", None, b"x")
    sink.send([small])
    assert sink.flush(30)
    sink.send([DeadLetter("events", 0, 2, "oversized", "", None, b"x" * 200_000)])
    with pytest.raises(DeadLetterError, match="200000 bytes") as caught:
        sink.flush(30)
    assert "max.message.bytes" in caught.value.remedy
    with pytest.raises(DeadLetterError):
        sink.send([small])  # for good: a checkpoint must not pass it
    sink.close()


def test_a_dead_letter_of_several_megabytes_is_kept_where_the_topic_allows_it(kafka: Any) -> None:
    topic = kafka.topic(config={"max.message.bytes": "10000000"})
    sink = KafkaDeadLetters(
        KafkaOutlet(kafka.bootstrap_servers, {"compression.type": "none"}, topic), "flights"
    )
    sink.send([DeadLetter("events", 0, 2, "oversized", "", None, b"x" * 3_000_000)])
    assert sink.flush(60)
    sink.close()
    assert [len(record.value) for record in kafka.read_back(topic)] == [3_000_000]


def test_a_topic_is_made_once_and_deleted_once(kafka: Any) -> None:
    name = kafka.topic() + "-made"
    servers = kafka.bootstrap_servers
    assert create_topic(servers, name, 3, {"retention.ms": "-1"})
    assert not create_topic(servers, name, 5, {})
    assert len(kafka.admin.list_topics(name, timeout=10).topics[name].partitions) == 3
    assert delete_topic(servers, name)
    assert not delete_topic(servers, name)


def test_lines_become_messages_by_key_and_by_record(kafka: Any) -> None:
    topic = kafka.topic(3)
    told: list[int] = []
    lines: list[bytes | Record] = [
        b'{"id": "a\\u00e9"}',
        b'{"id": 7}',
        b'{"id": null}',
        b"not json \xff",
        Record(b"there", b"own", partition=2, timestamp_ms=1234),
        Record(None, b"tombstone", partition=2),
    ]
    count = produce_lines(kafka.bootstrap_servers, topic, lines, key_field="id", on_progress=told.append)
    assert count == len(lines)
    assert told[-1] == len(lines)
    records = kafka.read_back(topic)
    keys = {record.value: record.key for record in records}
    assert keys == {
        b'{"id": "a\\u00e9"}': "aé".encode(),
        b'{"id": 7}': b"7",
        b'{"id": null}': None,
        b"not json \xff": None,
        b"there": b"own",
        None: b"tombstone",
    }
    [there] = [record for record in records if record.value == b"there"]
    assert (there.partition, there.timestamp_ms) == (2, 1234)


def test_producing_makes_the_topic_when_asked_and_fails_when_not(kafka: Any) -> None:
    name = kafka.topic() + "-filled"
    assert produce_lines(kafka.bootstrap_servers, name, [b"1", b"2"], partitions=2) == 2
    assert len(kafka.read_back(name)) == 2
    with pytest.raises(TopicMissing, match="no-such-topic-anywhere"):
        produce_lines(kafka.bootstrap_servers, "no-such-topic-anywhere", [b"1"])


def test_what_was_produced_before_an_iterator_failed_is_there(kafka: Any) -> None:
    topic = kafka.topic()

    def lines() -> Iterator[bytes]:
        yield b"1"
        raise json.JSONDecodeError("broken", "", 0)

    with pytest.raises(json.JSONDecodeError):
        produce_lines(kafka.bootstrap_servers, topic, lines())
    assert [record.value for record in kafka.read_back(topic)] == [b"1"]
