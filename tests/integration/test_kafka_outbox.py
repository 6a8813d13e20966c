"""Transactions on Apache Kafka: what a read_committed reader (the other client) sees, whatever happens meanwhile.

All of it holds for both ways into librdkafka (connectors/kafka_producers.py).
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from producer_ways import each_way  # noqa: F401  a fixture
from records_for_tests import records
from waiting import eventually

from streamlearn.config import KafkaSource
from streamlearn.connectors.kafka_group_offsets import committed_offsets
from streamlearn.connectors.kafka_journal import read_cuts, read_journal
from streamlearn.connectors.kafka_member import KafkaMember
from streamlearn.connectors.kafka_outbox import KafkaOutbox
from streamlearn.connectors.kafka_outbox_settings import OutboxSettings, transactional_id
from streamlearn.connectors.kafka_outboxes import make_outbox
from streamlearn.contracts import Assigned, DeadLetter, Revoked
from streamlearn.emission import Emission
from streamlearn.errors import DeadLetterError, Fenced, TopicMissing
from streamlearn.events import TopicPartition

pytestmark = pytest.mark.kafka

OPEN_SECONDS = 20.0
FLUSH_SECONDS = 20.0


class Place:
    """Topics of one test, a member of its group, and the outboxes that were made."""

    def __init__(self, kafka: Any, **properties: str) -> None:
        self.kafka = kafka
        self.events = kafka.topic(2)
        self.p0, self.p1 = TopicPartition(self.events, 0), TopicPartition(self.events, 1)
        self.settings = OutboxSettings(
            source=KafkaSource(
                bootstrap_servers=kafka.bootstrap_servers,
                topics=(self.events,),
                group_id=f"{self.events}-group",
                properties={"session.timeout.ms": "6000", "heartbeat.interval.ms": "300", **properties},  # type: ignore[arg-type]
            ),
            stream="flights",
            predictions_topic=kafka.topic(),
            dead_letters_topic=kafka.topic(),
            journal_topic=f"{self.events}.order",
            commit_seconds=0.05,
        )
        self.id = transactional_id(self.settings.source, "flights", "flights")
        self.member = KafkaMember(self.settings.source)
        self.outboxes: list[KafkaOutbox] = []
        self.told: Counter[str] = Counter()  # by outboxes: what became of their transactions
        eventually(lambda: self.member.assignment_known, 30)
        eventually(lambda: self.member.group_metadata() is not None, 30)

    def outbox(self, settings: OutboxSettings | None = None, **others: Any) -> KafkaOutbox:
        others.setdefault("group_metadata", self.member.group_metadata)
        others.setdefault("tell", lambda happened: self.told.update([happened]))
        outbox = make_outbox(settings or self.settings, "flights", [self.p0, self.p1], **others)
        self.outboxes.append(outbox)
        return outbox

    def emission(self, *values: bytes, upto: int, **fields: Any) -> Emission:
        keys = [b"k-" + value for value in values]
        whole: dict[str, Any] = {"predictions": [records("m", *values, keys=keys)], "letters": (), "cuts": ()}
        return Emission(**{**whole, "next_offsets": {self.p0: upto, self.p1: 2 * upto}, **fields})

    def seen(self, isolation_level: str = "read_committed") -> list[bytes]:
        topic = self.settings.predictions_topic
        return [r.value for r in self.kafka.read_back(topic, isolation_level=isolation_level)]

    def group_offsets(self) -> dict[TopicPartition, int]:
        group_id = self.settings.source.group_id
        return committed_offsets(self.kafka.admin, group_id, [self.p0, self.p1], 10)

    def close(self) -> None:
        for outbox in self.outboxes:
            outbox.close()
        self.member.close()


@pytest.fixture
def place(kafka: Any) -> Iterator[Place]:
    place = Place(kafka)
    yield place
    place.close()


def test_a_transaction_holds_predictions_letters_cuts_and_offsets(place: Place) -> None:
    outbox = place.outbox()
    assert outbox.open(OPEN_SECONDS).next_offsets == {}
    letter = DeadLetter(place.events, 1, 3, "invalid_json", "at 1", b"k", b"\xff{")
    cuts = [{place.p0: 1, place.p1: 3}, {place.p0: 2, place.p1: 4}]
    outbox.send(place.emission(b"a", b"b", upto=2, letters=[letter], cuts=cuts))
    outbox.send(place.emission(upto=3))  # nothing but offsets
    assert outbox.flush(FLUSH_SECONDS)
    assert place.group_offsets() == {place.p0: 3, place.p1: 6}
    predictions = place.kafka.read_back(place.settings.predictions_topic)
    assert [(r.key, r.value) for r in predictions] == [(b"k-a", b"a"), (b"k-b", b"b")]
    [kept] = place.kafka.read_back(place.settings.dead_letters_topic)
    assert (kept.key, kept.value, dict(kept.headers)["streamlearn.offset"]) == (b"k", b"\xff{", b"3")
    assert read_cuts(place.settings.source, place.settings.journal_topic or "", place.id, {}, 10) == cuts
    assert place.told["committed"] == 1


def test_a_commit_comes_by_itself(place: Place) -> None:
    outbox = place.outbox()
    outbox.open(OPEN_SECONDS)
    outbox.send(place.emission(b"a", upto=1))
    eventually(lambda: place.seen() == [b"a"], 20)


def test_a_successor_fences_a_zombie_and_knows_what_was_covered(place: Place) -> None:
    patient = replace(place.settings, commit_seconds=3600.0)
    zombie = place.outbox(patient)
    zombie.open(OPEN_SECONDS)
    zombie.send(place.emission(b"committed", upto=5))
    assert zombie.flush(FLUSH_SECONDS)
    zombie.send(place.emission(b"of the zombie", upto=6))
    successor = place.outbox()
    assert successor.open(OPEN_SECONDS).next_offsets == {place.p0: 5, place.p1: 10}
    with pytest.raises(Fenced):
        zombie.flush(FLUSH_SECONDS)
    with pytest.raises(Fenced):
        zombie.send(place.emission(b"later", upto=7))
    successor.send(place.emission(b"of the successor", upto=6))
    assert successor.flush(FLUSH_SECONDS)
    assert place.seen() == [b"committed", b"of the successor"]
    assert place.group_offsets() == {place.p0: 6, place.p1: 12}


CRASHES = """
import os, sys, json
from confluent_kafka import Producer, TopicPartition
from streamlearn.connectors.kafka_settings import transactional_settings
servers, name, topic, where, group, events = sys.argv[1:]
producer = Producer(transactional_settings(servers, {}, name, 60))
producer.init_transactions(20)
producer.begin_transaction()
producer.produce(topic, b"half-sent")
producer.flush()
if where == "offsets":
    from confluent_kafka import Consumer
    outside = Consumer({"bootstrap.servers": servers, "group.id": group})  # of no generation: not checked
    metadata = outside.consumer_group_metadata()
    producer.send_offsets_to_transaction([TopicPartition(events, 0, 99)], metadata, 20)
print("open", flush=True)
os._exit(9)
"""


@pytest.mark.parametrize("where", ["records", "offsets"])
def test_what_a_crash_left_open_is_ended_by_the_successor(place: Place, where: str) -> None:
    settings = place.settings
    first = place.outbox()
    first.open(OPEN_SECONDS)
    first.send(place.emission(b"whole", upto=4))
    assert first.flush(FLUSH_SECONDS)
    first.close()
    name = f"{settings.source.group_id}.flights.flights"
    arguments = [settings.source.bootstrap_servers, name, settings.predictions_topic or "", where]
    died = subprocess.run(
        [sys.executable, "-c", CRASHES, *arguments, settings.source.group_id, place.events],
        stdout=subprocess.PIPE,
        timeout=60,
        text=True,
    )
    assert (died.returncode, died.stdout) == (9, "open\n")
    assert b"half-sent" in place.seen("read_uncommitted")
    successor = place.outbox()
    assert successor.open(OPEN_SECONDS).next_offsets == {place.p0: 4, place.p1: 8}
    successor.send(place.emission(b"after", upto=5))
    assert successor.flush(FLUSH_SECONDS)
    assert place.seen() == [b"whole", b"after"]


class Disturbed:
    """A producer of librdkafka to which something happens at a step; the rest is as it is."""

    def __init__(self, producer: Producer, disturb: dict[str, Callable[[Producer], None]]) -> None:
        self._producer = producer
        self._disturb = disturb

    def __getattr__(self, step: str) -> Any:
        real = getattr(self._producer, step)

        def call(*arguments: Any, **named: Any) -> Any:
            happening = self._disturb.pop(f"before {step}", None)
            if happening is not None:
                happening(self._producer)
            answer = real(*arguments, **named)
            happening = self._disturb.pop(f"after {step}", None)
            if happening is not None:
                happening(self._producer)
            return answer

        return call


def fails(code: int, *flags: bool) -> Callable[[Producer], None]:
    def happening(_producer: Producer) -> None:
        raise KafkaException(KafkaError(code, "said by the test", *flags))

    return happening


FATAL = fails(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, True)
ABORTABLE = fails(KafkaError.INVALID_TXN_STATE, False, False, True)


@pytest.mark.parametrize(
    ("happening", "aborted", "recreated"),
    [
        ({"before send_offsets_to_transaction": ABORTABLE}, 1, 0),
        ({"before commit_transaction": ABORTABLE}, 1, 0),
        ({"before commit_transaction": FATAL}, 0, 1),  # unknown to us: not committed
        ({"after commit_transaction": FATAL}, 0, 1),  # unknown to us: committed
        ({"after produce_columns": FATAL}, 0, 1),
        ({"before begin_transaction": FATAL}, 0, 1),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_transaction_in_trouble_is_seen_once(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    happening: dict[str, Callable[[Producer], None]],
    aborted: int,
    recreated: int,
) -> None:
    outbox = place.outbox()
    disturb: dict[str, Callable[[Producer], None]] = {}
    connect = outbox._transactions._connect
    monkeypatch.setattr(outbox._transactions, "_connect", lambda report: Disturbed(connect(report), disturb))
    outbox.open(OPEN_SECONDS)
    outbox.send(place.emission(b"1", upto=1))
    assert outbox.flush(FLUSH_SECONDS)
    disturb |= happening
    outbox.send(place.emission(b"2", b"3", upto=3))
    assert outbox.flush(FLUSH_SECONDS)
    assert disturb == {}
    outbox.send(place.emission(b"4", upto=4))
    assert outbox.flush(FLUSH_SECONDS)
    assert place.seen() == [b"1", b"2", b"3", b"4"]
    assert place.group_offsets() == {place.p0: 4, place.p1: 8}
    # On a machine so slow that the abort takes too long, the producer is replaced instead.
    mended = (place.told["aborted"], place.told["recreated"])
    assert mended in {(aborted, recreated), (0, 1)}


def test_a_worker_that_left_the_group_is_fenced(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlearn.connectors.kafka_transactions.PAUSE_SECONDS", (0.01, 0.01))
    outbox = place.outbox(replace(place.settings, commit_seconds=3600.0))
    outbox.open(OPEN_SECONDS)
    outbox.send(place.emission(b"too late", upto=1))
    proof = place.member.group_metadata()
    place.member.close()
    assert place.member.group_metadata() is None
    with pytest.raises(Fenced, match="in no group"):
        outbox.flush(FLUSH_SECONDS)
    # Nor with what proved membership before.
    again = place.outbox(group_metadata=lambda: proof)
    again.open(OPEN_SECONDS)
    again.send(place.emission(b"later still", upto=1))
    with pytest.raises(Fenced, match="UNKNOWN_MEMBER_ID"):
        again.flush(FLUSH_SECONDS)
    assert place.seen() == []
    assert place.group_offsets() == {}


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_an_outbox_is_flushed_while_a_revoke_waits_for_the_belt(kafka: Any, protocol: str) -> None:
    properties = {"group.protocol": "consumer"} if protocol == "consumer" else {}
    place = Place(kafka)
    if properties:
        place.close()
        source = place.settings.source.model_copy(update={"properties": {}})
        source = KafkaSource(
            **{**source.model_dump(), "properties": properties, "group_id": f"{place.events}-2"}
        )
        place.settings = replace(place.settings, source=source)
        place.member = KafkaMember(source)
    other: KafkaMember | None = None
    try:
        eventually(lambda: Assigned((place.p0, place.p1)) in place.member.happenings(), 30)
        outbox = place.outbox(replace(place.settings, commit_seconds=3600.0))
        outbox.open(OPEN_SECONDS)
        outbox.send(place.emission(b"before", upto=1))
        other = KafkaMember(place.settings.source)
        revoked = [each for each in eventually(place.member.happenings, 30) if isinstance(each, Revoked)]
        assert revoked, "the newcomer gets one of the two"
        assert outbox.flush(FLUSH_SECONDS)
        outbox.close()
        place.member.released(revoked[0])
        eventually(lambda: other.assignment_known, 30)
        successor = place.outbox(group_metadata=other.group_metadata)
        assert successor.open(OPEN_SECONDS).next_offsets == {place.p0: 1, place.p1: 2}
        assert place.seen() == [b"before"]
    finally:
        place.close()
        if other is not None:
            other.close()


def test_a_topic_that_is_missing_is_named(place: Place) -> None:
    settings = replace(place.settings, predictions_topic="no-such-topic-at-all")
    quick = settings.source.model_copy(
        update={
            "properties": KafkaSource(
                bootstrap_servers="b:1",
                topics=("t",),
                group_id="g",
                properties={"topic.metadata.propagation.max.ms": "500"},  # type: ignore[dict-item]
            ).properties
        }
    )
    outbox = place.outbox(replace(settings, source=quick))
    outbox.open(OPEN_SECONDS)
    outbox.send(place.emission(b"1", upto=1))
    with pytest.raises(TopicMissing, match="no-such-topic-at-all"):
        outbox.flush(FLUSH_SECONDS)


def test_a_letter_that_is_too_large_is_an_error_with_a_remedy(place: Place) -> None:
    topic = place.kafka.topic(config={"max.message.bytes": "1000"})
    outbox = place.outbox(replace(place.settings, dead_letters_topic=topic))
    outbox.open(OPEN_SECONDS)
    letter = DeadLetter(place.events, 0, 0, "oversized", "", None, random.Random(7).randbytes(10_240))
    outbox.send(place.emission(b"1", upto=1, letters=[letter]))
    with pytest.raises(DeadLetterError, match="10240 bytes") as caught:
        outbox.flush(FLUSH_SECONDS)
    assert "max.message.bytes" in caught.value.remedy
    assert place.seen() == []  # as a whole, or not at all
    assert place.group_offsets() == {}


def test_closing_makes_nothing_visible_that_was_not_committed(place: Place) -> None:
    outbox = place.outbox(replace(place.settings, commit_seconds=3600.0))
    outbox.open(OPEN_SECONDS)
    outbox.send(place.emission(b"never", upto=1))
    outbox.close()
    outbox.close()
    with pytest.raises(Fenced, match="let go"):
        outbox.flush(0.1)
    assert place.seen() == []


def test_more_than_fits_waits_and_arrives_in_order(place: Place) -> None:
    outbox = place.outbox(
        replace(place.settings, buffer_bytes_max=50_000, transaction_records_max=500, commit_seconds=3600.0)
    )
    outbox.open(OPEN_SECONDS)
    values = [b"%d" % n * 20 for n in range(6000)]
    for begin in range(0, 6000, 100):
        outbox.send(place.emission(*values[begin : begin + 100], upto=begin + 100))
    assert outbox.flush(FLUSH_SECONDS)
    assert place.seen() == values
    assert place.told["committed"] >= 12


def test_more_than_the_queue_takes_is_one_transaction_in_order(kafka: Any) -> None:
    place = Place(kafka, **{"queue.buffering.max.messages": "7"})
    try:
        outbox = place.outbox(replace(place.settings, commit_seconds=3600.0))
        outbox.open(OPEN_SECONDS)
        values = [b"%d" % n for n in range(200)]
        outbox.send(place.emission(*values, upto=200))
        assert outbox.flush(FLUSH_SECONDS)
        assert place.seen() == values
        assert place.told["committed"] == 1
    finally:
        place.close()


def test_the_journal_is_read_back_from_any_place(place: Place) -> None:
    outbox = place.outbox()
    outbox.open(OPEN_SECONDS)
    cuts = [{place.p0: 3 * n, place.p1: n} for n in range(1, 8)]
    for n, cut in enumerate(cuts, 1):
        outbox.send(place.emission(b"%d" % n, upto=n, cuts=[cut]))
        assert outbox.flush(FLUSH_SECONDS)
    source, topic = place.settings.source, place.settings.journal_topic or ""
    assert read_cuts(source, topic, place.id, {}, 10) == cuts
    assert read_cuts(source, topic, place.id, cuts[3], 10) == cuts[4:]
    assert read_cuts(source, topic, place.id, cuts[-1], 10) == []
    others = transactional_id(source.model_copy(update={"group_id": "others"}), "flights", "flights")
    assert read_cuts(source, topic, others, {}, 10) == [], "another group's stream of the same name"
    records = list(read_journal(source, topic, 10))
    assert [cut for record in records for cut in record.cuts] == cuts
    assert list(read_journal(source, topic, 10, from_offset=records[2].offset)) == records[2:]
    with pytest.raises(TopicMissing):
        read_cuts(source, "no-such.order", place.id, {}, 10)


def test_a_long_journal_is_read_from_its_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlearn.connectors.kafka_journal.TAIL_OFFSETS", 4)
    outbox = place.outbox()
    outbox.open(OPEN_SECONDS)
    cuts = [{place.p0: n, place.p1: n} for n in range(1, 21)]
    for n, cut in enumerate(cuts, 1):
        outbox.send(place.emission(upto=n, cuts=[cut]))
        assert outbox.flush(FLUSH_SECONDS)
    source, topic = place.settings.source, place.settings.journal_topic or ""
    for done in (0, 11, 20):
        assert read_cuts(source, topic, place.id, {place.p0: done, place.p1: done}, 10) == cuts[done:]
