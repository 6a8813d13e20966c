"""Transactions under one id: each is sent as a whole, again and again, until it is known how it ended.

Upholds the sending half of `learned_once`: what one transaction holds is seen by read_committed readers once
or, where another has taken the id over, not at all. What to do when something goes wrong is a verdict
(kafka_verdicts.py).

Sources: KIP-98 (transactions), KIP-447 (the group's metadata).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from streamlearn.connectors.kafka_errors import error_of, source_error
from streamlearn.connectors.kafka_producers import DeliveryReport, KafkaProducer
from streamlearn.connectors.kafka_transactional_producer import (
    PATIENCE_SECONDS,
    Ended,
    TransactionalProducer,
    beyond_repair,
)
from streamlearn.connectors.kafka_verdicts import WAITS, Verdict, verdict_of
from streamlearn.errors import BrokerUnavailable, Fenced, OffsetsUndecided, SourceError
from streamlearn.events import TopicPartition

Offsets = Mapping[TopicPartition, int]
Write = Callable[[TransactionalProducer], None]

PAUSE_SECONDS = (0.1, 2.0)  # first and longest, between two tries
QUESTION_SECONDS = 3.0  # a new producer and the group's offsets, while nobody waits; then both again
# A new producer has the id only after all that was open under it was ended. What is undecided then stays so.
UNDECIDED_SECONDS = 60.0
ABORT_SECONDS = 2.0  # at the end, when nobody waits for more
TRIES_MAX = 10  # of one transaction, for reasons that are no outage
REJOIN_TRIES_MAX = 5  # within some 1.5 s: a member that is one has fresh metadata by then

_REMEDIES = {
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "give this user Describe and Write on the transactional "
    "ids that begin with source.kafka.group_id",
    KafkaError.INVALID_TRANSACTION_TIMEOUT: "lower predictions.transaction_timeout_seconds, or raise the "
    "brokers' transaction.max.timeout.ms",
}
# What the group would say of a worker that is no member, had it been asked.
_NO_MEMBER = KafkaError(KafkaError.UNKNOWN_MEMBER_ID, "this worker is in no group now", False, False, True)


class Transactions:
    """The transactions under one transactional id. Owned by one thread at a time.

    Parameters
    ----------
    name
        The id.
    connect
        Makes a producer under the id, given what takes its delivery reports.
    read_offsets
        Asks for the group's committed offsets of partitions, within seconds. Raises OffsetsUndecided,
        BrokerUnavailable, SourceError.
    group_metadata
        What proves membership now; None: this worker is no member.
    tell
        Told of each happening, from the thread that sends: a transaction was ``committed``, ``aborted`` (and is
        sent again) or ``fenced``, a call was ``retried``, a producer beyond repair ``recreated``.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[DeliveryReport], KafkaProducer],
        read_offsets: Callable[[Sequence[TopicPartition], float], dict[TopicPartition, int]],
        group_metadata: Callable[[], Any | None],
        tell: Callable[[str], None] = lambda happened: None,
    ) -> None:
        self.name = name
        self._connect = connect
        self._read_offsets = read_offsets
        self._group_metadata = group_metadata
        self._tell = tell
        self._over = threading.Event()
        self._producer: TransactionalProducer | None = None
        self._known: dict[TopicPartition, int] = {}  # what the group had committed when last heard of
        self.refused: tuple[str, int] | None = None  # topic of a record that was, and librdkafka's code
        self._has_connected = False

    def open(self, partitions: Sequence[TopicPartition], timeout_seconds: float) -> dict[TopicPartition, int]:
        """Fence whoever holds the id, end what it left open, and return the group's committed offsets.

        Raises
        ------
        BrokerUnavailable
            Not within the time. Call again: it goes on where it was.
        Fenced
            Another took the id meanwhile.
        SourceError, ConfigError
            The cluster or librdkafka refuses.
        """
        self._known = self._fence_and_read(partitions, timeout_seconds)
        return dict(self._known)

    def _fence_and_read(
        self, partitions: Sequence[TopicPartition], timeout_seconds: float
    ) -> dict[TopicPartition, int]:
        deadline = time.monotonic() + timeout_seconds
        for pause in _pauses():
            try:
                self._opened().init(_left(deadline))
                break
            except KafkaException as exception:
                error = error_of(exception)
            verdict = verdict_of(error)
            if verdict is Verdict.FENCED:
                raise self._fenced(error)
            if verdict is not Verdict.AGAIN or self._opened().age_seconds > PATIENCE_SECONDS:
                self._producer = None
            if verdict is Verdict.REFUSED:
                raise self._refusal(error)
            if time.monotonic() + pause >= deadline:
                raise BrokerUnavailable(
                    f"{self.name} could not be opened within {timeout_seconds:g} s: {error.str()}",
                    remedy="see that the brokers run, __transaction_state among their topics",
                )
            self._retry_after(pause)
        return self._read_offsets(partitions, _left(deadline))

    def send(self, write: Write, next_offsets: Offsets) -> None:
        """Send one transaction; return when it is committed, and only then.

        Parameters
        ----------
        write
            Puts the records into the producer that it is given; called once a try.
        next_offsets
            Committed with them. Some are ahead of all that was committed before, or it could not be known
            how a transaction ended.

        Raises
        ------
        Fenced
            Another took the id, or this worker is out of the group.
        SourceError
            It would fail however often it is sent.
        Ended
            Told to end before it was known how it ended.
        """
        tries = rejoins = 0
        for pause in _pauses():
            try:
                self._try(write, next_offsets)
                break
            except KafkaException as exception:
                error = error_of(exception)
            verdict = self._verdict(error)
            tries += error.code() not in WAITS
            rejoins += verdict is Verdict.REJOIN
            if verdict is Verdict.FENCED or rejoins >= REJOIN_TRIES_MAX:
                raise self._fenced(error)
            if verdict is Verdict.REFUSED or tries >= TRIES_MAX:
                raise self._refusal(error)
            if (verdict is Verdict.RECREATE or not self._abort()) and self._was_committed(next_offsets):
                break
            self._pause(pause)
        self._known.update(next_offsets)
        self._tell("committed")

    def end(self) -> None:
        """Have whoever waits in ``send`` or ``open`` raise ``Ended``. From any thread."""
        self._over.set()

    def close(self) -> None:
        """Abort what is open, within seconds, and let go of the producer. Idempotent.

        Where no broker answers, the next ``open`` under the id aborts it, or the broker does in time.
        """
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(ABORT_SECONDS)

    def _try(self, write: Write, next_offsets: Offsets) -> None:
        """Send once.

        1. Begin; nothing is asked of the broker.
        2. The records, into the producer's queue.
        3. The offsets, with proof of membership.
        4. Commit, which waits for the records first.
        """
        producer = self._opened()
        # Step 1.
        producer.begin()
        # Step 2.
        write(producer)
        # Step 3.
        self._insist(lambda: producer.add_offsets(next_offsets, self._membership()))
        # Step 4.
        self._insist(producer.commit)

    def _abort(self) -> bool:
        """Abort; False where only another producer can. Raises Fenced."""
        try:
            self._insist(self._opened().abort)
            self._tell("aborted")
            return True
        except KafkaException as exception:
            error = error_of(exception)
        if verdict_of(error) is Verdict.FENCED:
            raise self._fenced(error)
        return False

    def _was_committed(self, next_offsets: Offsets) -> bool:
        """Begin with a new producer, however long it takes; return how the last transaction ended.

        Raises Fenced; SourceError where the cluster has lost how a transaction ended.

        Nobody but the holder of the id commits these offsets. If they are neither those of the transaction nor
        those before, another has held it since, and what is queued here may have been sent.
        """
        self._producer = None
        if self._group_metadata() is None:
            raise self._fenced(_NO_MEMBER)  # whoever is none must not fence one that is
        undecided_since = None
        while True:
            try:
                found = self._fence_and_read(list(next_offsets), QUESTION_SECONDS)
                break
            except OffsetsUndecided as undecided:
                now = time.monotonic()
                undecided_since = undecided_since or now
                if now - undecided_since >= UNDECIDED_SECONDS:
                    raise SourceError(
                        f"{self.name}: {undecided.what}", remedy=undecided.remedy
                    ) from undecided
            except BrokerUnavailable:
                undecided_since = None
            self._retry_after(PAUSE_SECONDS[0])
        if found == dict(next_offsets):
            return True
        if found != {each: self._known[each] for each in next_offsets if each in self._known}:
            self._tell("fenced")
            raise Fenced(
                f"{self.name}: the group has committed {_text(found)}, and this worker has not",
                remedy="none needed: another worker has sent for this shard meanwhile",
            )
        return False

    def _insist(self, call: Callable[[], None]) -> None:
        """Call until there is an answer, or until only another producer may get one."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        for pause in _pauses():
            if self._over.is_set():
                raise Ended
            try:
                call()
                return
            except KafkaException as exception:
                error = error_of(exception)
            if verdict_of(error) is not Verdict.AGAIN:
                raise KafkaException(error)
            if time.monotonic() >= deadline:
                raise KafkaException(beyond_repair(error.code(), error.str()))
            self._retry_after(pause)

    def _membership(self) -> Any:
        metadata = self._group_metadata()
        if metadata is None:
            raise KafkaException(_NO_MEMBER)
        return metadata

    def _verdict(self, error: KafkaError) -> Verdict:
        """Judge an error; what a record met says more than what the transaction then came to."""
        verdict = verdict_of(error)
        if verdict is Verdict.ABORT:
            undelivered = self._opened().undelivered
            if undelivered is not None and verdict_of(undelivered.error) is Verdict.REFUSED:
                return Verdict.REFUSED
        return verdict

    def _fenced(self, error: KafkaError) -> Fenced:
        self._tell("fenced")
        return Fenced(
            f"{self.name}: {error.str()} ({error.name()})",
            remedy="none needed: another worker sends for this shard, or the broker ended a transaction that was "
            "open for longer than predictions.transaction_timeout_seconds",
        )

    def _refusal(self, error: KafkaError) -> SourceError:
        doing = f"sending a transaction of {self.name}"
        undelivered = None if self._producer is None else self._producer.undelivered
        if undelivered is not None:
            error = undelivered.error
            doing = f"writing a record of {undelivered.nbytes} bytes to {undelivered.topic!r}"
            self.refused = (undelivered.topic, error.code())
        refusal = source_error(error, doing)
        refusal.remedy = _REMEDIES.get(error.code(), refusal.remedy)
        return refusal

    def _opened(self) -> TransactionalProducer:
        if self._producer is None:
            self._producer = TransactionalProducer(self._connect, self._over)
            if self._has_connected:
                self._tell("recreated")
            self._has_connected = True
        return self._producer

    def _retry_after(self, seconds: float) -> None:
        self._tell("retried")
        self._pause(seconds)

    def _pause(self, seconds: float) -> None:
        if self._over.wait(seconds):
            raise Ended


def _pauses() -> Iterator[float]:
    """Yield how long to wait after each failure: longer each time, without end."""
    seconds, longest = PAUSE_SECONDS
    while True:
        yield seconds
        seconds = min(2 * seconds, longest)


def _text(offsets: Offsets) -> str:
    return ", ".join(f"{each} at {offset}" for each, offset in sorted(offsets.items())) or "nothing"


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
