"""What a run of events sends out, put together, and the way out that all shards of a worker share.

Upholds the emitting half of `learned_once` at a restart: a row that the last committed transaction covered
is not sent again, while its event is learned again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pyarrow as pa

from streamlearn.belt.emit import dead_letters, prediction_records
from streamlearn.belt.emit_arrow import prediction_batches
from streamlearn.belt.messages.ends import ends_with_message
from streamlearn.belt.shard import Outcome
from streamlearn.contracts import DeadLetterSink, PredictionSink
from streamlearn.emission import Covered, Emission, Records
from streamlearn.events import Bool_B, TopicPartition

Offsets = Mapping[TopicPartition, int]
PredictionsFormat = Literal["json", "arrow"]

RECORDS: Mapping[PredictionsFormat, Callable[[Outcome, str, tuple[str, ...]], Iterable[Records]]] = {
    "json": prediction_records,
    "arrow": prediction_batches,
}


def emission_of(
    outcome: Outcome,
    stream: str,
    topics: tuple[str, ...],
    *,
    predicts: PredictionsFormat | None,
    next_offsets: Offsets,
    cuts: Sequence[Offsets],
    covered: Offsets,
) -> Emission | None:
    """Return what an outcome sends out; ``None`` where the world has seen all of it.

    Parameters
    ----------
    predicts
        In which form predictions leave the daemon; None: they do not.
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
    predictions: list[Records] = []
    if predicts is not None:
        predictions += RECORDS[predicts](outcome, stream, topics)
    letters = dead_letters(outcome, topics) if outcome.events_rejected else []
    return Emission(predictions, letters, dict(next_offsets), tuple(cuts))


def whole_emission(
    held: Emission | None, emission: Emission, outcome: Outcome
) -> tuple[Emission | None, Emission | None]:
    """Return what can be sent now, and what is held until the rest of its message comes.

    An outcome may end inside a message of many events. Offsets cannot say so, so what its events send out
    goes with that of the others: all of it is seen, or none (`learned_once`).
    """
    if held is not None:
        predictions, letters = [*held.predictions, *emission.predictions], [*held.letters, *emission.letters]
        # Of the cuts the last alone: an end inside a message is none.
        emission = replace(emission, predictions=predictions, letters=letters)
    return (emission, None) if ends_with_message(outcome.events) else (None, emission)


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
