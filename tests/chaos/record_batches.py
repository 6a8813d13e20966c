"""Who wrote what: the producer behind each record batch of a log, as the broker keeps it.

Clients hide it, so this asks the broker itself, on a socket of its own (Fetch version 4, the oldest that
Kafka 4 speaks, and the newest with topic names and no tagged fields). A worker that takes a shard up opens
the shard's producer anew: same id, larger epoch. So epochs tell one owner's records from the next one's.

Source: https://kafka.apache.org/protocol#The_Messages_Fetch, KIP-98 (the batch's head).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

FETCH, FETCH_VERSION = 1, 4
FETCH_BYTES = 8 * 1024 * 1024
WAIT_MS = 500
SECONDS = 30.0
READ_UNCOMMITTED = 0
CONTROL = 0x20
# base offset, length, leader epoch, magic, crc, attributes, last offset delta, two timestamps, producer id and
# epoch, base sequence, count of records
HEAD = struct.Struct(">qiibIhiqqqhii")
LENGTH_FROM = 12  # a batch's length counts from behind the length itself


class Batch(NamedTuple):
    """The head of one batch of records (control batches, which end transactions, are left out)."""

    first_offset: int
    last_offset: int
    producer_id: int
    producer_epoch: int


def batches(bootstrap_servers: str, topic: str, partition: int, end: int) -> Iterator[Batch]:
    """Yield the batches of a log before ``end``, aborted ones too; its broker is the one at this address."""
    host, port = bootstrap_servers.split(",")[0].rsplit(":", 1)
    with socket.create_connection((host, int(port)), SECONDS) as broker:
        position = 0
        while position < end:
            for batch, is_control in _heads(_fetch(broker, topic, partition, position)):
                position = batch.last_offset + 1
                if not is_control:
                    yield batch


def _fetch(broker: socket.socket, topic: str, partition: int, offset: int) -> bytes:
    """Return the bytes of the batches at and behind an offset; the last may be cut off."""
    name = topic.encode()
    request = struct.pack(">hhih", FETCH, FETCH_VERSION, 0, -1)  # correlation 0, no client id
    request += struct.pack(">iiiib", -1, WAIT_MS, 1, FETCH_BYTES, READ_UNCOMMITTED)
    request += struct.pack(f">ih{len(name)}s", 1, len(name), name)
    request += struct.pack(">iiqi", 1, partition, offset, FETCH_BYTES)
    broker.sendall(struct.pack(">i", len(request)) + request)
    [length] = struct.unpack(">i", _receive(broker, 4))
    answer = memoryview(_receive(broker, length))
    # Correlation, throttle time, one topic with its name, one partition: number, error, marks, no aborted ones.
    at = 4 + 4 + 4 + 2 + len(name) + 4
    _number, error, _high, _stable, aborted = struct.unpack_from(">ihqqi", answer, at)
    assert error == 0, f"Fetch of {topic}[{partition}] at {offset}: error {error}"
    at += struct.calcsize(">ihqqi") + 16 * max(0, aborted)
    [nbytes] = struct.unpack_from(">i", answer, at)
    return bytes(answer[at + 4 : at + 4 + nbytes])


def _receive(broker: socket.socket, nbytes: int) -> bytes:
    received = b""
    while len(received) < nbytes:
        more = broker.recv(nbytes - len(received))
        assert more, "the broker closed the connection"
        received += more
    return received


def _heads(records: bytes) -> Iterator[tuple[Batch, bool]]:
    """Yield the head of each whole batch, and whether it is a control batch."""
    at = 0
    while at + HEAD.size <= len(records):
        base, length, _, magic, _, attributes, delta, _, _, producer_id, epoch, _, _ = HEAD.unpack_from(
            records, at
        )
        assert magic == 2, f"a batch of format {magic}"
        if at + LENGTH_FROM + length > len(records):
            return
        yield Batch(base, base + delta, producer_id, epoch), bool(attributes & CONTROL)
        at += LENGTH_FROM + length
