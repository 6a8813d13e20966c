"""One shard: everything that one ordered sequence of events has taught.

Upholds `predict_before_learn` (a learner predicts an event before it learns from it, and judges and
detectors see that prediction), `learned_once` and `offsets_increase` (each event moves `next_offsets` past
itself, and none below is taken), and `replay_equals_run`: `advance` is a pure function of the state and
the events in their order, however they were cut into batches. No randomness of its own, no I/O, and no
clock but for telling how long a stage took.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from streamlearn.belt.accounting_kernels import ACCEPTED_CODE
from streamlearn.belt.messages.ends import ends_of_messages
from streamlearn.belt.rejecting import rejected
from streamlearn.belt.source_kernels import IN_ORDER, advance_offsets, places_of
from streamlearn.belt.stations import (
    CategoryStation,
    Changed,
    Classes,
    FeatureStation,
    InputStation,
    Judge,
    LabelStation,
    Monitor,
    Scores,
    SkipsSteps,
    Station,
    Watching,
)
from streamlearn.config import Task
from streamlearn.config.signals import WINDOWS
from streamlearn.contracts import Learner, ModelEntry, ShardState, Snapshot
from streamlearn.errors import CheckpointRefused
from streamlearn.events import (
    TOO_MANY,
    Bool_B,
    Examples,
    Float_B,
    Int_B,
    Predictions,
    Reason,
    TopicPartition,
)

EVENTS_LEARNED = "events_learned"
EVENTS_UNLABELLED = "events_unlabelled"
EVENTS_REJECTED = "events_rejected"
EVENTS_MISSED = "events_missed"  # offsets that the log no longer held, passed over by on_gap = "skip"
COUNTERS = (EVENTS_LEARNED, EVENTS_UNLABELLED, EVENTS_REJECTED, EVENTS_MISSED)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A detector says that a signal changed at this event."""

    model: str  # "": an input of all of them
    detector: str
    partition: TopicPartition
    offset: int
    event_time_us: int  # microseconds since 1970 in UTC
    signal: str = "error"  # such as "dep_delay mean"
    detail: str = ""  # such as "12.6 -> 31"


@dataclass(frozen=True, slots=True)
class LabelOutcome:
    """What became of a batch's labels, where they come on a topic of their own."""

    topic: int  # of the labels
    learned_J: Bool_B  # of the accepted rows, labels too: whether a label was learned because of it
    counted: Mapping[str, int]  # what was added to the shard's counters of events and labels


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch of events."""

    events: pa.RecordBatch  # all of them, with the reason that stands in the end
    accepted: pa.RecordBatch  # those that the models saw, row for row with examples and predictions
    examples: Examples
    class_tokens: tuple[str, ...]  # each class as JSON, as labels came in
    predictions: Mapping[str, Predictions]  # by model; baselines are judged, not told
    learned: Mapping[str, int]  # by learner, baselines too: events that it learned meanwhile
    alarms: tuple[Alarm, ...]
    # The shard's, once these events are learned; by the time that this is seen, the shard may be further.
    next_offsets: Mapping[TopicPartition, int] = field(default_factory=dict)
    steps_skipped: Mapping[str, int] = field(default_factory=dict)  # by learner: steps that it refused
    overflowed: Mapping[str, int] = field(default_factory=dict)  # by feature: events of a category too many
    stage_seconds: Mapping[str, float] = field(default_factory=dict)  # features, learn, evaluate, drift
    labels: LabelOutcome | None = None  # with [labels]; then ``accepted`` are events alone

    @property
    def events_learned(self) -> int:
        return int(np.count_nonzero(self.examples.labelled_B))

    @property
    def events_rejected(self) -> int:
        return int(np.count_nonzero(self.events.column("reason").to_numpy() != ACCEPTED_CODE))


@dataclass(frozen=True, slots=True)
class ShardParts:
    """What a shard is made of. All but ``errors_of`` is state."""

    classes: Classes
    features: FeatureStation
    learners: Sequence[Learner]  # the configured models, then the baselines
    judges: Mapping[str, Judge]  # one for each learner
    monitors: Mapping[str, Monitor]  # one for each configured model
    scores: Scores
    errors_of: Callable[[Task, Predictions, Examples], tuple[Int_B, Float_B]]
    categories: CategoryStation
    inputs: InputStation
    watch: Watching
    labels: LabelStation | None = None

    def stations(self) -> Iterator[tuple[str, Station]]:
        """Everything that holds state, by the name of its part in a checkpoint."""
        yield "classes", self.classes
        yield "features", self.features
        yield "categories", self.categories
        yield "inputs", self.inputs
        for learner in self.learners:
            yield f"model/{learner.name}", learner
        for name, judge in self.judges.items():
            yield f"evaluate/{name}", judge
        for name, monitor in self.monitors.items():
            yield f"drift/{name}", monitor
        yield "scores", self.scores
        yield "watch", self.watch
        if self.labels is not None:
            yield "labels", self.labels


class Rows(NamedTuple):
    """Rows of a batch, for whoever asks where one of them came from: all, or those that were chosen, in that order."""

    events: pa.RecordBatch
    chosen: Int_B | None = None


class Shard:
    """State and the one way to change it.

    Parameters
    ----------
    name
        The stream's name, or topic and partition.
    topics
        What the ``topic`` column of a batch indexes.
    parts
        The stations and learners, built anew; ``restore`` gives them their state.
    next_offsets
        For each partition of the shard, the next message to read.
    """

    def __init__(
        self,
        name: str,
        stream: str,
        task: Task,
        topics: tuple[str, ...],
        parts: ShardParts,
        config: Mapping[str, Any],
        next_offsets: Mapping[TopicPartition, int],
    ) -> None:
        self.name = name
        self.next_offsets = dict(next_offsets)
        self.sequence = 0
        self.epoch: int | None = None  # the claim under which it learns
        self.source: Mapping[str, Any] = {}
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._stream = stream
        self._task = task
        self._topics = topics
        self._config = config
        self._skipping = [each for each in parts.learners if isinstance(each, SkipsSteps)]
        self.parts = parts

    @property
    def takes_events(self) -> bool:
        """Whether there is room for more events."""
        return True

    def advance(self, events: pa.RecordBatch) -> Iterator[Outcome]:
        """Predict, judge and learn events that follow, in order, on those before.

        Yields one outcome for each run of events (nearly always one). Raises LearnerError: the shard's
        state is then undefined and must not be checkpointed. Raises TooManyRejected.
        """
        settled_at = self.parts.classes.settles_at(events.column("label"))
        if settled_at is None or settled_at == events.num_rows:
            yield self._advance(events)
        else:
            yield self._advance(events.slice(0, settled_at))
            yield self._advance(events.slice(settled_at))

    def _advance(self, events: pa.RecordBatch) -> Outcome:
        parts, watch = self.parts, Stopwatch()
        skipped_before = {each.name: each.batches_skipped for each in self._skipping}
        events, accepted, examples = self._examples(events)
        examples, overflowed = self._bounded(examples)
        where = Rows(accepted)
        watch.lap("features")
        alarms = list(self._changes("", parts.watch.inputs(examples.features), where))
        watch.lap("drift")
        said_by: dict[str, Predictions] = {}
        errors_by: dict[str, tuple[Int_B, Float_B]] = {}
        learned: dict[str, int] = {}
        for learner in parts.learners:
            learned_before = learner.events_learned
            said = said_by[learner.name] = learner.predict_then_learn(examples)
            learned[learner.name] = learner.events_learned - learned_before
            watch.lap("learn")
            parts.judges[learner.name].update(said, examples)
            errors_by[learner.name] = parts.errors_of(self._task, said, examples)
            watch.lap("evaluate")
            if learner.name in parts.monitors:
                alarms += self._alarms(learner.name, *errors_by[learner.name], where)
                changes = parts.watch.said(learner.name, said, parts.classes.tokens)
                alarms += self._changes(learner.name, changes, where)
                changes = parts.watch.judged(learner.name, *errors_by[learner.name], said, examples)
                alarms += self._changes(learner.name, changes, where)
                watch.lap("drift")
        parts.scores.update(said_by, errors_by, examples)
        watch.lap("evaluate")
        self._count(events, examples)
        parts.inputs.note(events)
        return Outcome(
            events,
            accepted,
            examples,
            parts.classes.tokens,
            {name: said for name, said in said_by.items() if name in parts.monitors},
            learned,
            tuple(alarms),
            dict(self.next_offsets),
            {each.name: each.batches_skipped - skipped_before[each.name] for each in self._skipping},
            overflowed,
            watch.seconds,
        )

    def _examples(self, events: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch, Examples]:
        """Set rejected events aside and make of the others what models see.

        A class past ``event.classes_max`` is rejected here and not in the decoder, since it is state.
        """
        accepted_B = events.column("reason").to_numpy() == ACCEPTED_CODE
        accepted = events if accepted_B.all() else events.filter(pa.array(accepted_B))
        labels = accepted.column("label")
        if self._task == "regression":
            target_B = labels.to_numpy(zero_copy_only=False)
            features = self.parts.features.build(accepted)
            return events, accepted, Examples(features, target_B, ~np.isnan(target_B), ())
        codes_B = self.parts.classes.encode(labels)
        refused_B = codes_B == TOO_MANY
        if refused_B.any():
            detail = "one class more than event.classes_max"
            events = rejected(events, np.flatnonzero(accepted_B)[refused_B], Reason.BAD_LABEL, detail)
            accepted, codes_B = accepted.filter(pa.array(~refused_B)), codes_B[~refused_B]
        features = self.parts.features.build(accepted)
        return events, accepted, Examples(features, codes_B, codes_B >= 0, self.parts.classes.classes)

    def _bounded(self, examples: Examples) -> tuple[Examples, Mapping[str, int]]:
        features, overflowed = self.parts.categories.bound(examples.features)
        return replace(examples, features=features), overflowed

    def _alarms(self, model: str, rows_B: Int_B, errors_B: Float_B, where: Rows) -> Iterator[Alarm]:
        for found in self.parts.monitors[model].update(errors_B):
            yield Alarm(model, found.detector, *self._place_of(int(rows_B[found.index]), where))

    def _changes(self, model: str, changes: Sequence[Changed], where: Rows) -> Iterator[Alarm]:
        for found in changes:
            place = self._place_of(found.index, where)
            yield Alarm(model, WINDOWS, *place, found.signal, found.detail)

    def _place_of(self, row: int, where: Rows) -> tuple[TopicPartition, int, int]:
        """Return the partition, the offset and the time of an event."""
        if where.chosen is not None:
            row = int(where.chosen[row])
        column = where.events.column
        partition = TopicPartition(
            self._topics[column("topic")[row].as_py()], column("partition")[row].as_py()
        )
        return partition, column("offset")[row].as_py(), column("time_us")[row].as_py()

    def _count(self, events: pa.RecordBatch, examples: Examples) -> None:
        learned = int(np.count_nonzero(examples.labelled_B))
        self.counters[EVENTS_LEARNED] += learned
        self.counters[EVENTS_UNLABELLED] += len(examples) - learned
        self.counters[EVENTS_REJECTED] += events.num_rows - len(examples)
        self._move_offsets(events)

    def _move_offsets(self, events: pa.RecordBatch) -> None:
        topic_B, partition_B = events.column("topic").to_numpy(), events.column("partition").to_numpy()
        offset_B = events.column("offset").to_numpy()
        next_S = np.array(list(self.next_offsets.values()), np.int64)
        early = advance_offsets(
            topic_B,
            partition_B,
            offset_B,
            ends_of_messages(events),
            places_of(self.next_offsets, self._topics),
            next_S,
        )
        assert early == IN_ORDER, (
            f"offsets_increase: {self._topics[topic_B[early]]}[{partition_B[early]}] {offset_B[early]} "
            "was learned, or is out of order"
        )
        self.next_offsets.update(zip(self.next_offsets, next_S.tolist(), strict=True))

    @property
    def events_learned(self) -> int:
        """Labelled events that the models were given, over the shard's life."""
        return self.counters[EVENTS_LEARNED]

    def snapshot(self, extra: Mapping[str, Snapshot]) -> ShardState:
        """Return the state as it is now (`offsets_travel_with_state`); changes none (`reads_are_pure`)."""
        others = {k: v for k, v in self.counters.items() if k not in (EVENTS_LEARNED, EVENTS_REJECTED)}
        return ShardState(
            stream=self._stream,
            shard=self.name,
            sequence=self.sequence + 1,
            epoch=self.epoch,
            next_offsets=dict(self.next_offsets),
            events_learned=self.counters[EVENTS_LEARNED],
            events_rejected=self.counters[EVENTS_REJECTED],
            counters=others,
            models=tuple(
                ModelEntry(each.name, each.events_learned, each.events_learned)
                for each in self.parts.learners
                if each.name in self.parts.monitors
            ),
            parts={name: part.snapshot() for name, part in self.parts.stations()} | dict(extra),
            config=self._config,
            source=self.source,
            segments=() if self.parts.labels is None else self.parts.labels.segment_names,
            segments_from=0 if self.parts.labels is None else self.parts.labels.segments_from,
        )

    def check_config(self, state: ShardState) -> None:
        """Raise CheckpointRefused where a state was learned under another config."""
        if dict(state.config) != dict(self._config):
            raise CheckpointRefused(
                f"the checkpoint of {state.shard} was learned under another config: "
                + "; ".join(_differences("", state.config, self._config)),
                remedy="restore these options, or start anew under another checkpoint.path",
            )

    def restore(self, state: ShardState) -> None:
        """Become what was snapshotted. Raises CheckpointRefused when the config has another shape."""
        self.check_config(state)
        for name, part in self.parts.stations():
            if name not in state.parts:
                raise CheckpointRefused(
                    f"the checkpoint of {self.name} has no part {name!r}: another version wrote it",
                    remedy="continue with the version that wrote it, or start anew under another checkpoint.path",
                )
            part.restore(state.parts[name])
        self.sequence = state.sequence
        self.next_offsets |= state.next_offsets
        self.counters = {
            **dict.fromkeys(self.counters, 0),  # what an older version did not count
            EVENTS_LEARNED: state.events_learned,
            EVENTS_REJECTED: state.events_rejected,
            **state.counters,
        }


class Stopwatch:
    """How long each stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = time.perf_counter()

    def lap(self, stage: str) -> None:
        """What passed since the last lap belongs to this stage."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._began
        self._began = now


def _differences(path: str, old: Any, new: Any) -> Iterator[str]:
    """Name what differs between two configs, each with both values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _differences(f"{path}.{key}" if path else str(key), old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{path}[{index}]", one, other)
    elif old != new:
        yield f"{path} was {old!r}, is {new!r}"
