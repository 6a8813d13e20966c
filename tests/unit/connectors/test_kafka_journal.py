"""Cuts as bytes and back: exactly as they were, in a few bytes, and nothing else is taken for them."""

from __future__ import annotations

import random

import msgspec
import pytest

from streamlearn.connectors.kafka_journal import Cut, decode_cuts, encode_cuts
from streamlearn.events import TopicPartition


def partitions(count: int) -> list[TopicPartition]:
    return [TopicPartition("events", number) for number in range(count)]


@pytest.mark.parametrize("seed", range(60))
def test_cuts_come_back_as_they_were(seed: int) -> None:
    """Also where partitions come, go and go back, and offsets are as large as Kafka's."""
    chance = random.Random(seed)
    known = [TopicPartition(chance.choice(["a", "b-é"]), n) for n in range(chance.randint(1, 9))]
    cuts: list[Cut] = [
        {each: chance.randint(0, 2 ** chance.randint(1, 63) - 1) for each in known if chance.random() < 0.8}
        for _ in range(chance.randint(0, 12))
    ]
    assert decode_cuts(encode_cuts(cuts)) == cuts


def test_a_cut_more_costs_a_byte_or_two_a_partition() -> None:
    cuts = [dict.fromkeys(partitions(3), 10**12 + 100 * n) for n in range(50)]
    one, all_of_them = len(encode_cuts(cuts[:1])), len(encode_cuts(cuts))
    assert one < 70
    assert all_of_them - one <= 49 * (3 + 1) + 2  # and two for the count


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (b"", "empty"),
        (b"\x02\x92\x90\x90", "version 2"),
        (b"\x01", "truncated"),
        (b"\x01\x92\x90", "truncated"),
        (b"\x01" + msgspec.msgpack.encode([[["t", 0]], [[1, 2]]]), "2 steps for 1 partitions"),
        (b"\x01" + msgspec.msgpack.encode([[["t", "0"]], [[1]]]), "int"),
        (b"\x01" + msgspec.msgpack.encode({"cuts": []}), "array"),
    ],
)
def test_anything_else_is_refused(value: bytes, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        decode_cuts(value)


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_record_is_refused_or_is_one(seed: int) -> None:
    chance = random.Random(seed)
    value = bytearray(encode_cuts([dict.fromkeys(partitions(2), 1000 + n) for n in range(5)]))
    for _ in range(chance.randint(1, 3)):
        value[chance.randrange(len(value))] = chance.randrange(256)
    try:
        cuts = decode_cuts(bytes(value[: chance.randint(0, len(value))]))
    except ValueError:
        return
    assert decode_cuts(encode_cuts(cuts)) == cuts
