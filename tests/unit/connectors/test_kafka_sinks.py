"""Sinks without a broker: what waits, what gives up, what is refused."""

from __future__ import annotations

import pytest
from records_for_tests import column

from streamlearn.connectors.kafka_sinks import KafkaDeadLetters, KafkaOutlet, KafkaPredictions
from streamlearn.contracts import DeadLetter
from streamlearn.errors import BrokerUnavailable, ConfigError, DeadLetterError

NOBODY = "127.0.0.1:9"
SMALL_QUEUE = {"queue.buffering.max.messages": "3"}


@pytest.fixture(autouse=True)
def _quick_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlearn.connectors.kafka_sinks.CLOSE_SECONDS", 0.0)


def test_flush_says_that_it_is_not_done_while_nobody_answers() -> None:
    sink = KafkaPredictions(KafkaOutlet(NOBODY, {}, "predictions"))
    assert sink.flush(0.0)
    sink.send(column([b"k", None]), column([b"1", b"2"]))
    assert not sink.flush(0.01)
    sink.close()
    sink.close()


def test_a_full_queue_makes_send_wait_until_it_may_give_up() -> None:
    asked: list[int] = []

    def give_up() -> bool:
        asked.append(1)
        return len(asked) == 3

    sink = KafkaPredictions(KafkaOutlet(NOBODY, SMALL_QUEUE, "predictions", give_up=give_up))
    with pytest.raises(BrokerUnavailable, match="3 records for 'predictions'"):
        sink.send(column([None] * 4), column([b"v"] * 4))
    assert len(asked) == 3
    sink.close()


def test_dead_letters_fail_with_their_own_error() -> None:
    outlet = KafkaOutlet(NOBODY, SMALL_QUEUE, "dead", give_up=lambda: True)
    sink = KafkaDeadLetters(outlet, "flights")
    letter = DeadLetter("t", 0, 1, "invalid_json", "bad \udcff text", b"k", None)
    with pytest.raises(DeadLetterError, match="cannot be kept"):
        sink.send([letter] * 4)
    sink.close()


def test_a_refused_property_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"no\.such\.property"):
        KafkaOutlet(NOBODY, {"no.such.property": "1"}, "predictions")
