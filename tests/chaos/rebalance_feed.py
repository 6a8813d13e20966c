"""Events that keep coming while workers come and go, and what was sent."""

from __future__ import annotations

import heapq
import json
import random
import threading
import time
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from streamlearn.events import TopicPartition

BAD_EVERY = 50
TURN_SECONDS = 0.02
NEVER = 0.1  # share of events without a label
LABEL_SECONDS = 1.5  # the longest that a label takes; some come when the wait is over
AGAIN = 0.05  # share of labels that come once more, half of them another one


class Feed:
    """Sends labelled events to the partitions of a topic at an even pace, from a thread of its own.

    ``logs`` holds the value of each event by partition, in offset order: nobody else writes there. With
    ``labels``, a topic, labels go there, each to the partition of its event, some time later, and are counted in
    ``labels_sent``. Use as a context manager; ``stop`` ends it and waits until Kafka has all of them.
    """

    def __init__(
        self,
        servers: str,
        topic: str,
        partitions: int,
        per_second: float,
        seed: int,
        *,
        labels: str | None = None,
    ) -> None:
        self.logs: dict[int, list[bytes]] = {number: [] for number in range(partitions)}
        self.labels_sent = dict.fromkeys(range(partitions), 0)
        self._topic = topic
        self._labels = labels
        self._coming: list[tuple[float, int, int, bool]] = []  # labels: when, partition, the event's id, what
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
        self._send_labels(float("inf"))
        assert self._producer.flush(60) == 0, "Kafka did not take all events"
        assert not self._refused, self._refused[:3]

    def counts(self) -> dict[TopicPartition, int]:
        """How much each partition, of labels too, was sent so far."""
        sent = {TopicPartition(self._topic, number): len(log) for number, log in self.logs.items()}
        if self._labels is not None:
            sent |= {
                TopicPartition(self._labels, number): count for number, count in self.labels_sent.items()
            }
        return sent

    def _run(self) -> None:
        began = time.monotonic()
        while not self._over.wait(TURN_SECONDS):
            due = int((time.monotonic() - began) * self._per_second)
            while self._number < due:
                self._send()
            self._send_labels(time.time())
            self._producer.poll(0)

    def _send(self) -> None:
        draw, number = self._draw, self._number
        a, b = draw.gauss(0, 1), draw.gauss(3, 2)
        event: dict[str, Any] = {
            "id": number,
            "t": int(time.time() * 1000) + draw.randrange(-40, 40),
            "a": a,
            "b": b if draw.random() > 0.1 else None,
            "c": draw.choice(["x", "y", "z"]),
        }
        y = a + b > 3
        partition = draw.choice(list(self.logs))
        if self._labels is None:
            event["y"] = y
        elif number % BAD_EVERY and draw.random() > NEVER:
            self._expect(partition, number, y)
        value = json.dumps(event).encode()
        if number % BAD_EVERY == 0:
            value = b"{" + value
        self._number += 1
        self._producer.produce(self._topic, value, partition=partition, on_delivery=self._delivered)
        self.logs[partition].append(value)

    def _expect(self, partition: int, number: int, y: bool) -> None:
        due = time.time() + LABEL_SECONDS * self._draw.random()
        heapq.heappush(self._coming, (due, partition, number, y))
        if self._draw.random() < AGAIN:
            heapq.heappush(self._coming, (due + 0.1, partition, number, self._draw.random() < 0.5))

    def _send_labels(self, until: float) -> None:
        while self._coming and self._coming[0][0] <= until:
            _, partition, number, y = heapq.heappop(self._coming)
            value = json.dumps({"of": number, "t": int(time.time() * 1000), "y": y}).encode()
            assert self._labels is not None
            self._producer.produce(self._labels, value, partition=partition, on_delivery=self._delivered)
            self.labels_sent[partition] += 1

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._refused.append(str(error))


def is_bad(value: bytes) -> bool:
    """Whether an event is one that the daemon rejects."""
    return value.startswith(b"{{")
