"""The ``kafka`` fixture itself: what it writes is there, read by the other client; without Kafka it is loud."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Producer

pytestmark = pytest.mark.kafka


def test_rows_are_read_back_as_they_were_written(kafka):
    topic = kafka.topic(partitions=2, config={"max.message.bytes": "2000000"})
    kafka.produce(topic, [(1, b"k", b"first", 1_000), (0, None, b"\x00\xff", 2_000), (1, b"k", None, 3_000)])
    read = [(r.partition, r.offset, r.key, r.value, r.timestamp_ms) for r in kafka.read_back(topic)]
    assert read == [
        (0, 0, None, b"\x00\xff", 2_000),
        (1, 0, b"k", b"first", 1_000),
        (1, 1, b"k", None, 3_000),
    ]


def test_read_back_passes_over_what_was_aborted(kafka):
    topic = kafka.topic()
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": f"test-{uuid.uuid4().hex}"}
    )
    producer.init_transactions(30)
    for value, commit in ((b"seen", True), (b"aborted", False)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(30)
        if commit:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
    assert [record.value for record in kafka.read_back(topic)] == [b"seen"]
    everything = kafka.read_back(topic, isolation_level="read_uncommitted")
    assert [record.value for record in everything] == [b"seen", b"aborted"]


def test_a_refused_record_fails_the_test(kafka):
    topic = kafka.topic(config={"max.message.bytes": "1000"})
    with pytest.raises(AssertionError, match="refused 1 of 1"):
        kafka.produce(topic, [(0, None, os.urandom(10_000), None)])


@pytest.mark.parametrize("in_ci", [False, True])
def test_without_kafka_the_tests_skip_loudly_or_fail_in_ci(in_ci, tmp_path):
    root = Path(__file__).parents[2]
    environment = {
        **os.environ,
        "CI": "true" if in_ci else "",
        "STREAMLEARN_BOOTSTRAP_SERVERS": "",
        "DOCKER_HOST": f"unix://{tmp_path}/no-engine.sock",
        "STREAMLEARN_CACHE": str(tmp_path),
        "KAFKA_HOME": "",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    test = f"{Path(__file__).relative_to(root)}::test_rows_are_read_back_as_they_were_written"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", test],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "no Kafka from a container" in run.stdout
    assert "tried the pinned jars" in run.stdout
    if in_ci:
        assert run.returncode == 1
        assert "no Apache Kafka, and CI=true" in run.stdout
    else:
        assert run.returncode == 0
        assert "1 skipped" in run.stdout
        assert "NO APACHE KAFKA" in run.stdout
