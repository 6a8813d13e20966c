"""The C door without a broker, and what the reader does where it cannot be had."""

from __future__ import annotations

import sys
import time
from typing import Literal

import numpy as np
import pytest
from numba.core.errors import NumbaError

from streamlearn.config import KafkaSource
from streamlearn.connectors import librdkafka_door, librdkafka_layout
from streamlearn.connectors.kafka_reader import KafkaReader
from streamlearn.connectors.librdkafka import NoCBatches, librdkafka
from streamlearn.errors import ConfigError, SourceError
from streamlearn.events import TopicPartition

# Port 9 (discard) of the loopback: refused at once on any machine that tests run on.
GIVEN = {"bootstrap_servers": "127.0.0.1:9", "topics": ("t",), "group_id": "g"}
SOURCE = KafkaSource.model_validate(GIVEN)


def test_the_reader_goes_by_c_batches_where_it_can() -> None:
    reader = KafkaReader(SOURCE)
    assert reader.way == "c_batches"
    assert "2." in reader.way_why
    reader.close()


def test_without_a_broker_it_waits_and_lets_go_at_once() -> None:
    reader = KafkaReader(SOURCE, way="c_batches")
    reader.assign({TopicPartition("t", 0): 0})
    began = time.monotonic()
    assert reader.poll(10, 0.15).batch.num_rows == 0
    assert time.monotonic() - began >= 0.15
    began = time.monotonic()
    reader.close()
    reader.close()
    assert time.monotonic() - began < 5.0
    with pytest.raises(AssertionError, match="closed"):
        reader.poll(10, 0.0)
    with pytest.raises(AssertionError, match="closed"):
        reader.pause([TopicPartition("t", 0)])


def test_a_reader_that_is_forgotten_lets_go() -> None:
    reader = KafkaReader(SOURCE, way="c_batches")
    door = reader._door
    assert isinstance(door, librdkafka_door.BatchDoor)
    let_go = door._let_go
    del reader, door
    assert not let_go.alive


@pytest.mark.parametrize("way", ["auto", "c_batches", "consume"])
def test_a_property_that_is_refused_is_a_config_error(
    way: Literal["auto", "c_batches", "consume"],
) -> None:
    wrong = KafkaSource.model_validate({**GIVEN, "properties": {"no.such.property": "secret"}})
    with pytest.raises(ConfigError, match=r"no\.such\.property") as caught:
        KafkaReader(wrong, way=way)
    assert "secret" not in str(caught.value)


def _another_layout(library: object) -> None:
    raise NoCBatches("a message has another layout")


def _no_compiler(library: object) -> None:
    raise NumbaError("no compiler")


@pytest.mark.parametrize(
    ("check", "why"), [(_another_layout, "another layout"), (_no_compiler, "no compiler")]
)
def test_where_the_check_fails_it_goes_on_by_consume(
    monkeypatch: pytest.MonkeyPatch, check: object, why: str
) -> None:
    monkeypatch.setattr(librdkafka_door, "check_layout", check)
    reader = KafkaReader(SOURCE)
    assert reader.way == "consume"
    assert why in reader.way_why
    reader.close()
    with pytest.raises(SourceError, match=why):
        KafkaReader(SOURCE, way="c_batches")


def test_without_numba_it_goes_on_by_consume(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "streamlearn.connectors.librdkafka_door", None)
    reader = KafkaReader(SOURCE)
    assert reader.way == "consume"
    assert "kernels" in reader.way_why
    reader.close()


def test_a_message_of_another_layout_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = librdkafka_layout.kernels.fields_of

    def shifted(message_B: np.ndarray, function: int) -> object:
        fields = right(message_B, function)
        return fields._replace(partition_B=fields.partition_B + 1)

    monkeypatch.setattr(librdkafka_layout.kernels, "fields_of", shifted)
    with pytest.raises(NoCBatches, match="another layout"):
        librdkafka_layout.check_layout.__wrapped__(librdkafka())


def test_bytes_of_another_layout_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = librdkafka_layout.kernels.bytes_of

    def swapped(*arguments: object) -> object:
        gathered = right(*arguments)  # type: ignore[arg-type]
        return gathered._replace(keys=gathered.keys[::-1])

    monkeypatch.setattr(librdkafka_layout.kernels, "bytes_of", swapped)
    with pytest.raises(NoCBatches, match="another layout"):
        librdkafka_layout.check_layout.__wrapped__(librdkafka())
