"""What ``check --connect`` finds on Apache Kafka, and where nobody answers."""

from __future__ import annotations

from typing import Any

import pytest

from streamlearn.config import KafkaSource
from streamlearn.connectors.kafka_check import check_kafka, sample_topic
from streamlearn.errors import TopicMissing


@pytest.mark.kafka
def test_all_is_well(kafka: Any) -> None:
    topic, out = kafka.topic(3), kafka.topic()
    kafka.produce(topic, [(n % 3, None, b"%d" % n, None) for n in range(90)])
    source = KafkaSource(bootstrap_servers=kafka.bootstrap_servers, topics=(topic,), group_id="check")
    found = check_kafka(source, predictions_topic=out, dead_letters_topic=out, sample_events=30)
    assert found.ok, found
    assert [finding.what for finding in found.findings] == [
        f"broker {kafka.bootstrap_servers}",
        f"topic {topic}",
        f"permission to read {topic}",
        f"messages in {topic}",
        f"topic {out}",
        f"permission to write {out}",
        f"topic {out}",
        f"permission to write {out}",
        "permission to read with group check",
    ]
    newest = sorted(int(value) for value in found.samples[topic].column("value").to_pylist())
    assert newest == list(range(60, 90))


@pytest.mark.kafka
def test_every_missing_topic_is_a_finding(kafka: Any) -> None:
    source = KafkaSource(
        bootstrap_servers=kafka.bootstrap_servers, topics=("nope-1", "nope-2"), group_id="check"
    )
    found = check_kafka(source, predictions_topic="nope-3")
    trouble = [finding for finding in found.findings if not finding.ok]
    assert [finding.what for finding in trouble] == ["topic nope-1", "topic nope-2", "topic nope-3"]
    assert all("create the topic" in finding.remedy for finding in trouble)


@pytest.mark.kafka
def test_an_empty_topic_is_no_trouble(kafka: Any) -> None:
    topic = kafka.topic()
    source = KafkaSource(bootstrap_servers=kafka.bootstrap_servers, topics=(topic,), group_id="check")
    found = check_kafka(source)
    assert found.ok
    assert found.samples[topic].num_rows == 0


def test_nobody_there_is_the_one_finding() -> None:
    source = KafkaSource(bootstrap_servers="127.0.0.1:9", topics=("t",), group_id="check")
    found = check_kafka(source, timeout_seconds=0.5)
    [finding] = found.findings
    assert not found.ok
    assert "Connection refused" in finding.detail
    assert "bootstrap_servers" in finding.remedy


def test_a_refused_property_is_the_one_finding() -> None:
    source = KafkaSource(
        bootstrap_servers="127.0.0.1:9", topics=("t",), group_id="check", properties={"no.such": "1"}
    )
    [finding] = check_kafka(source).findings
    assert "no.such" in finding.detail


@pytest.mark.kafka
def test_a_sample_of_a_topic_is_its_newest_messages(kafka: Any) -> None:
    topic = kafka.topic(2)
    kafka.produce(topic, [(n % 2, None, b"%d" % n, None) for n in range(50)])
    source = KafkaSource(bootstrap_servers=kafka.bootstrap_servers, topics=(topic,), group_id="sample")
    values = sample_topic(source, 10).column("value").to_pylist()
    assert sorted(map(int, values)) == list(range(40, 50))


@pytest.mark.kafka
def test_a_sample_of_no_topic_is_an_error(kafka: Any) -> None:
    source = KafkaSource(bootstrap_servers=kafka.bootstrap_servers, topics=("nope",), group_id="sample")
    with pytest.raises(TopicMissing):
        sample_topic(source, 10)
