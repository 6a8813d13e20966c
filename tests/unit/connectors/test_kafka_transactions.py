"""Every class of error at every call: what is sent is seen once, or somebody is told why not."""

from __future__ import annotations

import random
import threading
from collections import deque
from typing import Any

import pytest
from confluent_kafka import KafkaError
from kafka_in_memory import STEPS, MemoryBroker, an_error
from waiting import eventually

from streamlearn.connectors.kafka_transactional_producer import Ended, TransactionalProducer, beyond_repair
from streamlearn.connectors.kafka_transactions import REJOIN_TRIES_MAX, TRIES_MAX, Transactions
from streamlearn.connectors.kafka_verdicts import Verdict, verdict_of
from streamlearn.errors import BrokerUnavailable, Fenced, SourceError, TopicMissing
from streamlearn.events import TopicPartition

PARTITION = TopicPartition("events", 0)

AGAIN = an_error(KafkaError._TIMED_OUT, "retriable")
ABORT = an_error(KafkaError.INVALID_TXN_STATE, "abort")
REJOIN = an_error(KafkaError.ILLEGAL_GENERATION, "abort")
RECREATE = an_error(KafkaError.UNKNOWN_PRODUCER_ID, "fatal")
UNKNOWN = an_error(KafkaError.UNKNOWN)
FENCED = an_error(KafkaError._FENCED, "fatal")
REFUSED = an_error(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "fatal")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlearn.connectors.kafka_transactions.PAUSE_SECONDS", (0.0, 0.0))


def transactions(broker: MemoryBroker, metadata: Any = b"member") -> Transactions:
    return Transactions("g.s.shard", broker.connect, broker.read_offsets, lambda: metadata, broker.tell)


def write(*values: bytes) -> Any:
    def put_all(into: TransactionalProducer) -> None:
        for value in values:
            into.put("predictions", value, None)

    return put_all


def open_and_send(sending: Transactions) -> None:
    sending.open([PARTITION], 5.0)
    sending.send(write(b"1"), {PARTITION: 1})


@pytest.mark.parametrize(
    ("code", "flags", "verdict"),
    [
        (KafkaError._FENCED, ("fatal",), Verdict.FENCED),
        (KafkaError.PRODUCER_FENCED, ("fatal",), Verdict.FENCED),
        (KafkaError.INVALID_PRODUCER_EPOCH, ("abort",), Verdict.FENCED),
        (KafkaError._TIMED_OUT, ("retriable",), Verdict.AGAIN),
        (KafkaError.COORDINATOR_NOT_AVAILABLE, ("retriable",), Verdict.AGAIN),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, ("retriable",), Verdict.AGAIN),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, ("abort",), Verdict.REFUSED),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, ("abort",), Verdict.REFUSED),
        (KafkaError.MSG_SIZE_TOO_LARGE, ("abort",), Verdict.REFUSED),
        (KafkaError.INVALID_TRANSACTION_TIMEOUT, ("fatal",), Verdict.REFUSED),
        (KafkaError.UNKNOWN_MEMBER_ID, ("abort",), Verdict.REJOIN),
        (KafkaError.FENCED_INSTANCE_ID, ("abort",), Verdict.REJOIN),
        (KafkaError.STALE_MEMBER_EPOCH, ("abort",), Verdict.REJOIN),
        (KafkaError._INCONSISTENT, ("abort",), Verdict.ABORT),
        (KafkaError._STATE, (), Verdict.ABORT),  # what produce() says in a transaction that must be aborted
        (KafkaError._FATAL, (), Verdict.ABORT),  # and in one that is past that: abort tells why
        (KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, ("fatal",), Verdict.RECREATE),
        (KafkaError.UNKNOWN, (), Verdict.RECREATE),
    ],
)
def test_verdicts(code: int, flags: tuple[str, ...], verdict: Verdict) -> None:
    assert verdict_of(an_error(code, *flags)) is verdict


# What librdkafka can say at each call. A local call happens or it does not, and one that has ended a transaction
# does not ask for it to be aborted, or for the same again; any other may do its work and its answer be lost.
LOCAL = ["begin_transaction", "produce"]
MENDED = [(step, error, "instead") for step in LOCAL for error in (ABORT, RECREATE, UNKNOWN, REJOIN)]
MENDED += [
    (step, error, when)
    for step in ("init_transactions", "send_offsets_to_transaction")
    for error in (AGAIN, ABORT, RECREATE, UNKNOWN, REJOIN)
    for when in ("instead", "after")
]
for last in ("commit_transaction", "abort_transaction"):
    MENDED += [(last, error, "instead") for error in (AGAIN, ABORT, RECREATE, UNKNOWN, REJOIN)]
    MENDED += [(last, error, "after") for error in (RECREATE, UNKNOWN)]


@pytest.mark.parametrize(("step", "error", "when"), MENDED)
def test_what_can_be_mended_is_seen_once(step: str, error: KafkaError, when: str) -> None:
    broker = MemoryBroker()
    sending = transactions(broker)
    broker.script[step].append(error if when == "instead" else ("after", error))
    if step == "abort_transaction":
        broker.script["commit_transaction"].append(ABORT)
    assert sending.open([PARTITION], 5.0) == {}
    sending.send(write(b"1", b"2"), {PARTITION: 2})
    sending.send(write(b"3"), {PARTITION: 3})
    assert broker.values() == [b"1", b"2", b"3"]
    assert broker.offsets == {PARTITION: 3}
    assert not any(broker.script.values())
    assert broker.told["committed"] == 2


@pytest.mark.parametrize("coming", [RECREATE, ("after", RECREATE)])
def test_a_later_transaction_is_mended_too(coming: Any) -> None:
    broker = MemoryBroker()
    sending = transactions(broker)
    sending.open([PARTITION], 5.0)
    sending.send(write(b"1"), {PARTITION: 1})
    broker.script["commit_transaction"].append(coming)
    sending.send(write(b"2"), {PARTITION: 2})
    assert broker.values() == [b"1", b"2"]


@pytest.mark.parametrize("step", STEPS)
def test_fenced_at_any_call_is_fenced(step: str) -> None:
    broker = MemoryBroker()
    sending = transactions(broker)
    if step == "abort_transaction":
        broker.script["commit_transaction"].append(ABORT)
    broker.script[step].append(FENCED)
    with pytest.raises(Fenced):
        open_and_send(sending)
    sending.close()
    assert broker.committed == []


@pytest.mark.parametrize("step", ["init_transactions", "send_offsets_to_transaction", "commit_transaction"])
def test_what_is_refused_is_told_with_its_remedy(step: str) -> None:
    broker = MemoryBroker()
    sending = transactions(broker)
    broker.script[step].append(REFUSED)
    with pytest.raises(SourceError, match="TRANSACTIONAL_ID_AUTHORIZATION_FAILED") as caught:
        open_and_send(sending)
    assert "Write on the transactional ids" in caught.value.remedy
    assert broker.committed == []


def test_a_zombie_is_fenced_by_a_successor() -> None:
    broker = MemoryBroker()
    zombie, successor = transactions(broker), transactions(broker)
    zombie.open([PARTITION], 5.0)
    zombie.send(write(b"1"), {PARTITION: 1})
    assert successor.open([PARTITION], 5.0) == {PARTITION: 1}
    with pytest.raises(Fenced):
        zombie.send(write(b"zombie"), {PARTITION: 2})
    successor.send(write(b"2"), {PARTITION: 2})
    assert broker.values() == [b"1", b"2"]


@pytest.mark.parametrize("upto", [2, 3])
def test_a_zombie_that_lost_its_producer_sends_nothing_that_a_successor_has_sent(upto: int) -> None:
    """A new producer takes the id back; that what is queued was sent meanwhile, only the offsets say."""
    broker = MemoryBroker()
    zombie, successor = transactions(broker), transactions(broker)
    zombie.open([PARTITION], 5.0)
    zombie.send(write(b"1"), {PARTITION: 1})
    assert successor.open([PARTITION], 5.0) == {PARTITION: 1}
    successor.send(write(b"2", b"3", b"4"), {PARTITION: 4})
    broker.script["commit_transaction"].append(RECREATE)
    broker.alive = zombie._producer._handle  # type: ignore[union-attr,assignment]
    with pytest.raises(Fenced, match=r"events\[0\] at 4"):
        zombie.send(write(b"2", b"3") if upto == 3 else write(b"2"), {PARTITION: upto})
    assert broker.values() == [b"1", b"2", b"3", b"4"]


def test_a_worker_out_of_the_group_fences_nobody() -> None:
    broker = MemoryBroker()
    member: list[bytes | None] = [b"member"]
    sending = Transactions("id", broker.connect, broker.read_offsets, lambda: member[0], broker.tell)
    sending.open([PARTITION], 5.0)

    def leave(into: TransactionalProducer) -> None:
        member[0] = None
        broker.script["produce"].append(RECREATE)
        write(b"1")(into)

    with pytest.raises(Fenced, match="in no group"):
        sending.send(leave, {PARTITION: 1})
    assert broker.calls.count("init_transactions") == 1


@pytest.mark.parametrize("metadata", [None, b"old"])
def test_a_worker_out_of_the_group_is_fenced_after_some_tries(metadata: bytes | None) -> None:
    broker = MemoryBroker()
    sending = transactions(broker, metadata)
    sending.open([PARTITION], 5.0)
    if metadata is not None:
        broker.script["send_offsets_to_transaction"] = deque([REJOIN] * 50)
    with pytest.raises(Fenced):
        sending.send(write(b"1"), {PARTITION: 1})
    assert broker.calls.count("begin_transaction") == REJOIN_TRIES_MAX
    assert broker.committed == []


def test_what_fails_for_no_known_reason_is_tried_so_often_and_no_more() -> None:
    broker = MemoryBroker()
    sending = transactions(broker)
    sending.open([PARTITION], 5.0)
    broker.script["commit_transaction"] = deque([ABORT] * 50)
    with pytest.raises(SourceError, match="INVALID_TXN_STATE"):
        sending.send(write(b"1"), {PARTITION: 1})
    assert broker.calls.count("begin_transaction") == TRIES_MAX


def test_an_outage_is_no_reason_to_stop() -> None:
    broker = MemoryBroker()
    sending = transactions(broker)
    sending.open([PARTITION], 5.0)
    away = an_error(KafkaError._TRANSPORT, "abort")
    broker.script["send_offsets_to_transaction"] = deque([away, AGAIN] * 5 * TRIES_MAX)
    sending.send(write(b"1"), {PARTITION: 1})
    assert broker.values() == [b"1"]


def test_a_record_that_cannot_be_written_is_named() -> None:
    broker = MemoryBroker(refuses={b"bad": an_error(KafkaError._UNKNOWN_TOPIC)})
    sending = transactions(broker)
    sending.open([PARTITION], 5.0)
    with pytest.raises(TopicMissing, match="3 bytes to 'predictions'"):
        sending.send(write(b"good", b"bad", b"more"), {PARTITION: 1})
    assert sending.refused == ("predictions", KafkaError._UNKNOWN_TOPIC)
    assert broker.calls.count("begin_transaction") == 1, "it would fail each time"
    assert broker.committed == []


def test_a_full_queue_waits_for_room() -> None:
    broker = MemoryBroker(records_max=3)
    sending = transactions(broker)
    sending.open([PARTITION], 5.0)
    values = [b"%d" % n for n in range(20)]
    sending.send(write(*values), {PARTITION: 20})
    assert broker.values() == values


def test_opening_ends_in_time_and_can_go_on() -> None:
    broker = MemoryBroker()
    sending = transactions(broker)
    broker.script["init_transactions"] = deque([AGAIN] * 3)
    with pytest.raises(BrokerUnavailable):
        sending.open([PARTITION], 0.0)
    assert sending.open([PARTITION], 5.0) == {}
    assert broker.told == {"retried": broker.told["retried"]}, "the same producer"


@pytest.mark.parametrize("step", ["send_offsets_to_transaction", "commit_transaction"])
def test_whoever_waits_is_ended(step: str) -> None:
    class Endless(deque[Any]):
        def popleft(self) -> KafkaError:
            return AGAIN

    broker = MemoryBroker()
    sending = transactions(broker)
    sending.open([PARTITION], 5.0)
    broker.script[step] = Endless([AGAIN])
    ended: list[bool] = []

    def send() -> None:
        try:
            sending.send(write(b"1"), {PARTITION: 1})
        except Ended:
            ended.append(True)

    thread = threading.Thread(target=send)
    thread.start()
    eventually(lambda: broker.calls.count(step) > 3)
    sending.end()
    thread.join(10)
    assert ended == [True]
    sending.close()
    sending.close()
    assert broker.committed == []


def test_a_producer_that_finds_no_broker_again_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlearn.connectors.kafka_transactions.PATIENCE_SECONDS", 0.0)
    broker = MemoryBroker()
    sending = transactions(broker)
    sending.open([PARTITION], 5.0)
    broker.script["commit_transaction"] = deque([AGAIN] * 2 * TRIES_MAX)
    sending.send(write(b"1"), {PARTITION: 1})
    assert broker.values() == [b"1"]
    assert broker.told["recreated"] == 2 * TRIES_MAX


def test_a_lost_question_is_asked_again_and_costs_no_producer() -> None:
    broker = MemoryBroker(questions_lost=1)
    sending = transactions(broker)
    with pytest.raises(BrokerUnavailable):
        sending.open([PARTITION], 5.0)
    assert sending.open([PARTITION], 5.0) == {}
    assert broker.calls == ["init_transactions"]

    broker.script["commit_transaction"] = deque([beyond_repair(KafkaError._TIMED_OUT, "no coordinator")])
    broker.questions_lost = 3
    sending.send(write(b"1"), {PARTITION: 1})
    assert broker.values() == [b"1"]
    assert broker.told["recreated"] == 1
    assert broker.calls.count("init_transactions") == 2


def test_offsets_that_nobody_decides_end_it_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlearn.connectors.kafka_transactions.UNDECIDED_SECONDS", 0.05)
    monkeypatch.setattr("streamlearn.connectors.kafka_transactions.PAUSE_SECONDS", (0.02, 0.02))
    broker = MemoryBroker()
    sending = transactions(broker)
    sending.open([PARTITION], 5.0)
    broker.script["commit_transaction"] = deque([beyond_repair(KafkaError._TIMED_OUT, "no coordinator")])
    broker.undecided = True
    with pytest.raises(SourceError, match="was not ended") as caught:
        sending.send(write(b"1"), {PARTITION: 1})
    assert not isinstance(caught.value, BrokerUnavailable)  # nobody is to wait for more
    assert caught.value.remedy == "end it"
    assert broker.values() == []


class Stuck(deque[Any]):
    """A call that returns when the test says so."""

    def __init__(self) -> None:
        super().__init__([None])
        self.returning = threading.Event()

    def popleft(self) -> None:
        super().popleft()
        self.returning.wait(60)


def test_a_call_that_never_returns_is_left_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlearn.connectors.kafka_transactional_producer.PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr("streamlearn.connectors.kafka_transactional_producer.PUMP_SECONDS", 0.01)
    broker, stuck = MemoryBroker(), Stuck()
    sending = transactions(broker)
    sending.open([PARTITION], 5.0)
    broker.script["send_offsets_to_transaction"] = stuck
    sending.send(write(b"1"), {PARTITION: 1})
    stuck.returning.set()
    assert broker.values() == [b"1"]
    assert broker.told["recreated"] == 1


def test_closing_waits_for_no_call_that_does_not_return() -> None:
    broker, stuck = MemoryBroker(), Stuck()
    sending = transactions(broker)
    sending.open([PARTITION], 5.0)
    broker.script["send_offsets_to_transaction"] = stuck
    with pytest.raises(Ended):
        sending.send(lambda _into: threading.Timer(0.05, sending.end).start(), {PARTITION: 1})
    sending.close()
    stuck.returning.set()
    assert broker.calls[-1] == "send_offsets_to_transaction", "nothing else was asked of it"


def test_nothing_is_committed_after_the_end() -> None:
    broker = MemoryBroker()
    sending = transactions(broker)
    sending.open([PARTITION], 5.0)
    with pytest.raises(Ended):
        sending.send(lambda _into: sending.end(), {PARTITION: 1})
    assert "send_offsets_to_transaction" not in broker.calls
    assert broker.offsets == {}


@pytest.mark.parametrize("seed", range(200))
def test_any_schedule_of_trouble_is_seen_once_and_in_order(seed: int) -> None:
    """Also where commits succeed and nobody hears of it, and where workers come and go."""
    chance = random.Random(seed)
    broker = MemoryBroker()
    instead = [AGAIN, ABORT, RECREATE, UNKNOWN, REJOIN]
    lost_answer = [("after", RECREATE), ("after", UNKNOWN)]
    for step in STEPS:
        choices: list[Any] = [None] * 6 + [ABORT, RECREATE, UNKNOWN]
        if step != "produce":
            choices += instead + lost_answer
        broker.script[step].extend(chance.choice(choices) for _ in range(25))
    position = 0
    sending = transactions(broker)
    sending.open([PARTITION], 60.0)
    while position < 40:
        if chance.random() < 0.1:  # another worker takes over, and goes on where the offsets are
            sending = transactions(broker)
            position = sending.open([PARTITION], 60.0).get(PARTITION, 0)
        upto = position + chance.randint(1, 4)
        try:
            sending.send(write(*(b"%d" % n for n in range(position, upto))), {PARTITION: upto})
            position = upto
        except (Fenced, SourceError):  # tried too often: as a worker that begins again
            sending = transactions(broker)
            position = sending.open([PARTITION], 60.0).get(PARTITION, 0)
    assert broker.values() == [b"%d" % n for n in range(position)]
