"""The way out of one shard on Kafka: predictions, dead letters, cuts and offsets in transactions.

Upholds the sending half of `learned_once`: an emission is seen by read_committed readers once and as a
whole, together with the group's offsets, which say what a successor need not send again. Each shard has a
transactional id of its own, so taking a shard over fences whoever sent for it before, at once, and ends
what that one left open. Upholds `offsets_increase` for the group: its offsets never go back.

    belt   -> send()  -> queue -> this thread -> one transaction every commit_seconds
    writer -> flush() -> commits now, and waits until it is known

Emissions stay in memory until their transaction is known to be committed (kafka_transactions.py).
Where rejected events go to a file, they are on the disk before the transaction that covers them ends: at
least once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamlearn.connectors.kafka_journal import PARTITION, encode_cuts, ensure_journal
from streamlearn.connectors.kafka_outbox_settings import OutboxSettings
from streamlearn.connectors.kafka_sinks import letter_headers, letter_refused, never
from streamlearn.connectors.kafka_transactional_producer import Ended, TransactionalProducer
from streamlearn.connectors.kafka_transactions import Transactions
from streamlearn.contracts import DeadLetterSink
from streamlearn.emission import Covered, Emission
from streamlearn.errors import BrokerUnavailable, Fenced, SourceError, StreamlearnError
from streamlearn.events import TopicPartition

CLOSE_SECONDS = 4.0  # longer than what the last abort may take
LOOK_SECONDS = 0.1  # between two questions whether to give up
FLUSH_SECONDS = 0.5
RECORD_OVERHEAD_BYTES = 100  # of Python's objects, beside a record's value


@dataclass(frozen=True, slots=True)
class _Queued:
    emission: Emission
    next_offsets: dict[TopicPartition, int]  # what the group is told once this is committed
    records: int
    nbytes: int
    since: float


class KafkaOutbox:
    """``emission.Outbox`` for one shard. ``open`` and ``send`` are the belt's; the rest is for any thread.

    Parameters
    ----------
    settings
        See there.
    shard
        Its name, for people.
    partitions
        Those of the shard: ``open`` returns what was committed of them.
    transactions
        Those under the shard's id, which is the key of its journal records, too; the outbox ends them.
    dead_letters
        Takes rejected events where no topic does. Not closed: all shards use it.
    give_up
        Asked while ``send`` waits for room; True makes it raise ``BrokerUnavailable``.
    """

    def __init__(
        self,
        settings: OutboxSettings,
        shard: str,
        partitions: Sequence[TopicPartition],
        transactions: Transactions,
        *,
        dead_letters: DeadLetterSink | None = None,
        give_up: Callable[[], bool] = never,
    ) -> None:
        assert (settings.dead_letters_topic is None) == (dead_letters is not None), "one way for letters"
        self._settings = settings
        self._shard = shard
        self._partitions = tuple(partitions)
        self._transactions = transactions
        self._dead_letters = dead_letters
        self._give_up = give_up
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        # All of these are guarded by `_changed`.
        self._queue: deque[_Queued] = deque()
        self._next_offsets: dict[TopicPartition, int] = {}  # behind all that was sent
        self._sent = self._committed = 0  # emissions
        self._nbytes = 0  # not committed
        self._wanted = 0  # so many emissions are to be committed without waiting for more
        self._closed = False
        self._failure: StreamlearnError | None = None

    def open(self, timeout_seconds: float) -> Covered:
        """Fence whoever sent for this shard before, and end what that one left open; blocks.

        Returns
        -------
        The group's committed offsets of the shard's partitions: what lies below was sent, for good.

        Raises
        ------
        BrokerUnavailable
            Not within the time: call again.
        Fenced
            Another took the shard over at the same moment.
        SourceError, ConfigError
            Refused: permissions, properties.
        """
        assert self._thread is None, "opened twice"
        assert not self._closed, "opened after close"
        deadline = time.monotonic() + timeout_seconds
        covered = self._transactions.open(self._partitions, timeout_seconds)
        if self._settings.journal_topic is not None:
            ensure_journal(
                self._settings.source, self._settings.journal_topic, max(0.1, deadline - time.monotonic())
            )
        self._next_offsets = dict(covered)
        self._thread = threading.Thread(target=self._run, name=f"outbox {self._shard}", daemon=True)
        self._thread.start()
        return Covered(covered)

    def send(self, emission: Emission) -> None:
        """Hand over; waits while there is no room for it. One that is too large for the room goes alone.

        Raises
        ------
        Fenced
            Another worker sends for this shard now. What was not committed is not sent: let the shard go.
        SourceError, DeadLetterError
            Something that was sent fails for good; so does all that follows.
        BrokerUnavailable
            There was no room when told to give up.
        """
        if emission.letters and self._dead_letters is not None:
            self._dead_letters.send(emission.letters)
        records = sum(map(len, emission.predictions)) + len(emission.letters)
        nbytes = RECORD_OVERHEAD_BYTES * records
        nbytes += sum(each.value_bytes for each in emission.predictions)
        nbytes += sum(len(letter.value or b"") for letter in emission.letters)
        with self._changed:
            self._check()
            next_offsets = dict(self._next_offsets)
            for partition, offset in emission.next_offsets.items():
                next_offsets[partition] = max(offset, next_offsets.get(partition, 0))
            if next_offsets == self._next_offsets:
                # By its offsets it is known later whether a transaction was committed.
                assert not records, "offsets_increase: records of events that were sent before"
                assert not emission.cuts, "offsets_increase: cuts of events that were sent before"
                return
            while self._nbytes and self._nbytes + nbytes > self._settings.buffer_bytes_max:
                self._want_all()
                self._changed.wait(LOOK_SECONDS)
                self._check()
                if self._give_up():
                    raise BrokerUnavailable(
                        f"{self._nbytes} bytes of {self._shard} wait for a broker, and there is no room for more",
                        remedy="start again once the broker runs: they are made again from the last checkpoint",
                    )
            self._queue.append(_Queued(emission, next_offsets, records, nbytes, time.monotonic()))
            self._next_offsets = next_offsets
            self._sent += 1
            self._nbytes += nbytes
            self._changed.notify_all()

    def flush(self, timeout_seconds: float) -> bool:
        """Commit what was sent so far, now; False: it is not known to be committed within the time.

        Raises
        ------
        Fenced
            It never will be: another worker has the shard, or this outbox was closed before.
        SourceError, DeadLetterError
            As ``send``.
        """
        with self._changed:
            target = self._sent
            self._want_all()
            self._changed.wait_for(
                lambda: self._committed >= target or self._failure is not None or self._closed,
                timeout_seconds,
            )
            if self._committed >= target:
                return True
            if self._failure is not None:
                raise self._failure
            if self._closed:
                raise Fenced(
                    f"{self._shard} was let go before all that it had sent was committed",
                    remedy="none needed: whoever takes it up sends the rest",
                )
            self._check()
            return False

    def close(self) -> None:
        """Abort what is open and let go; seconds at most, also without a broker. Idempotent.

        A transaction whose commit is under way may still be committed. ``open`` of the next outbox of the
        shard waits for its end, so nobody can be wrong about it.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._transactions.end()
        if self._thread is None:
            self._transactions.close()
        elif self._thread is not threading.current_thread():
            self._thread.join(CLOSE_SECONDS)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        assert self._thread is not None, "used before open"
        assert not self._closed, "sent after close"
        assert self._thread.is_alive(), "the outbox's thread has failed; its traceback was written"

    def _want_all(self) -> None:
        self._wanted = self._sent
        self._changed.notify_all()

    # ---------------------------------------------------------------------------- on the outbox's own thread

    def _run(self) -> None:
        try:
            while due := self._next():
                self._commit(due)
                with self._changed:
                    self._committed += len(due)
                    self._nbytes -= sum(each.nbytes for each in due)
                    self._changed.notify_all()
        except Ended:
            pass  # close() waits for nothing more
        except StreamlearnError as failure:
            self._fail(failure)
        finally:
            self._transactions.close()

    def _next(self) -> list[_Queued]:
        """Wait for the emissions of the next transaction; none: it is over."""
        with self._changed:
            while not self._closed:
                wait_seconds = self._due_in()
                if wait_seconds is not None and wait_seconds <= 0:
                    break
                self._changed.wait(wait_seconds)
            due: list[_Queued] = []
            records = 0
            while self._queue and not self._closed:
                records += self._queue[0].records
                if due and records > self._settings.transaction_records_max:
                    break
                due.append(self._queue.popleft())
            return due

    def _due_in(self) -> float | None:
        """In how many seconds the queue is to be committed; None: it is empty."""
        if not self._queue:
            return None
        if self._wanted > self._committed:
            return 0.0
        if sum(each.records for each in self._queue) >= self._settings.transaction_records_max:
            return 0.0
        return self._queue[0].since + self._settings.commit_seconds - time.monotonic()

    def _commit(self, due: Sequence[_Queued]) -> None:
        if self._dead_letters is not None and any(each.emission.letters for each in due):
            while not self._dead_letters.flush(FLUSH_SECONDS):  # a sync with the disk
                if self._closed:
                    raise Ended
        emissions = [each.emission for each in due]
        self._transactions.send(lambda into: self._write(emissions, into), due[-1].next_offsets)

    def _write(self, emissions: Sequence[Emission], into: TransactionalProducer) -> None:
        settings = self._settings
        for emission in emissions:
            for each in emission.predictions:
                assert settings.predictions_topic is not None, "predictions, and no topic for them"
                into.put_all(settings.predictions_topic, each.keys, each.values)
            if settings.dead_letters_topic is not None:
                for letter in emission.letters:
                    headers = letter_headers(letter, settings.stream)
                    into.put(settings.dead_letters_topic, letter.value, letter.key, headers)
        cuts = [cut for emission in emissions for cut in emission.cuts]
        if cuts:
            assert settings.journal_topic is not None, "cuts, and no journal for them"
            into.put(
                settings.journal_topic,
                encode_cuts(cuts),
                self._transactions.name.encode(),
                partition=PARTITION,
            )

    def _fail(self, failure: StreamlearnError) -> None:
        refused = self._transactions.refused
        if isinstance(failure, SourceError) and refused is not None:
            topic, code = refused
            if topic == self._settings.dead_letters_topic:
                failure = letter_refused(failure, code)
        with self._changed:
            self._failure = failure
            self._changed.notify_all()
