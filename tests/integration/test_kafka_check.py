"""What ``check --connect`` finds on Apache Kafka, and where nobody answers."""

from __future__ import annotations

from typing import Any

import pytest

from streamlearn.commands.check import check_stream
from streamlearn.config import KafkaSource
from streamlearn.config_file import parse
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


LABELLED = """
[stream]
name = "flow"
task = "binary"
scope = "partition"
[source.kafka]
bootstrap_servers = "{servers}"
topics = ["{events}"]
group_id = "check"
[event]
id = "id"
numeric = ["a"]
[labels]
topic = "{labels}"
id = "of"
label = "y"
wait = "1h"
[[models]]
name = "model"
learner = "river"
pipeline = ["linear_model.LogisticRegression"]
"""


@pytest.mark.kafka
def test_the_topic_of_the_labels_is_looked_at_by_its_own_contract(kafka: Any) -> None:
    events, labels = kafka.topic(2), kafka.topic(3)
    kafka.produce(events, [(0, None, b'{"id": 1, "a": 0.5}', None)])
    good, bad = b'{"of": 1, "y": true}', b'{"id": 1, "a": 0.5}'
    kafka.produce(labels, [(0, None, good, None), (0, None, bad, None)])
    text = LABELLED.format(servers=kafka.bootstrap_servers, events=events, labels=labels)
    report = check_stream(parse(text, [], {}), connect=True)
    items = {item.what: item for item in report.items}
    assert items[f"messages of {events}"].detail == "1 of 1 sampled messages fit the event contract"
    assert items[f"messages of {labels}"].detail.startswith(
        "1 of 2 sampled messages fit the label contract; 1 would be rejected as missing_id"
    )
    pair = items[f"partitions of {' and '.join(sorted([events, labels]))}"]
    assert not pair.ok
    assert 'stream.scope = "stream"' in pair.remedy
    assert [item.what for item in report.items if not item.ok] == [pair.what]
    whole = check_stream(parse(text, ["stream.scope=stream"], {}), connect=True)
    assert whole.ok, whole.items


@pytest.mark.kafka
def test_a_missing_topic_of_labels_is_a_finding(kafka: Any) -> None:
    text = LABELLED.format(servers=kafka.bootstrap_servers, events=kafka.topic(1), labels="no-such-labels")
    report = check_stream(parse(text, [], {}), connect=True)
    assert "topic no-such-labels" in [item.what for item in report.items if not item.ok]
