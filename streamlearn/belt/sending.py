"""What a run of events sends out, put together, and the way out that all shards of a worker share.

Upholds the emitting half of `learned_once` at a restart: a row that the last committed transaction covered
is not sent again, while its event is learned again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from streamlearn.belt.emit import dead_letters, prediction_records
from streamlearn.belt.shard import Outcome
from streamlearn.contracts import DeadLetterSink, PredictionSink
from streamlearn.emission import Covered, Emission
from streamlearn.events import Bool_B, TopicPartition

Offsets = Mapping[TopicPartition, int]


def emission_of(
    outcome: Outcome,
    stream: str,
    topics: tuple[str, ...],
    *,
    predicts: bool,
    next_offsets: Offsets,
    cuts: Sequence[Offsets],
    covered: Offsets,
) -> Emission | None:
    """Return what an outcome sends out; ``None`` where the world has seen all of it.

    Parameters
    ----------
    predicts
        Whether predictions leave the daemon at all.
    next_offsets
        The shard's, after the outcome.
    cuts
        Boundaries for the order journal, see ``Emission``.
    covered
        For each partition, the offset below which everything was sent before; empty where nothing was.
    """
    if covered:
        outcome = _not_covered(outcome, topics, covered)
        if not outcome.events.num_rows:
            return None
    predictions = list(prediction_records(outcome, stream, topics)) if predicts else []
    letters = dead_letters(outcome, topics) if outcome.events_rejected else []
    return Emission(predictions, letters, dict(next_offsets), tuple(cuts))


def _not_covered(outcome: Outcome, topics: tuple[str, ...], covered: Offsets) -> Outcome:
    event_B = _behind(outcome.events, topics, covered)
    if event_B.all():
        return outcome
    accepted_B = _behind(outcome.accepted, topics, covered)
    return replace(
        outcome,
        events=outcome.events.filter(pa.array(event_B)),
        accepted=outcome.accepted.filter(pa.array(accepted_B)),
        predictions={model: said.rows(accepted_B) for model, said in outcome.predictions.items()},
    )


def _behind(batch: pa.RecordBatch, topics: tuple[str, ...], covered: Offsets) -> Bool_B:
    """Return which rows lie at or behind what was covered of their partitions."""
    topic_B, partition_B = batch.column("topic").to_numpy(), batch.column("partition").to_numpy()
    offset_B = batch.column("offset").to_numpy()
    behind_B = np.ones(batch.num_rows, np.bool_)
    for source, next_offset in covered.items():
        if source.topic in topics:
            own_B = (topic_B == topics.index(source.topic)) & (partition_B == source.partition)
            behind_B &= ~own_B | (offset_B >= next_offset)
    return behind_B


class SharedOutbox:
    """``emission.Outbox`` over sinks that all shards of a worker share: at least once, nothing is fenced."""

    def __init__(self, predictions: PredictionSink | None, letters: DeadLetterSink) -> None:
        self._predictions = predictions
        self._letters = letters

    def open(self, timeout_seconds: float) -> Covered:
        """Return that nothing is known of what was sent before."""
        return Covered({})

    def send(self, emission: Emission) -> None:
        """Hand over to the sinks, which wait while they are full. Raises what they raise."""
        if emission.letters:
            self._letters.send(emission.letters)
        if self._predictions is not None:
            for records in emission.predictions:
                self._predictions.send(records.keys, records.values)

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all that was sent is durable; False: not within the time."""
        flushed = self._letters.flush(timeout_seconds)
        return flushed and (self._predictions is None or self._predictions.flush(timeout_seconds))

    def close(self) -> None:
        """Leave the sinks open: other shards use them, and the belt closes them at its end."""


class NoOutbox:
    """``emission.Outbox`` that lets nothing out: for who only wants to learn again."""

    def open(self, timeout_seconds: float) -> Covered:
        """Return that nothing was sent."""
        return Covered({})

    def send(self, emission: Emission) -> None:
        """Let nothing out."""

    def flush(self, timeout_seconds: float) -> bool:
        """Return that nothing waits."""
        return True

    def close(self) -> None:
        """Nothing is open."""
