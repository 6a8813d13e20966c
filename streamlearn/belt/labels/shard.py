"""A shard whose labels come later than its events: predicts when an event comes, learns when its label does.

Upholds `predict_before_learn`: a model is judged by what it said when the event came, and learns after. Upholds
`learned_once`: events and labels add up (``counted``), each row under one name.

The learners' own protocol serves as it is: to them an event is an unlabelled example, and a label a labelled one
with the features of the event as they were then. What they say of the second is thrown away.

Shape letters: B rows of a batch, of which A are accepted events; O operations, of which J are judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamlearn.belt.accounting_kernels import ACCEPTED_CODE
from streamlearn.belt.guard import GuardedShard
from streamlearn.belt.labels import plan_kernels as kernels
from streamlearn.belt.labels.join import LabelJoin, Portion, Taken
from streamlearn.belt.labels.layout import FEATURES, SAID, SHARE, Columns
from streamlearn.belt.rejecting import rejected
from streamlearn.belt.shard import (
    EVENTS_LEARNED,
    EVENTS_REJECTED,
    EVENTS_UNLABELLED,
    Alarm,
    LabelOutcome,
    Outcome,
    Rows,
    Stopwatch,
)
from streamlearn.events import (
    NO_LABEL,
    TOO_MANY,
    Examples,
    Features,
    Float_B,
    Int_B,
    Predictions,
    Reason,
)

EVENTS_READ = "events_read"
LABELS_READ = "labels_read"
LABELS_REJECTED = "labels_rejected"
# By their place in the plan's counts.
PLANNED = {
    kernels.EVENTS_RESOLVED: "events_resolved",
    kernels.EVENTS_EXPIRED: "events_expired",
    kernels.EVENTS_DEFAULTED: "events_defaulted",
    kernels.EVENTS_REFUSED: "events_default_refused",
    kernels.JOINED: "labels_joined",
    kernels.ORPHANED: "labels_orphaned",
    kernels.DUPLICATE: "labels_duplicate",
    kernels.LATE_IGNORED: "labels_late_ignored",
    kernels.LATE_LEARNED: "labels_late_learned",
    kernels.LATE_CORRECTED: "labels_late_corrected",
    kernels.CORRECTION_IGNORED: "labels_correction_ignored",
    kernels.CORRECTION_LEARNED: "labels_correction_learned",
}
LABEL_COUNTERS = (EVENTS_READ, LABELS_READ, LABELS_REJECTED, *PLANNED.values())


class JoiningShard(GuardedShard):
    """A guarded shard with a join. Parameters are those of ``GuardedShard``, and:

    Parameters
    ----------
    label_topic
        The topic whose rows are labels. ``parts.labels`` is the join.
    """

    def __init__(self, *args: Any, label_topic: str, **options: Any) -> None:
        super().__init__(*args, **options)
        join = self.parts.labels
        assert isinstance(join, LabelJoin), "what the join holds is part of the shard's state"
        self._join = join
        self._label_topic = self._topics.index(label_topic)
        self.counters |= dict.fromkeys(LABEL_COUNTERS, 0)
        self._left_at = self._place

    @property
    def join(self) -> LabelJoin:
        return self._join

    @property
    def takes_events(self) -> bool:
        """Whether events may come; labels always may."""
        return not self._join.is_full

    def _advance(self, events: pa.RecordBatch) -> Outcome:
        """Do what a run of events and labels asks for, in order.

        1. Tell events from labels, and reject labels of a class too many.
        2. Portion by portion: plan; keep the new events; predict and learn; keep what was said; judge.
        3. Reject events whose id another one has.
        """
        watch = Stopwatch()
        skipped_before = {each.name: each.batches_skipped for each in self._skipping}
        learned_before = {each.name: each.events_learned for each in self.parts.learners}
        # Step 1.
        events, kind_B, label_B = self._told_apart(events)
        time_us_B = events.column("time_us").to_numpy()
        taken = self._join.take(events.column("id"), kind_B, time_us_B, label_B)
        # Step 2.
        portions = _Portions()
        is_last = False
        while not is_last:
            portion = self._join.plan(taken)
            self._portion(events, taken, portion, portions, watch)
            is_last = portion.is_last
        self._join.finish(taken)
        # Step 3.
        event_B = (kind_B == kernels.EVENT) & ~taken.duplicate_B
        duplicates = np.flatnonzero(taken.duplicate_B)
        if len(duplicates):
            detail = "another event of this id waits for its label, or is remembered"
            events = rejected(events, duplicates, Reason.DUPLICATE_ID, detail)
        accepted_B = event_B | (kind_B == kernels.LABEL)
        counted = self._counted(events, kind_B, taken, portions.learned)
        watch.lap("features")
        parts = self.parts
        parts.inputs.note(events)
        return Outcome(
            events,
            events if event_B.all() else events.filter(pa.array(event_B)),
            _unlabelled(
                int(np.count_nonzero(event_B)), self._no_targets(0).dtype, self.parts.classes.classes
            ),
            self.parts.classes.tokens,
            {
                each.name: portions.predictions(each.name)
                for each in parts.learners
                if each.name in parts.monitors
            },
            {each.name: each.events_learned - learned_before[each.name] for each in parts.learners},
            tuple(portions.alarms),
            dict(self.next_offsets),
            {each.name: each.batches_skipped - skipped_before[each.name] for each in self._skipping},
            portions.overflowed,
            watch.seconds,
            LabelOutcome(self._label_topic, taken.learned_B[accepted_B], counted),
        )

    # --------------------------------------------------------------------------------- one portion

    def _told_apart(self, events: pa.RecordBatch) -> tuple[pa.RecordBatch, npt.NDArray[np.uint8], Float_B]:
        """Return the batch, what each row is, and the label of each that has one: its class's index, or its number.

        A class past ``event.classes_max`` is rejected here and not in the decoder, since it is state.
        """
        accepted_B = events.column("reason").to_numpy() == ACCEPTED_CODE
        label_rows_B = events.column("topic").to_numpy() == self._label_topic
        labels = events.column("label")
        if self._task == "regression":
            label_B: Float_B = labels.to_numpy(zero_copy_only=False)
        else:
            codes_B = self.parts.classes.encode(labels)
            refused_B = codes_B == TOO_MANY
            if refused_B.any():
                detail = "one class more than event.classes_max"
                events = rejected(events, np.flatnonzero(refused_B), Reason.BAD_LABEL, detail)
                accepted_B = accepted_B & ~refused_B
            label_B = codes_B.astype(np.float64)
        kind_B = np.where(label_rows_B, kernels.LABEL, kernels.EVENT).astype(np.uint8)
        kind_B[~accepted_B] = kernels.NOTHING
        return events, kind_B, label_B

    def _portion(
        self, events: pa.RecordBatch, taken: Taken, portion: Portion, portions: _Portions, watch: Stopwatch
    ) -> None:
        if not len(portion.row_O):
            return  # labels that change nothing
        parts, kept = self.parts, self._join.kept
        rows = slice(portion.start, portion.stop)
        new = portion.start + np.flatnonzero((taken.kind_B[rows] == kernels.EVENT) & ~taken.duplicate_B[rows])
        features = self._keep_new(events, new, portions)
        examples = self._examples_of(portion, features)
        watch.lap("features")
        predicts_O = portion.kind_O == kernels.PREDICT
        for number, learner in enumerate(parts.learners):
            said = learner.predict_then_learn(examples)
            portions.gives_shares[learner.name] = said.probability_BC is not None
            if len(new):
                said = said if predicts_O.all() else said.rows(predicts_O)
                kept.open.set_said(portion.first_row, number, said)
                if learner.name in parts.monitors:
                    portions.add(learner.name, said)
                    changes = parts.watch.said(learner.name, said, parts.classes.tokens)
                    portions.alarms += self._changes(learner.name, changes, Rows(events, new))
        watch.lap("learn")
        portions.learned += int(np.count_nonzero(~predicts_O))
        judged = np.flatnonzero(portion.kind_O == kernels.JUDGE_AND_LEARN)
        if len(judged):
            self._judge(events, portion, judged, portions, watch)
        self._join.note_delays(portion.delay_O[portion.delay_O >= 0])

    def _keep_new(self, events: pa.RecordBatch, new: Int_B, portions: _Portions) -> Features | None:
        """Make features of new events, and keep them; ``None`` where there is none."""
        if not len(new):
            return None
        features = self.parts.features.build(events, new)
        features, overflowed = self.parts.categories.bound(features)
        for name, count in overflowed.items():
            portions.overflowed[name] = portions.overflowed.get(name, 0) + count
        portions.alarms += self._changes("", self.parts.watch.inputs(features), Rows(events, new))
        self._join.kept.keep(
            events.column("id").take(pa.array(new)), features, self.parts.categories.encode(features)
        )
        return features

    def _examples_of(self, portion: Portion, features: Features | None) -> Examples:
        """Return one example an operation, in order, from the features that are kept."""
        labelled_O = portion.kind_O != kernels.PREDICT
        classes = self.parts.classes.classes
        target_O = portion.label_O if self._task == "regression" else portion.label_O.astype(np.int32)
        if features is None or labelled_O.any():
            features = self._features_of(self._join.kept.gather(portion.row_O, FEATURES))
        corrects_O = portion.kind_O == kernels.CORRECT
        undone_O = None
        if corrects_O.any():
            undone_O = np.where(corrects_O, np.int32(self._join.default_label), np.int32(NO_LABEL))
        # A label is judged by what was said when its event came.
        return Examples(features, target_O, labelled_O, classes, undone_O, asked_B=~labelled_O)

    def _features_of(self, columns: Columns) -> Features:
        return Features(
            self.parts.features.numeric_names,
            np.ascontiguousarray(columns["numeric"]),
            columns["missing"].astype(np.bool_),
            self.parts.categories.decode(columns["category"]),
        )

    def _slices_of(self, columns: Columns) -> Features:
        """Return what a judge looks at in features: their categories, by which scores are sliced."""
        judged = len(columns["category"])
        return replace(_no_features(judged), categorical=self.parts.categories.decode(columns["category"]))

    def _judge(
        self, events: pa.RecordBatch, portion: Portion, judged: Int_B, portions: _Portions, watch: Stopwatch
    ) -> None:
        """Judge what was said when the events came, and look for drift in it."""
        names = ("category", *SAID) if self._task == "regression" else ("category", *SAID, SHARE)
        columns = self._join.kept.gather(portion.row_O[judged], names)
        classes = self.parts.classes.classes
        target_J = portion.label_O[judged]
        if self._task != "regression":
            target_J = target_J.astype(np.int32)
        labelled_J = np.ones(len(judged), np.bool_)
        examples = Examples(self._slices_of(columns), target_J, labelled_J, classes)
        said_by: dict[str, Predictions] = {}
        errors_by: dict[str, tuple[Int_B, Float_B]] = {}
        where = Rows(events, portion.source_O[judged])
        for number, learner in enumerate(self.parts.learners):
            said = self._said_then(columns, number, len(classes), shares=portions.gives_shares[learner.name])
            self.parts.judges[learner.name].update(said, examples)
            said_by[learner.name] = said
            errors_by[learner.name] = self.parts.errors_of(self._task, said, examples)
            watch.lap("evaluate")
            if learner.name in self.parts.monitors:
                portions.alarms += self._alarms(learner.name, *errors_by[learner.name], where)
                changes = self.parts.watch.judged(learner.name, *errors_by[learner.name], said, examples)
                portions.alarms += self._changes(learner.name, changes, where)
                watch.lap("drift")
        self.parts.scores.update(said_by, errors_by, examples)
        watch.lap("evaluate")

    def _said_then(self, columns: Columns, learner: int, classes: int, *, shares: bool) -> Predictions:
        """Return what a learner said, as it would say it of the classes of today."""
        version = np.ascontiguousarray(columns["version"][:, learner])
        said = np.ascontiguousarray(columns["said"][:, learner])
        if self._task == "regression":
            return Predictions(version, value_B=said)
        if not shares:
            return Predictions(version, said)
        share_JC = np.full((len(said), classes), np.nan)
        kept = columns[SHARE][:, learner]
        share_JC[:, : kept.shape[1]] = kept
        return Predictions(version, said, share_JC)

    def _no_targets(self, events: int) -> npt.NDArray[Any]:
        return np.zeros(events, np.float64 if self._task == "regression" else np.int32)

    # ------------------------------------------------------------------------------------- counting

    def _counted(
        self, events: pa.RecordBatch, kind_B: npt.NDArray[np.uint8], taken: Taken, learned: int
    ) -> Mapping[str, int]:
        """Count every row under one name, and move the offsets; return what was added to the label counters."""
        label_rows_B = events.column("topic").to_numpy() == self._label_topic
        rejected_B = (kind_B == kernels.NOTHING) | taken.duplicate_B
        labels = int(np.count_nonzero(label_rows_B))
        added = {
            EVENTS_READ: events.num_rows - labels,
            LABELS_READ: labels,
            LABELS_REJECTED: int(np.count_nonzero(rejected_B & label_rows_B)),
            **{name: int(taken.counts[place]) for place, name in PLANNED.items()},
        }
        for name, count in added.items():
            self.counters[name] += count
        self.counters[EVENTS_LEARNED] += learned
        self.counters[EVENTS_UNLABELLED] += taken.events
        self.counters[EVENTS_REJECTED] += int(np.count_nonzero(rejected_B))
        self._move_offsets(events)
        counters = self.counters
        waiting = counters[LABELS_READ] - sum(
            count for name, count in counters.items() if name.startswith("labels_") and name != LABELS_READ
        )
        assert waiting == len(self._join.early), "learned_once: labels add up"
        return added

    @property
    def events_pending(self) -> int:
        """Events that wait for their labels: those read that have no other name."""
        counters = self.counters
        taken = counters[EVENTS_READ] - (counters[EVENTS_REJECTED] - counters[LABELS_REJECTED])
        ended = ("events_resolved", "events_expired", "events_defaulted", "events_default_refused")
        return taken - sum(counters[name] for name in ended)


class _Portions:
    """What the portions of a batch brought, put together."""

    def __init__(self) -> None:
        self.overflowed: dict[str, int] = {}
        self.alarms: list[Alarm] = []
        self.gives_shares: dict[str, bool] = {}
        self.learned = 0
        self._said: dict[str, list[Predictions]] = {}

    def add(self, learner: str, said: Predictions) -> None:
        self._said.setdefault(learner, []).append(said)

    def predictions(self, learner: str) -> Predictions:
        """Return what a learner said of all events of the batch."""
        said = self._said.get(learner, [])
        if len(said) == 1:
            return said[0]
        if not said:
            return Predictions(np.zeros(0, np.int64), np.zeros(0, np.int32), value_B=np.zeros(0))
        columns = zip(*((s.version_B, s.class_B, s.probability_BC, s.value_B) for s in said), strict=True)
        return Predictions(*(None if each[0] is None else np.concatenate(each) for each in columns))  # type: ignore[arg-type]


def _no_features(events: int) -> Features:
    return Features((), np.empty((events, 0)), np.empty((events, 0), np.bool_), ())


def _unlabelled(events: int, dtype: Any, classes: Sequence[Any]) -> Examples:
    """Return examples as a judge would get them before there is a label: of no features, since none is asked for."""
    return Examples(_no_features(events), np.zeros(events, dtype), np.zeros(events, np.bool_), tuple(classes))
