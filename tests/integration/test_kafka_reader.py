"""The confluent reader on Apache Kafka, by both its ways: what the contract suite over all sources does not see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from waiting import eventually

from streamlearn.config import KafkaSource
from streamlearn.connectors import kafka_reader
from streamlearn.connectors.kafka_reader import KafkaReader
from streamlearn.errors import TopicMissing
from streamlearn.events import TopicPartition

pytestmark = pytest.mark.kafka

DEADLINE_SECONDS = 60.0


@pytest.fixture(params=["c_batches", "consume"])
def reader_of(request: pytest.FixtureRequest, kafka: Any) -> Iterator[Callable[[str], KafkaReader]]:
    """Makes readers of one topic, and closes them twice."""
    opened: list[KafkaReader] = []

    def open_(topic: str) -> KafkaReader:
        source = KafkaSource(bootstrap_servers=kafka.bootstrap_servers, topics=(topic,), group_id="reader")
        opened.append(KafkaReader(source, way=request.param))
        return opened[-1]

    yield open_
    for reader in opened:
        reader.close()
        reader.close()


@pytest.fixture
def reading(kafka: Any, reader_of: Callable[[str], KafkaReader]) -> tuple[KafkaReader, str]:
    """A reader at the end of an empty topic of one partition."""
    topic = kafka.topic()
    reader = reader_of(topic)
    only = TopicPartition(topic, 0)
    reader.assign({only: 0})
    eventually(lambda: only in reader.poll(10, 0.2).caught_up, DEADLINE_SECONDS)
    return reader, topic


def test_a_topic_that_is_deleted_while_it_is_read_is_told(
    kafka: Any, reading: tuple[KafkaReader, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, topic = reading
    monkeypatch.setattr(kafka_reader, "QUIET_SECONDS", 0.2)
    reader._ask_again = 0.0
    reader.poll(10, 0.0)  # asks, and finds it there
    kafka.admin.delete_topics([topic])[topic].result()
    with pytest.raises(TopicMissing, match=topic):
        eventually(lambda: reader.poll(10, 0.1) is None, DEADLINE_SECONDS)


def test_a_quiet_topic_that_is_there_is_no_trouble(
    reading: tuple[KafkaReader, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, _ = reading
    asked: list[list[str]] = []
    ask = kafka_reader.partitions_of
    monkeypatch.setattr(kafka_reader, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(
        kafka_reader,
        "partitions_of",
        lambda consumer, topics, s: asked.append(topics) or ask(consumer, topics, s),
    )
    reader._ask_again = 0.0
    for _ in range(3):
        assert reader.poll(10, 0.0).batch.num_rows == 0
    # It was heard before the first time, and is quiet since.
    assert asked == [[], list(reader.topics), list(reader.topics)]


def test_a_topic_that_was_created_again_has_another_identity(
    kafka: Any, reader_of: Callable[[str], KafkaReader]
) -> None:
    topic = kafka.topic()
    reader = reader_of(topic)
    before = reader.identity()
    assert before["cluster_id"] == reader.cluster_id()
    assert reader.identity() == before
    kafka.admin.delete_topics([topic])[topic].result()
    eventually(lambda: topic not in kafka.admin.list_topics(timeout=10).topics, DEADLINE_SECONDS)
    kafka.topic(name=topic)
    after = reader.identity()
    assert after["cluster_id"] == before["cluster_id"]
    assert after["topic_ids"][topic] != before["topic_ids"][topic]


def test_a_message_comes_at_once_not_at_the_end_of_the_wait(
    kafka: Any, reading: tuple[KafkaReader, str]
) -> None:
    reader, topic = reading
    kafka.produce(topic, [(0, None, b"now", None)])
    polled = reader.poll(10, 60.0)  # longer than the test may take
    assert polled.batch.column("value").to_pylist() == [b"now"]


def test_what_is_kept_is_not_read_again_when_others_join(
    kafka: Any, reader_of: Callable[[str], KafkaReader]
) -> None:
    topic = kafka.topic(2)
    kafka.produce(topic, [(0, None, b"%d" % n, None) for n in range(10)])
    reader = reader_of(topic)
    first, second = reader.partitions()
    reader.assign({first: 0})
    eventually(lambda: first in reader.poll(100, 0.2).caught_up, DEADLINE_SECONDS)
    # Kept at its end: the end is said again, and nothing is brought again.
    reader.assign({first: 10, second: 0})
    polled = reader.poll(100, 0.2)
    assert first in polled.caught_up
    assert polled.positions[first] == 10
    assert polled.batch.num_rows == 0
