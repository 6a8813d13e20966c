"""Events that keep coming while workers come and go, and what was sent."""

from __future__ import annotations

import json
import random
import threading
import time

from confluent_kafka import KafkaError, Message, Producer

BAD_EVERY = 50
TURN_SECONDS = 0.02


class Feed:
    """Sends labelled events to the partitions of a topic at an even pace, from a thread of its own.

    ``logs`` holds the value of each event by partition, in offset order: nobody else writes there.
    Use as a context manager; ``stop`` ends it and waits until Kafka has all of them.
    """

    def __init__(self, servers: str, topic: str, partitions: int, per_second: float, seed: int) -> None:
        self.logs: dict[int, list[bytes]] = {number: [] for number in range(partitions)}
        self._topic = topic
        self._per_second = per_second
        self._draw = random.Random(seed)
        self._producer = Producer(
            {"bootstrap.servers": servers, "enable.idempotence": True, "linger.ms": 0, "log_level": 2}
        )
        self._refused: list[str] = []
        self._number = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def stop(self) -> None:
        """Send no more; all that was sent is in the log when this returns."""
        self._over.set()
        self._thread.join()
        assert self._producer.flush(60) == 0, "Kafka did not take all events"
        assert not self._refused, self._refused[:3]

    def counts(self) -> dict[int, int]:
        """How many events each partition was sent so far."""
        return {number: len(log) for number, log in self.logs.items()}

    def _run(self) -> None:
        began = time.monotonic()
        while not self._over.wait(TURN_SECONDS):
            due = int((time.monotonic() - began) * self._per_second)
            while self._number < due:
                self._send()
            self._producer.poll(0)

    def _send(self) -> None:
        draw, number = self._draw, self._number
        a, b = draw.gauss(0, 1), draw.gauss(3, 2)
        event = {
            "id": number,
            "t": int(time.time() * 1000) + draw.randrange(-40, 40),
            "a": a,
            "b": b if draw.random() > 0.1 else None,
            "c": draw.choice(["x", "y", "z"]),
            "y": a + b > 3,
        }
        value = json.dumps(event).encode()
        if number % BAD_EVERY == 0:
            value = b"{" + value
        partition = draw.choice(list(self.logs))
        self._number += 1
        self._producer.produce(self._topic, value, partition=partition, on_delivery=self._delivered)
        self.logs[partition].append(value)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._refused.append(str(error))


def is_bad(value: bytes) -> bool:
    """Whether an event is one that the daemon rejects."""
    return value.startswith(b"{{")
