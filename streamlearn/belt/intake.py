"""Reads ahead of the belt: polls the reader and decodes, on a thread of its own.

The thread owns the reader (librdkafka allows one owner a handle): what the belt wants of it goes through
a queue of commands and is done between two polls. What is read waits in a queue bounded by bytes; when it
is full the thread stops polling, which is the backpressure.

A command to read something else makes a new generation. Each portion carries the generation under which
it was read, so that what was still on its way when a partition moved is told apart from what came after.
Without a thread (``threaded=False``) each ``take`` polls and decodes itself, as a simulator needs.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import pyarrow as pa

from streamlearn.contracts import Polled, Reader
from streamlearn.events import TopicPartition

T = TypeVar("T")

POLL_SECONDS = 0.1  # a poll blocks until something comes or this long; commands wait for it
# What comes in dribs is gathered, since a portion costs a millisecond of Python whatever it holds. What ends a
# silence is not held back.
GATHER_SECONDS = 0.005  # from one small portion to the next
GATHER_EVENTS = 1024  # a portion of fewer is small
# A poll asks for no more messages than make a portion of this size, going by those before: memory that large is
# taken from the system anew each time, and the belt works on what is still in the cache.
PORTION_BYTES = 16 * 1024 * 1024
FIRST_MESSAGES = 1024  # of the first poll, before it is known what a message takes


class Decoder(Protocol):
    def decode(self, raw: pa.RecordBatch) -> pa.RecordBatch: ...


@runtime_checkable
class DecodesApart(Protocol):
    """A decoder that leaves rows of different kinds in batches of their own."""

    def decode_apart(self, raw: pa.RecordBatch) -> Sequence[pa.RecordBatch]: ...


@dataclass(frozen=True, slots=True)
class Portion:
    """Decoded events as the reader brought them, with what the reader said about its partitions."""

    generation: int
    events: Sequence[pa.RecordBatch]  # the order of a partition's is theirs
    positions: Mapping[TopicPartition, int]
    caught_up: frozenset[TopicPartition]
    read_seconds: float
    decode_seconds: float
    nbytes: int  # of the events

    @property
    def rows(self) -> int:
        return sum(batch.num_rows for batch in self.events)


class Intake:
    """Reader and decoder, running ahead within bounds.

    Parameters
    ----------
    reader
        Owned by this object from now on.
    decoder
        Turns raw batches into event batches.
    poll_events
        Most messages of one poll; fewer where they are large.
    buffer_bytes_max
        Bytes of decoded events that may wait.
    threaded
        Whether a thread reads ahead.
    """

    def __init__(
        self,
        reader: Reader,
        decoder: Decoder,
        poll_events: int,
        buffer_bytes_max: int,
        *,
        threaded: bool = True,
    ) -> None:
        self._reader = reader
        self._decoder = decoder
        self._poll_events = poll_events
        self._messages_fit = min(FIRST_MESSAGES, poll_events)
        self._buffer_bytes_max = buffer_bytes_max
        self._changed = threading.Condition()
        self._portions: deque[Portion] = deque()
        self._waiting_bytes = 0
        self._commands: deque[Callable[[], None]] = deque()
        self._generation = 0
        self._positions: dict[TopicPartition, int] = {}  # next offset that the reader brings
        self._reading = False
        self._failure: Exception | None = None
        self._closed = False
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
            self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """Bytes of decoded events that wait to be taken."""
        return self._waiting_bytes

    def ask(self, question: Callable[[Reader], T]) -> T:
        """Run something on the reader, between two polls; return or raise what it does."""
        return self.ask_later(question).result()

    def ask_later(self, question: Callable[[Reader], T]) -> Future[T]:
        """Like ``ask``, without waiting for the answer."""
        answer: Future[T] = Future()

        def command() -> None:
            try:
                answer.set_result(question(self._reader))
            except Exception as error:  # noqa: BLE001  it is raised where the question was asked
                answer.set_exception(error)

        if self._thread is None:
            command()
        else:
            with self._changed:
                self._commands.append(command)
                self._changed.notify_all()
        return answer

    def assign(self, begin: Mapping[TopicPartition, int], keep: Collection[TopicPartition] = ()) -> int:
        """Read exactly these partitions from now on.

        Parameters
        ----------
        begin
            Partitions to read from these offsets, whether they were read before or not.
        keep
            Partitions that are being read and go on where they are.

        Returns
        -------
        The generation from which on portions bring what ``begin`` names.
        """

        def question(reader: Reader) -> int:
            kept = {partition: self._positions[partition] for partition in keep}
            self._positions = {**kept, **begin}
            reader.assign(self._positions)
            with self._changed:
                self._failure = None
                self._generation += 1
                self._reading = bool(self._positions)
                return self._generation

        return self.ask(question)

    def take(self, timeout_seconds: float) -> list[Portion]:
        """Return what has been read, oldest first; an empty list after the timeout.

        Raises what the reader raised (OffsetGap, TopicMissing, SourceError), after what it read before.
        """
        if self._thread is None:
            return [self._read(timeout_seconds)] if self._reading else []
        with self._changed:
            if not self._portions and self._failure is None:
                self._changed.wait(timeout_seconds)
            if not self._portions and self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            portions = list(self._portions)
            self._portions.clear()
            self._waiting_bytes = 0
            self._changed.notify_all()
        return list(gathered(portions))

    def close(self) -> None:
        """Stop reading and close the reader."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is None:
            self._reader.close()
        else:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._commands or self._may_read)
                commands = list(self._commands)
                self._commands.clear()
            for command in commands:
                command()
            if self._closed:
                break
            if self._may_read and self._read_ahead() < GATHER_EVENTS:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed or self._commands, GATHER_SECONDS)
        self._reader.close()

    @property
    def _may_read(self) -> bool:
        return self._reading and self._failure is None and self._waiting_bytes < self._buffer_bytes_max

    def _read_ahead(self) -> int:
        """Read one portion; return how many events it has, or what calls for no gathering."""
        try:
            portion = self._read(POLL_SECONDS)
        except Exception as error:  # noqa: BLE001  it is raised by take(), on the belt's thread
            with self._changed:
                self._failure = error
                self._changed.notify_all()
            return GATHER_EVENTS
        events = portion.rows
        if not events and not portion.positions and not portion.caught_up:
            return GATHER_EVENTS  # it has waited already
        with self._changed:
            self._portions.append(portion)
            self._waiting_bytes += portion.nbytes
            self._changed.notify_all()
        return events

    def _read(self, timeout_seconds: float) -> Portion:
        generation = self._generation
        began = time.perf_counter()
        polled: Polled = self._reader.poll(self._messages_fit, timeout_seconds)
        read = time.perf_counter()
        self._positions.update(polled.positions)
        decoder, events = self._decoder, polled.batch
        batches = (
            decoder.decode_apart(events) if isinstance(decoder, DecodesApart) else (decoder.decode(events),)
        )
        decoded = time.perf_counter()
        nbytes = sum(int(batch.nbytes) for batch in batches)
        self._fit_poll(events.num_rows, nbytes)
        return Portion(
            generation,
            batches,
            polled.positions,
            polled.caught_up,
            read - began,
            decoded - read,
            nbytes,
        )

    def _fit_poll(self, messages: int, nbytes: int) -> None:
        """Size the next poll by what messages became of this one. Changes no result (`replay_equals_run`)."""
        if messages:
            fitting = min(PORTION_BYTES * messages // max(nbytes, 1), 2 * self._messages_fit)
            self._messages_fit = max(1, min(self._poll_events, fitting))


def gathered(portions: Iterable[Portion]) -> Iterator[Portion]:
    """Put small portions that follow each other into one, as if one poll had brought them."""
    small: list[Portion] = []
    events = 0
    for portion in portions:
        events += portion.rows
        if small and (portion.generation != small[0].generation or events > GATHER_EVENTS):
            yield _joined(small)
            small, events = [], portion.rows
        small.append(portion)
    if small:
        yield _joined(small)


def _joined(portions: list[Portion]) -> Portion:
    if len(portions) == 1:
        return portions[0]
    positions: dict[TopicPartition, int] = {}
    caught_up: frozenset[TopicPartition] = frozenset()
    for portion in portions:
        positions.update(portion.positions)
        # One that has brought something since is no longer known to be at its end.
        caught_up = (caught_up - portion.positions.keys()) | portion.caught_up
    filled = [batch for portion in portions for batch in portion.events if batch.num_rows]
    return Portion(
        portions[0].generation,
        (pa.concat_batches(filled),) if filled else portions[0].events,
        positions,
        caught_up,
        sum(portion.read_seconds for portion in portions),
        sum(portion.decode_seconds for portion in portions),
        sum(portion.nbytes for portion in portions),
    )
