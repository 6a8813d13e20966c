"""The way out of a shard while the broker is away: what was queued is seen once it is back, once and in order.

Holds for both ways into librdkafka. The broker has to be one that keeps what it has called committed
(docs/guarantees.md, "What Kafka has to keep").
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError
from confluent_kafka.admin import AdminClient
from producer_ways import each_way  # noqa: F401  a fixture
from records_for_tests import records
from waiting import eventually

from streamlearn.config import KafkaSource
from streamlearn.connectors.admin import create_topic
from streamlearn.connectors.kafka_group_offsets import committed_offsets
from streamlearn.connectors.kafka_member import KafkaMember
from streamlearn.connectors.kafka_outbox import KafkaOutbox
from streamlearn.connectors.kafka_outbox_settings import OutboxSettings
from streamlearn.connectors.kafka_outboxes import make_outbox
from streamlearn.connectors.local_broker import LocalBroker
from streamlearn.emission import Emission
from streamlearn.errors import Fenced
from streamlearn.events import TopicPartition

pytestmark = pytest.mark.kafka

OPEN_SECONDS = 20.0
FLUSH_SECONDS = 20.0


@pytest.mark.slow
def test_an_outage_is_waited_for_and_loses_and_repeats_nothing(
    broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In one of three runs librdkafka does not find its coordinator again; this is what is waited for it.
    for module in ("kafka_transactions", "kafka_transactional_producer"):
        monkeypatch.setattr(f"streamlearn.connectors.{module}.PATIENCE_SECONDS", 6.0)
    servers = broker.bootstrap_servers
    for topic in ("events", "predictions"):
        create_topic(servers, topic, 1, {})
    only = TopicPartition("events", 0)
    source = KafkaSource(bootstrap_servers=servers, topics=("events",), group_id="outage")
    settings = OutboxSettings(source, "flights", "predictions", None, None, commit_seconds=0.0)
    member = KafkaMember(source)
    sent: list[bytes] = []

    def fresh() -> KafkaOutbox:
        return make_outbox(
            settings, "flights", [only], member.group_metadata, dead_letters=NoLetters(), tell=tell
        )

    def tell(happened: str) -> None:
        happenings.append(f"{time.monotonic() - began:.1f} s {happened}")

    happenings: list[str] = []
    began = time.monotonic()
    outbox = fresh()

    def send(count: int) -> None:
        for _ in range(count):
            sent.append(b"%d" % len(sent))
            outbox.send(emission(len(sent)))

    def emission(number: int) -> Emission:
        return Emission([records("m", sent[number - 1])], (), {only: number}, ())

    def arrived() -> bool:
        """Whether all is durable. One that is fenced begins anew behind what is covered, as the belt does."""
        nonlocal outbox
        try:
            return outbox.flush(1.0)
        except Fenced:
            # A producer that was given up may still have asked for an epoch, and only the newest counts.
            outbox.close()
            outbox = fresh()
            covered = outbox.open(OPEN_SECONDS).next_offsets.get(only, 0)
            for number in range(covered + 1, len(sent) + 1):
                outbox.send(emission(number))
            return False

    try:
        eventually(lambda: member.assignment_known, 60)
        outbox.open(OPEN_SECONDS)
        send(20)
        assert outbox.flush(FLUSH_SECONDS)
        stopping = threading.Thread(target=broker.stop)
        stopping.start()
        while stopping.is_alive():  # so that it goes in the middle of some transaction
            send(1)
            stopping.join(0.002)
        send(20)
        assert not outbox.flush(0.5)
        again = LocalBroker(int(servers.rpartition(":")[2]), tmp_path / "broker", heap_megabytes=384).start()
        try:
            try:
                # Sessions (45 s) and transactions (60 s) end meanwhile where a client did not come back.
                eventually(arrived, 180)
            except AssertionError:
                print(happenings, member.assignment_known, member.group_metadata() is not None)
                raise
            assert read_values(servers, "predictions") == sent
            admin = AdminClient({"bootstrap.servers": servers})
            assert committed_offsets(admin, "outage", [only], 20) == {only: len(sent)}
        finally:
            outbox.close()
            member.close()
            again.stop()
    finally:
        outbox.close()
        member.close()


class NoLetters:
    """A ``DeadLetterSink`` for tests in which nothing is rejected."""

    def send(self, letters: object) -> None:
        raise AssertionError(letters)

    def flush(self, timeout_seconds: float) -> bool:
        return True

    def close(self) -> None:
        pass


def read_values(servers: str, topic: str) -> list[bytes]:
    """What read_committed readers see of a topic with one partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "reads",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([topic])
    values: list[bytes] = []

    def is_at_end() -> bool:
        for message in consumer.consume(1000, 0.5):
            if message.error() is not None:
                return message.error().code() == KafkaError._PARTITION_EOF
            values.append(message.value())
        return False

    try:
        eventually(is_at_end, 60)
    finally:
        consumer.close()
    return values
