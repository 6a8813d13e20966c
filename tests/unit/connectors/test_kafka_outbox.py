"""One shard's way out without a broker: what waits, what is told, what is committed together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError
from kafka_in_memory import MemoryBroker, an_error
from records_for_tests import records
from waiting import eventually

from streamlearn.config import KafkaSource
from streamlearn.connectors.kafka_journal import decode_cuts
from streamlearn.connectors.kafka_outbox import KafkaOutbox
from streamlearn.connectors.kafka_outbox_settings import OutboxSettings
from streamlearn.connectors.kafka_outboxes import make_outbox
from streamlearn.connectors.kafka_transactions import Transactions
from streamlearn.contracts import DeadLetter
from streamlearn.emission import Emission
from streamlearn.errors import BrokerUnavailable, ConfigError, DeadLetterError, Fenced, SourceError
from streamlearn.events import TopicPartition

P0, P1 = TopicPartition("events", 0), TopicPartition("events", 1)
NEVER_BY_ITSELF = 3600.0
AGAIN = an_error(KafkaError._TIMED_OUT, "retriable")
LETTER = DeadLetter("events", 0, 3, "invalid_json", "", b"k", b"bad")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlearn.connectors.kafka_transactions.PAUSE_SECONDS", (0.0, 0.0))
    monkeypatch.setattr("streamlearn.connectors.kafka_outbox.LOOK_SECONDS", 0.005)
    monkeypatch.setattr("streamlearn.connectors.kafka_outbox.ensure_journal", lambda *_: False)


class Letters:
    """A ``DeadLetterSink`` that notes what is kept for good."""

    def __init__(self) -> None:
        self.sent: list[DeadLetter] = []
        self.kept: list[DeadLetter] = []
        self.is_slow = False

    def send(self, letters: Sequence[DeadLetter]) -> None:
        self.sent += letters

    def flush(self, timeout_seconds: float) -> bool:
        if not self.is_slow:
            self.kept = list(self.sent)
        return not self.is_slow

    def close(self) -> None:
        raise AssertionError("all shards use it")


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


Make = Callable[..., KafkaOutbox]


@pytest.fixture
def make(broker: MemoryBroker) -> Iterator[Make]:
    made: list[KafkaOutbox] = []

    def outbox(**fields: Any) -> KafkaOutbox:
        others = {name: fields.pop(name) for name in ("dead_letters", "give_up") if name in fields}
        whole = {
            "source": KafkaSource(bootstrap_servers="127.0.0.1:9", topics=("events",), group_id="g"),
            "stream": "flights",
            "predictions_topic": "predictions",
            "dead_letters_topic": None if "dead_letters" in others else "dead",
            "journal_topic": "flights.order",
            "commit_seconds": NEVER_BY_ITSELF,
        }
        transactions = Transactions("id", broker.connect, broker.read_offsets, lambda: b"member", broker.tell)
        made.append(
            KafkaOutbox(OutboxSettings(**{**whole, **fields}), "flights", [P0, P1], transactions, **others)
        )
        return made[-1]

    yield outbox
    for each in made:
        each.close()


def emission(*values: bytes, upto: int, **fields: Any) -> Emission:
    whole: dict[str, Any] = {"predictions": [records("m", *values)], "letters": (), "cuts": ()}
    return Emission(**{**whole, "next_offsets": {P0: upto}, **fields})


def test_nothing_is_committed_before_it_is_time_and_all_of_it_at_a_flush(
    make: Make, broker: MemoryBroker
) -> None:
    outbox = make()
    outbox.open(1.0)
    outbox.send(emission(b"1", upto=1, letters=[LETTER], cuts=[{P0: 1, P1: 0}]))
    outbox.send(emission(b"2", upto=2, cuts=[{P0: 2, P1: 0}]))
    assert broker.committed == []
    assert outbox.flush(10.0)
    assert broker.values() == [b"1", b"2"]
    assert broker.values("dead") == [b"bad"]
    [journal] = broker.values("flights.order")
    assert decode_cuts(journal or b"") == [{P0: 1, P1: 0}, {P0: 2, P1: 0}]
    assert broker.offsets == {P0: 2}
    assert broker.told["committed"] == 1
    assert outbox.flush(0.0), "there is nothing more"


def test_a_transaction_comes_by_time_and_by_size(make: Make, broker: MemoryBroker) -> None:
    by_time = make(commit_seconds=0.01)
    by_time.open(1.0)
    by_time.send(emission(b"1", upto=1))
    eventually(lambda: broker.values() == [b"1"])
    by_size = make(transaction_records_max=4)
    by_size.open(1.0)
    for n in range(2, 7):
        by_size.send(emission(b"%d" % n, b"+", upto=n))
    eventually(lambda: broker.offsets[P0] == 5)
    assert broker.told["committed"] == 3
    by_size.send(emission(*[b"y"] * 9, upto=20))
    eventually(lambda: broker.offsets[P0] == 20)
    assert broker.told["committed"] == 5, "an emission is never split"


def test_offsets_alone_are_committed_and_what_moves_nothing_is_not(make: Make, broker: MemoryBroker) -> None:
    broker.offsets = {P0: 7}
    outbox = make()
    assert outbox.open(1.0).next_offsets == {P0: 7}
    outbox.send(emission(upto=7))
    outbox.send(emission(upto=5))
    assert outbox.flush(10.0)
    assert broker.told["committed"] == 0
    outbox.send(emission(upto=8))
    assert outbox.flush(10.0)
    assert (broker.committed, broker.offsets, broker.told["committed"]) == ([], {P0: 8}, 1)


def test_offsets_increase_also_where_a_shard_that_learns_again_is_behind(
    make: Make, broker: MemoryBroker
) -> None:
    broker.offsets = {P0: 7, P1: 2}
    outbox = make()
    outbox.open(1.0)
    outbox.send(emission(b"1", upto=5, next_offsets={P0: 5, P1: 3}))
    assert outbox.flush(10.0)
    assert broker.offsets == {P0: 7, P1: 3}


def test_records_of_what_was_sent_before_are_a_programmers_error(make: Make) -> None:
    outbox = make()
    outbox.open(1.0)
    outbox.send(emission(b"1", upto=1))
    with pytest.raises(AssertionError, match="offsets_increase"):
        outbox.send(emission(b"2", upto=1))


def test_send_waits_for_room_and_one_that_is_too_large_goes_alone(make: Make, broker: MemoryBroker) -> None:
    outbox = make(buffer_bytes_max=1000)
    outbox.open(1.0)
    for n in range(1, 30):
        outbox.send(emission(b"x" * 400, upto=n))
    outbox.send(emission(b"y" * 5000, upto=30))
    assert outbox.flush(10.0)
    assert len(broker.values()) == 30


def test_send_gives_up_when_told(make: Make, broker: MemoryBroker) -> None:
    asked: list[int] = []

    def give_up() -> bool:
        asked.append(1)
        return len(asked) == 3

    outbox = make(buffer_bytes_max=1000, give_up=give_up)
    outbox.open(1.0)
    broker.script["commit_transaction"] = deque([AGAIN] * 1_000_000)
    outbox.send(emission(b"x" * 800, upto=1))
    with pytest.raises(BrokerUnavailable, match="900 bytes of flights"):
        outbox.send(emission(b"x" * 800, upto=2))
    assert len(asked) == 3
    assert not outbox.flush(0.01)
    outbox.close()
    assert broker.committed == []


def test_fenced_is_told_to_whoever_sends_or_waits(make: Make, broker: MemoryBroker) -> None:
    zombie = make()
    zombie.open(1.0)
    zombie.send(emission(b"1", upto=1))
    make().open(1.0)
    for _ in range(2):
        with pytest.raises(Fenced):
            zombie.flush(10.0)
    with pytest.raises(Fenced):
        zombie.send(emission(b"2", upto=2))
    assert broker.committed == []


def test_a_flush_is_not_left_waiting_by_close(make: Make, broker: MemoryBroker) -> None:
    outbox = make()
    outbox.open(1.0)
    broker.script["commit_transaction"] = deque([AGAIN] * 1_000_000)
    outbox.send(emission(b"1", upto=1))
    told: list[Fenced] = []

    def flush() -> None:
        try:
            outbox.flush(60.0)
        except Fenced as fenced:
            told.append(fenced)

    waiting = threading.Thread(target=flush)
    waiting.start()
    eventually(lambda: "commit_transaction" in broker.calls)
    outbox.close()
    waiting.join(10)
    assert "let go before" in str(told[0])
    with pytest.raises(Fenced):
        outbox.flush(0.0)
    assert broker.calls[-1] == "abort_transaction"


def test_a_file_keeps_the_letters_before_the_transaction_ends(make: Make, broker: MemoryBroker) -> None:
    letters = Letters()
    outbox = make(dead_letters=letters)
    outbox.open(1.0)
    letters.is_slow = True
    outbox.send(emission(b"1", upto=1, letters=[LETTER]))
    assert not outbox.flush(0.05)
    assert broker.committed == []
    letters.is_slow = False
    assert outbox.flush(10.0)
    assert letters.kept == letters.sent == [LETTER]
    assert broker.values() == [b"1"]
    assert broker.values("dead") == []


def test_a_file_that_keeps_nothing_stops_all(make: Make, broker: MemoryBroker) -> None:
    class Full(Letters):
        def flush(self, timeout_seconds: float) -> bool:
            raise DeadLetterError("the disk is full", remedy="free some space")

    outbox = make(dead_letters=Full())
    outbox.open(1.0)
    outbox.send(emission(b"1", upto=1, letters=[LETTER]))
    with pytest.raises(DeadLetterError, match="full"):
        outbox.flush(10.0)
    assert broker.committed == []


@pytest.mark.parametrize(
    ("value", "kind", "remedy"),
    [(b"1", SourceError, "look the error up"), (b"bad", DeadLetterError, "max.message.bytes")],
)
def test_a_record_that_is_refused_stops_all_and_says_whose_it_is(
    make: Make, broker: MemoryBroker, value: bytes, kind: type[Exception], remedy: str
) -> None:
    broker.refuses = {value: an_error(KafkaError.MSG_SIZE_TOO_LARGE, "abort")}
    outbox = make()
    outbox.open(1.0)
    outbox.send(emission(b"1", upto=1, letters=[LETTER]))
    with pytest.raises(kind) as caught:
        outbox.flush(10.0)
    assert remedy in caught.value.remedy  # type: ignore[attr-defined]
    assert (broker.committed, broker.offsets) == ([], {})


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_on_the_outboxs_thread_is_not_waited_for(make: Make) -> None:
    outbox = make(predictions_topic=None)
    outbox.open(1.0)
    outbox.send(emission(b"1", upto=1))
    with pytest.raises(AssertionError, match="thread has failed"):
        eventually(lambda: outbox.flush(0.05))


def test_trouble_is_counted(make: Make, broker: MemoryBroker) -> None:
    outbox = make()
    outbox.open(1.0)
    broker.script["commit_transaction"] = deque(
        [an_error(KafkaError.INVALID_TXN_STATE, "abort"), an_error(KafkaError.UNKNOWN, "fatal")]
    )
    outbox.send(emission(b"1", upto=1))
    assert outbox.flush(10.0)
    assert broker.told == {"committed": 1, "aborted": 1, "recreated": 1}


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    source = KafkaSource(bootstrap_servers="127.0.0.1:9", topics=("events",), group_id="g")
    settings = OutboxSettings(source, "flights", "predictions", "dead", None)
    outbox = make_outbox(settings, "flights", [P0], lambda: None)
    for _ in range(2):
        with pytest.raises(BrokerUnavailable, match=r"g\.flights\.flights"):
            outbox.open(0.2)
    outbox.close()
    outbox.close()


def test_a_refused_property_is_a_config_error() -> None:
    source = KafkaSource(
        bootstrap_servers="127.0.0.1:9",
        topics=("events",),
        group_id="g",
        properties={"no.such.property": "1"},  # type: ignore[dict-item]
    )
    settings = OutboxSettings(source, "flights", "predictions", "dead", None)
    with pytest.raises(ConfigError, match=r"no\.such\.property"):
        make_outbox(settings, "flights", [P0], lambda: None).open(0.2)
