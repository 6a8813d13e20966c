"""A shard whose labels come later, with a learner and a judge that write down what they are shown."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from label_oracle import Row, Rules
from numbers_for_tests import together

from streamlearn.assemble import shard_factory
from streamlearn.belt.evaluate import Evaluator
from streamlearn.belt.guard import OnLearnerError
from streamlearn.belt.labels.guarded import SelfGuardedShard
from streamlearn.belt.labels.join import LabelJoin
from streamlearn.belt.labels.kept import KeptEvents
from streamlearn.belt.labels.layout import Layout
from streamlearn.checkpoints.segments import UnsavedSegments
from streamlearn.config import Config
from streamlearn.config_file import parse
from streamlearn.contracts import Segments, Snapshot
from streamlearn.events import NO_LABEL, Examples, Predictions, Reason, TopicPartition, event_schema

EVENTS, LABELS = TopicPartition("events", 0), TopicPartition("labels", 0)
MODEL = "model"
TEXT = """
[stream]
name = "flow"
task = "binary"
[source.kafka]
bootstrap_servers = "nowhere:1"
topics = ["events"]
group_id = "flow"
[event]
id = "id"
numeric = ["number"]
categorical = ["parity"]
classes = [false, true]
[labels]
topic = "labels"
id = "of"
label = "y"
wait = 1
[[models]]
name = "model"
learner = "river"
pipeline = ["linear_model.LogisticRegression"]
"""

# An event's number and parity, its label, and the label that this one undoes.
Shown = tuple[float, str, bool | None, bool | None]


@dataclass
class Book:
    """What was shown, in order; a shard that goes back goes back in it, too."""

    shown: list[Shown] = field(default_factory=list)
    judged: list[tuple[Any, ...]] = field(default_factory=list)


class Recorder:
    """A learner that writes down its examples; what it says of one shows all that it was shown before."""

    engine = "python"

    def __init__(self, name: str, book: Book, *, ruined_by: float | None = None) -> None:
        self.name = name
        self.book = book
        self._ruined_by = ruined_by
        self._chain = b""
        self._shown = 0
        self._learned = 0
        self.is_ruined = False

    @property
    def events_learned(self) -> int:
        return self._learned

    def is_finite(self) -> bool:
        return not self.is_ruined

    def why_no_weights(self) -> str | None:
        return None

    def predict(self, examples: Examples) -> Predictions:
        raise NotImplementedError

    def predict_then_learn(self, examples: Examples) -> Predictions:
        del self.book.shown[self._shown :]
        column = examples.features.categorical[0]
        version_B, class_B, share_BC = [], [], []
        for row in range(len(examples)):
            number = float(examples.features.numeric_BF[row, 0])
            label = bool(examples.target_B[row]) if examples.labelled_B[row] else None
            share = int.from_bytes(hashlib.sha256(self._chain).digest()[:4]) / 2**32
            version_B.append(self._learned)
            class_B.append(int(share > 0.5))
            share_BC.append([1 - share, share])
            undone = NO_LABEL if examples.undone_B is None else int(examples.undone_B[row])
            parity = column.values[column.codes_B[row]]
            self.book.shown.append((number, parity, label, None if undone == NO_LABEL else bool(undone)))
            self._shown += 1
            if label is not None:
                self._learned += 1
                self._chain = hashlib.sha256(self._chain + f"{number} {label}".encode()).digest()
                self.is_ruined |= number == self._ruined_by
        return Predictions(
            np.array(version_B, np.int64),
            np.array(class_B, np.int32),
            np.array(share_BC, np.float64).reshape(-1, 2),
        )

    def snapshot(self) -> Snapshot:
        return Snapshot(data={"chain": self._chain.hex(), "shown": self._shown, "learned": self._learned})

    def restore(self, snapshot: Snapshot) -> None:
        self._chain = bytes.fromhex(snapshot.data["chain"])
        self._shown, self._learned = snapshot.data["shown"], snapshot.data["learned"]
        self.is_ruined = False

    def describe(self) -> dict[str, Any]:
        return {}


class NoScores:
    """Says nothing beside metrics."""

    def update(self, *_judged: Any) -> None:
        pass

    def snapshot(self) -> Snapshot:
        return Snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        pass


class RecordingJudge(Evaluator):
    """The production judge, writing down whom it judged by what."""

    def __init__(self, book: Book) -> None:
        super().__init__("binary", 100)
        self._book = book

    def update(self, predictions: Predictions, examples: Examples) -> None:
        del self._book.judged[self.events_judged :]
        assert predictions.probability_BC is not None
        assert predictions.class_B is not None
        self._book.judged += zip(
            predictions.version_B.tolist(),
            predictions.class_B.tolist(),
            predictions.probability_BC[:, 1].tolist(),
            examples.target_B.tolist(),
            strict=True,
        )
        super().update(predictions, examples)


def config(rules: Rules) -> Config:
    policy = {
        "wait": rules.wait / 1e6,
        "remember": rules.remember / 1e6,
        "early_wait": rules.early_wait / 1e6,
        "early_max": rules.early_max,
        "on_late_label": f'"{rules.on_late_label}"',
        "on_correction": '"learn"' if rules.learns_corrections else '"ignore"',
        "on_expiry": '"drop"' if rules.default is None else str(rules.default).lower(),
    }
    return parse(TEXT, [f"labels.{name}={value}" for name, value in policy.items()], {})


def make(
    settings: Config,
    book: Book,
    *,
    segments: Segments | None = None,
    segment_rows: int = 4,
    operations_max: int = 7,
    ruined_by: float | None = None,
    clock: Callable[[], float] | None = None,
    on_learner_error: OnLearnerError = "reject",
) -> SelfGuardedShard:
    """A shard of which everything is small, so that its bounds are met."""
    plain = shard_factory(settings)("flow", {EVENTS: 0, LABELS: 0})
    labels = settings.labels
    assert labels is not None
    kept = KeptEvents(Layout(1, 1, 1, is_regression=False), segments or UnsavedSegments(), segment_rows)
    default = None if labels.default_label is None else float(labels.default_label)
    parts = replace(
        plain.parts,
        learners=[Recorder(MODEL, book, ruined_by=ruined_by)],
        judges={MODEL: RecordingJudge(book)},
        scores=NoScores(),
        labels=LabelJoin(labels, default, kept, operations_max),
    )
    return SelfGuardedShard(
        "flow",
        "flow",
        "binary",
        settings.topics,
        parts,
        {},
        {EVENTS: 0, LABELS: 0},
        on_learner_error=on_learner_error,
        label_topic="labels",
        **({} if clock is None else {"clock": clock}),
    )


def batch(rows: Sequence[Row]) -> pa.RecordBatch:
    """Decoded and merged rows; an event's ``number`` counts the accepted events of the sequence."""
    schema = event_schema(("number",), ("parity",), real_label=False)
    columns: dict[str, list[Any]] = {name: [None] * len(rows) for name in schema.names}
    offsets = {True: 0, False: 0}
    for place, row in enumerate(rows):
        values = {
            "topic": int(row.is_label),
            "partition": 0,
            "offset": offsets[row.is_label],
            "timestamp_ms": 0,
            "time_us": row.time,
            "reason": Reason.INVALID_JSON if row.rejected else Reason.ACCEPTED,
            "value": b"{}",
        }
        if not row.rejected:
            values["id"] = f'"{row.id}"'
            if row.is_label:
                values["label"] = str(row.label).lower()
            else:
                values |= {"numeric": float(place), "categorical/parity": f"p{place % 3}"}
        offsets[row.is_label] += 1
        for name, value in values.items():
            columns[name][place] = value
    return pa.RecordBatch.from_pydict(columns | {"numeric": together([columns["numeric"]])}, schema=schema)
