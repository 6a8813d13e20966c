"""A broker that goes away and comes back: everything waits, nothing is lost, all recovers by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from records_for_tests import column
from waiting import eventually

from streamlearn.config import KafkaSource
from streamlearn.connectors.admin import create_topic, produce_lines
from streamlearn.connectors.kafka_member import KafkaMember
from streamlearn.connectors.kafka_reader import KafkaReader
from streamlearn.connectors.kafka_sinks import KafkaOutlet, KafkaPredictions
from streamlearn.connectors.local_broker import LocalBroker
from streamlearn.contracts import Assigned
from streamlearn.errors import BrokerUnavailable
from streamlearn.events import TopicPartition

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

DEADLINE_SECONDS = 60.0


def test_an_outage_is_waited_for(broker: LocalBroker, tmp_path: Path) -> None:
    servers = broker.bootstrap_servers
    port = int(servers.rpartition(":")[2])
    for topic in ("events", "predictions"):
        create_topic(servers, topic, 1, {})
    produce_lines(servers, "events", [b"before"])
    source = KafkaSource(bootstrap_servers=servers, topics=("events",), group_id="outage")
    only = TopicPartition("events", 0)
    member, reader = KafkaMember(source), KafkaReader(source, timeout_seconds=1.0)
    sink = KafkaPredictions(KafkaOutlet(servers, {}, "predictions"))
    try:
        eventually(member.connected, DEADLINE_SECONDS)
        eventually(lambda: Assigned((only,)) in member.happenings(), DEADLINE_SECONDS)
        reader.assign({only: 0})
        read: list[bytes] = []

        def reads(value: bytes) -> bool:
            read.extend(reader.poll(10, 0.2).batch.column("value").to_pylist())
            return value in read

        eventually(lambda: reads(b"before"), DEADLINE_SECONDS)

        broker.stop()
        eventually(lambda: not member.connected(), DEADLINE_SECONDS)
        # Statistics say that the coordinator is away, the client's connections say why: either may be first.
        eventually(lambda: member.trouble is not None, DEADLINE_SECONDS)
        assert reader.poll(10, 0.2).batch.num_rows == 0
        with pytest.raises(BrokerUnavailable):
            reader.watermarks(only)
        sink.send(column([b"k"]), column([b"sent during the outage"]))
        assert not sink.flush(0.2)
        member.commit({only: 1})
        assert member.happenings() == []

        again = LocalBroker(port, tmp_path / "broker", heap_megabytes=384).start()
        try:
            produce_lines(servers, "events", [b"after"])
            eventually(lambda: reads(b"after"), DEADLINE_SECONDS)
            assert read == [b"before", b"after"]
            eventually(lambda: sink.flush(0.2), DEADLINE_SECONDS)
            eventually(member.connected, DEADLINE_SECONDS)
            assert member.trouble is None
            predictions = KafkaReader(source.model_copy(update={"topics": ("predictions",)}))
            assert predictions.watermarks(TopicPartition("predictions", 0)).high == 1
            predictions.close()
        finally:
            member.close()
            again.stop()
    finally:
        sink.close()
        reader.close()
        member.close()


def test_a_broker_that_is_not_there_yet_is_waited_for() -> None:
    source = KafkaSource(bootstrap_servers="127.0.0.1:9", topics=("events",), group_id="outage")
    member, reader = KafkaMember(source), KafkaReader(source, timeout_seconds=0.5)
    try:
        eventually(lambda: "Connection refused" in str(member.trouble), DEADLINE_SECONDS)
        assert not member.connected()
        assert not member.assignment_known
        assert member.happenings() == []
        reader.assign({TopicPartition("events", 0): 0})
        assert reader.poll(10, 0.2).batch.num_rows == 0
    finally:
        member.close()
        reader.close()
