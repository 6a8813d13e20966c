"""Three clients, no code in common but librdkafka's own: what one writes, the others read alike."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest
from kafka import KafkaProducer
from waiting import eventually

from streamlearn.config import KafkaSource
from streamlearn.connectors.admin import Record, produce_lines
from streamlearn.connectors.kafka_python import KafkaPythonReader
from streamlearn.connectors.kafka_python_client import ClosingClient
from streamlearn.connectors.kafka_reader import KafkaReader
from streamlearn.contracts import Reader

pytestmark = pytest.mark.kafka

Row = tuple[int, bytes | None, bytes | None, int]
ROWS: list[Row] = [
    (0, b"k", b'{"a": 1}', 1_000),
    (1, None, b"\x00\xff\n", 2_000),
    (0, b"\xfe", b"", 3_000),
    (1, b"", None, 4_000),
    (0, None, "é".encode() * 1000, 5_000),
]


def write_with_confluent(servers: str, topic: str) -> None:
    produce_lines(
        servers, topic, [Record(value, key, partition, when) for partition, key, value, when in ROWS]
    )


def write_with_kafka_python(servers: str, topic: str) -> None:
    producer = KafkaProducer(bootstrap_servers=servers, kafka_client=ClosingClient)
    for partition, key, value, when in ROWS:
        producer.send(topic, value, key, partition=partition, timestamp_ms=when)
    producer.flush(30)
    producer.close()


def read(reader: Reader, count: int) -> list[Row]:
    rows: list[dict[str, Any]] = []
    reader.assign(dict.fromkeys(reader.partitions(), 0))

    def enough() -> bool:
        rows.extend(reader.poll(100, 0.2).batch.to_pylist())
        return len(rows) >= count

    try:
        eventually(enough, 30)
    finally:
        reader.close()
    rows.sort(key=lambda row: (row["partition"], row["offset"]))
    return [(row["partition"], row["key"], row["value"], row["timestamp_ms"]) for row in rows]


@pytest.mark.parametrize("write", [write_with_confluent, write_with_kafka_python])
@pytest.mark.parametrize("reader", [KafkaReader, KafkaPythonReader])
def test_what_one_client_writes_the_other_reads(kafka: Any, write: Any, reader: Any) -> None:
    topic = kafka.topic(2)
    write(kafka.bootstrap_servers, topic)
    source = KafkaSource(bootstrap_servers=kafka.bootstrap_servers, topics=(topic,), group_id="eyes")
    assert read(reader(source), len(ROWS)) == sorted(ROWS, key=lambda row: row[0])


@pytest.fixture
def kcat() -> str:
    path = shutil.which("kcat") or shutil.which("kafkacat")
    if path is None:
        pytest.skip("kcat is not installed (apt-get install kcat): the third pair of eyes stays shut")
    return path


def run(kcat: str, arguments: Sequence[str], written: bytes = b"") -> bytes:
    return subprocess.run(
        [kcat, *arguments], input=written, stdout=subprocess.PIPE, check=True, timeout=60
    ).stdout


def test_kcat_reads_what_we_write(kafka: Any, kcat: str) -> None:
    topic = kafka.topic()
    values = [b'{"n": %d}' % n for n in range(200)]
    produce_lines(kafka.bootstrap_servers, topic, values, key_field="n")
    shown = run(kcat, ["-b", kafka.bootstrap_servers, "-C", "-t", topic, "-e", "-q", "-J"])
    messages = [json.loads(line) for line in shown.splitlines()]
    assert [message["payload"].encode() for message in messages] == values
    assert [message["key"] for message in messages] == [str(n) for n in range(200)]
    assert [message["offset"] for message in messages] == list(range(200))


@pytest.mark.parametrize("reader", [KafkaReader, KafkaPythonReader])
def test_we_read_what_kcat_writes(kafka: Any, kcat: str, reader: Any) -> None:
    topic = kafka.topic()
    values = [base64.b64encode(bytes([n])) for n in range(100)]
    run(kcat, ["-b", kafka.bootstrap_servers, "-P", "-t", topic], b"".join(value + b"\n" for value in values))
    source = KafkaSource(bootstrap_servers=kafka.bootstrap_servers, topics=(topic,), group_id="eyes")
    assert [row[2] for row in read(reader(source), len(values))] == values
