"""Members on Apache Kafka: who is given what, what a rebalance waits for, what is committed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from waiting import eventually

from streamlearn.config import KafkaSource
from streamlearn.connectors.kafka_member import KafkaMember
from streamlearn.connectors.kafka_python import KafkaPythonMember
from streamlearn.contracts import Assigned, Happening, Lost, Membership, Revoked, Unowned
from streamlearn.errors import TopicMissing
from streamlearn.events import TopicPartition

pytestmark = pytest.mark.kafka

DEADLINE_SECONDS = 60.0
AnyMember = KafkaMember | KafkaPythonMember

PROTOCOLS = [
    pytest.param(KafkaMember, {}, id="cooperative-sticky"),
    pytest.param(KafkaMember, {"partition.assignment.strategy": "range"}, id="eager"),
    pytest.param(KafkaMember, {"group.protocol": "consumer"}, id="kip-848"),
    pytest.param(KafkaPythonMember, {}, id="kafka-python"),
]


class Worker:
    """A member, and what a belt would know by it."""

    def __init__(self, member: AnyMember, *, lets_go: bool = True) -> None:
        self.member = member
        self.lets_go = lets_go
        self.owned: set[TopicPartition] = set()
        self.happened: list[Happening] = []

    def follow(self) -> None:
        for happening in self.member.happenings():
            self.happened.append(happening)
            match happening:
                case Assigned(partitions):
                    self.owned |= set(partitions)
                case Lost(partitions):
                    self.owned -= set(partitions)
                case Revoked(partitions):
                    if self.lets_go:
                        self.owned -= set(partitions)
                        self.member.commit(dict.fromkeys(partitions, 5))
                        self.member.released(happening)


@pytest.fixture
def start(kafka: Any) -> Iterator[Callable[..., Worker]]:
    """Starts a worker of a group; ends them all."""
    members: list[Membership] = []

    def start_(kind: type[AnyMember], source: KafkaSource, **options: Any) -> Worker:
        members.append(kind(source))
        return Worker(members[-1], **options)  # type: ignore[arg-type]

    yield start_
    for member in members:
        member.close()


def source_of(kafka: Any, topic: str, properties: dict[str, str], **fields: Any) -> KafkaSource:
    return KafkaSource(
        bootstrap_servers=kafka.bootstrap_servers,
        topics=(topic,),
        group_id=f"group-of-{topic}",
        properties=properties,
        **fields,
    )


def until(workers: list[Worker], condition: Callable[[], bool]) -> None:
    def follow() -> bool:
        for worker in workers:
            worker.follow()
        return condition()

    eventually(follow, DEADLINE_SECONDS, why=str([worker.happened for worker in workers]))


def committed(kafka: Any, topic: str, partitions: int) -> list[int]:
    from confluent_kafka import Consumer
    from confluent_kafka import TopicPartition as KafkaTopicPartition

    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": f"group-of-{topic}"})
    try:
        asked = [KafkaTopicPartition(topic, number) for number in range(partitions)]
        return [each.offset for each in consumer.committed(asked, 20)]
    finally:
        consumer.close()


@pytest.mark.parametrize(("kind", "properties"), PROTOCOLS)
def test_partitions_move_to_a_second_worker_and_back(
    kafka: Any, start: Callable[..., Worker], kind: type[AnyMember], properties: dict[str, str]
) -> None:
    topic = kafka.topic(4)
    everything = {TopicPartition(topic, number) for number in range(4)}
    source = source_of(kafka, topic, properties)
    first = start(kind, source)
    until([first], lambda: first.owned == everything)
    assert first.member.assignment_known

    second = start(kind, source)
    both = [first, second]
    until(both, lambda: len(first.owned) == len(second.owned) == 2)
    assert first.owned | second.owned == everything

    first.member.close()
    first.owned.clear()
    until([second], lambda: second.owned == everything)
    assert not any(isinstance(each, Lost) for each in first.happened + second.happened)
    assert first.member.revokes_over_budget == 0


def test_a_poll_that_ends_within_a_rebalance_forgets_none(
    kafka: Any, start: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    # No poll is long enough for a whole one; a busy machine has the same effect on longer ones.
    monkeypatch.setattr("streamlearn.connectors.kafka_python_member.POLL_SECONDS", 0.002)
    source = source_of(kafka, kafka.topic(4), {})
    first = start(KafkaPythonMember, source)
    until([first], lambda: len(first.owned) == 4)
    second = start(KafkaPythonMember, source)
    until([first, second], lambda: len(first.owned) == len(second.owned) == 2)


@pytest.mark.parametrize(("kind", "properties"), PROTOCOLS)
def test_a_rebalance_waits_until_the_belt_has_let_go(
    kafka: Any, start: Callable[..., Worker], kind: type[AnyMember], properties: dict[str, str]
) -> None:
    topic = kafka.topic(2)
    source = source_of(kafka, topic, properties)
    first = start(kind, source, lets_go=False)
    until([first], lambda: len(first.owned) == 2)
    second = start(kind, source)
    until([first, second], lambda: any(isinstance(each, Revoked) for each in first.happened))
    [revoked] = [each for each in first.happened if isinstance(each, Revoked)]

    # It is asked for, not let go: the other worker must not have it, however long it is looked at.
    looked_until = time.monotonic() + 1.0
    until([first, second], lambda: time.monotonic() > looked_until)
    assert not second.owned & set(revoked.partitions)

    first.lets_go = True
    first.owned -= set(revoked.partitions)
    first.member.released(revoked)
    until([first, second], lambda: len(second.owned) == 1)


@pytest.mark.parametrize(("kind", "properties"), [PROTOCOLS[0], PROTOCOLS[2], PROTOCOLS[3]])
def test_a_belt_that_does_not_let_go_in_time_loses_it(
    kafka: Any, start: Callable[..., Worker], kind: type[AnyMember], properties: dict[str, str]
) -> None:
    topic = kafka.topic(2)
    source = source_of(kafka, topic, properties, revoke_budget_seconds=0.3)
    first = start(kind, source, lets_go=False)
    until([first], lambda: len(first.owned) == 2)
    second = start(kind, source)
    until([first, second], lambda: len(second.owned) == 1)
    assert any(isinstance(each, Lost) for each in first.happened)
    assert len(first.owned) == 1
    assert first.member.revokes_over_budget == 1


@pytest.mark.parametrize(("kind", "properties"), [PROTOCOLS[0], PROTOCOLS[2], PROTOCOLS[3]])
def test_a_third_worker_for_two_partitions_knows_that_it_has_none(
    kafka: Any, start: Callable[..., Worker], kind: type[AnyMember], properties: dict[str, str]
) -> None:
    topic = kafka.topic(1)
    source = source_of(kafka, topic, properties)
    leader = start(kind, source)
    until([leader], lambda: len(leader.owned) == 1)
    standby = start(kind, source)
    until([leader, standby], lambda: standby.member.assignment_known)
    until([leader, standby], lambda: Assigned(()) in standby.happened)
    assert standby.owned == set()
    assert len(leader.owned) == 1


@pytest.mark.parametrize(("kind", "properties"), PROTOCOLS)
def test_commits_arrive_also_for_partitions_of_others_and_at_the_end(
    kafka: Any, start: Callable[..., Worker], kind: type[AnyMember], properties: dict[str, str]
) -> None:
    topic = kafka.topic(3)
    worker = start(kind, source_of(kafka, topic, properties))
    until([worker], lambda: len(worker.owned) == 3)
    worker.member.commit({TopicPartition(topic, number): 3 + number for number in range(3)})
    eventually(lambda: committed(kafka, topic, 3) == [3, 4, 5], DEADLINE_SECONDS)
    worker.member.commit({TopicPartition(topic, 1): 40})
    worker.member.close()
    assert committed(kafka, topic, 3) == [3, 40, 5]


@pytest.mark.parametrize(("kind", "properties"), PROTOCOLS)
def test_it_is_connected_until_it_leaves(
    kafka: Any, start: Callable[..., Worker], kind: type[AnyMember], properties: dict[str, str]
) -> None:
    worker = start(kind, source_of(kafka, kafka.topic(), properties))
    eventually(worker.member.connected, DEADLINE_SECONDS)
    began = time.monotonic()
    worker.member.close()
    assert time.monotonic() - began < 6
    assert not worker.member.connected()


@pytest.mark.parametrize(("kind", "properties"), [PROTOCOLS[0], PROTOCOLS[3]])
def test_a_missing_topic_is_told(
    kafka: Any, start: Callable[..., Worker], kind: type[AnyMember], properties: dict[str, str]
) -> None:
    worker = start(kind, source_of(kafka, "no-such-topic-anywhere", properties))
    with pytest.raises(TopicMissing, match="create the topic"):
        until([worker], lambda: False)


DIES_WHEN_ASKED_TO_LET_GO = """
import os, sys
from confluent_kafka import Consumer

def on_assign(consumer, partitions):
    consumer.incremental_assign(partitions)
    print("assigned", flush=True)

bootstrap_servers, group_id, topic, seat = sys.argv[1:]
consumer = Consumer({
    "bootstrap.servers": bootstrap_servers,
    "group.id": group_id,
    "group.instance.id": seat,
    "partition.assignment.strategy": "cooperative-sticky",
})
consumer.subscribe([topic], on_assign=on_assign, on_revoke=lambda *_: os._exit(9))
while True:
    consumer.poll(0.1)
"""


def test_what_a_static_member_that_died_was_to_give_away_does_not_stay_with_nobody(
    kafka: Any, start: Callable[..., Worker]
) -> None:
    """Killed between the two rounds of a rebalance, it comes back to what the first gave it, and no second comes."""
    topic = kafka.topic(4)
    everything = {TopicPartition(topic, number) for number in range(4)}

    def seat(name: str) -> KafkaSource:
        return source_of(kafka, topic, {"group.instance.id": name}, revoke_budget_seconds=1)

    command = [sys.executable, "-c", DIES_WHEN_ASKED_TO_LET_GO]
    command += [kafka.bootstrap_servers, seat("ada").group_id, topic, "ada"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as killed:
        try:
            assert killed.stdout is not None
            assert killed.stdout.readline() == b"assigned\n"
            second = start(KafkaMember, seat("bo"))
            assert killed.wait(DEADLINE_SECONDS) == 9
        finally:
            killed.kill()
    first = start(KafkaMember, seat("ada"))  # within its session: it is the same member still
    both = [first, second]
    until(both, lambda: first.owned | second.owned == everything)
    assert first.owned
    assert second.owned
    told = [each.partitions for each in second.happened if isinstance(each, Unowned)]
    assert [len(partitions) for partitions in told[:1]] == [2]
    until(both, lambda: Unowned(()) in second.happened)
