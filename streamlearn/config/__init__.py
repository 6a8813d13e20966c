"""Every option: name, type, unit, default, limit and meaning. One frozen tree, read from one TOML file.

One file a group of sections; here they are put together, and what only fits together is checked.
``config_file.py`` turns a file into this tree and says what is wrong with it; docs/configuration.md is
generated from here. Nothing is imported or built by reading a config.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from streamlearn.config.base import Section, Task
from streamlearn.config.event import Event
from streamlearn.config.labels import Labels
from streamlearn.config.models import (
    AnyModel,
    PythonModel,
    RiverModel,
    TorchModel,
)
from streamlearn.config.outputs import Checkpoint, DeadLetters, Http, PredictionsOut
from streamlearn.config.quality import Drift, Evaluate
from streamlearn.config.source import OWNED_PROPERTIES, FilesSource, KafkaSource, Source
from streamlearn.config.stream import Stream

__all__ = [
    "OWNED_PROPERTIES",
    "AnyModel",
    "Checkpoint",
    "Config",
    "Drift",
    "Event",
    "FilesSource",
    "KafkaSource",
    "Labels",
    "PythonModel",
    "RiverModel",
    "Stream",
    "Task",
    "TorchModel",
]


class Config(Section):
    """The whole config of one stream."""

    stream: Stream
    source: Source
    event: Event
    labels: Labels | None = Field(
        default=None, description="Labels on a topic of their own. Without it the label rides in the event."
    )
    models: tuple[AnyModel, ...] = Field(min_length=1)
    predictions: PredictionsOut | None = None
    dead_letters: DeadLetters = DeadLetters()
    evaluate: Evaluate = Evaluate()
    drift: Drift = Drift()
    checkpoint: Checkpoint = Checkpoint()
    http: Http = Http()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        names = [model.name for model in self.models]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two models are named {name!r}")
            if name.startswith("baseline"):
                raise ValueError(f"the model name {name!r} is taken by the baselines")
        if self.labels is not None:
            self._labels_fit(self.labels)
        elif self.stream.task != "anomaly" and self.event.label is None:
            raise ValueError(f"event.label is needed for task {self.stream.task!r}")
        if self.event.format == "arrow" and self.source.files is not None:
            raise ValueError("event.format = 'arrow' is for [source.kafka]; files are JSON lines")
        if self.stream.task == "binary" and self.event.classes and len(self.event.classes) != 2:
            raise ValueError("task 'binary' has exactly two event.classes")
        if self.stream.task in ("regression", "anomaly") and self.event.classes:
            raise ValueError(f"event.classes means nothing for task {self.stream.task!r}")
        for feature in self.evaluate.slices:
            if feature not in self.event.categorical:
                raise ValueError(f"evaluate.slices names {feature!r}, which is none of event.categorical")
        for feature in self.drift.ignore:
            if feature not in (*self.event.numeric, *self.event.categorical):
                raise ValueError(f"drift.ignore names {feature!r}, which is no feature")
        if self.predictions is not None and self.predictions.delivery == "exactly_once":
            self._transactions_fit(self.predictions)
        if self.stream.task == "anomaly" and any(model.learner == "torch" for model in self.models):
            raise ValueError("the torch learner has no anomaly task; use a River anomaly detector")
        return self

    def _labels_fit(self, labels: Labels) -> None:
        event, stream, kafka, files = self.event, self.stream, self.source.kafka, self.source.files
        if stream.task == "anomaly":
            raise ValueError(
                "[labels] has no anomaly task: its detectors learn events before there is a label"
            )
        if event.format == "arrow":
            raise ValueError(
                "event.format = 'arrow' has no [labels] yet: write the events as JSON, or let labels ride in them"
            )
        if event.id is None:
            raise ValueError("[labels] needs event.id: a label names its event by it")
        if event.label is not None:
            raise ValueError(
                f"event.label = {event.label!r} and [labels] are two sources of one label; take one of them out"
            )
        if labels.topic in (
            kafka.topics if kafka is not None else (files.topic if files is not None else "",)
        ):
            raise ValueError(
                f"labels.topic = {labels.topic!r} is a topic of the events; labels need their own"
            )
        if kafka is not None and labels.paths:
            raise ValueError("labels.paths is for [source.files]; with Kafka, labels come on labels.topic")
        if files is not None and not labels.paths:
            raise ValueError("with [source.files], labels.paths names the files of the labels")
        if kafka is not None and stream.scope == "partition" and len(kafka.topics) > 1:
            raise ValueError(
                'with stream.scope = "partition", [labels] needs one topic of events: partition 3 of the labels '
                "belongs to partition 3 of the events"
            )
        if labels.on_late_label == "correct" and stream.task != "binary":
            raise ValueError(
                f'labels.on_late_label = "correct" is for task "binary": of two labels one is the other\'s contrary; '
                f'for {stream.task!r} use "learn"'
            )
        self._default_label_fits(labels)

    def _default_label_fits(self, labels: Labels) -> None:
        label, task, classes = labels.default_label, self.stream.task, self.event.classes
        if label is None:
            return
        if task == "regression" and (isinstance(label, bool | str)):
            raise ValueError(f'labels.on_expiry = {label!r} is no number and not "drop"')
        if classes is not None and not any(type(c) is type(label) and c == label for c in classes):
            raise ValueError(f"labels.on_expiry = {label!r} is none of event.classes")
        if task == "binary" and classes is None and label not in (0, 1):
            raise ValueError(f'labels.on_expiry = {label!r} must be true, false, 0, 1 or "drop"')
        if task != "regression" and isinstance(label, float):
            raise ValueError(f"labels.on_expiry = {label!r} must be text, an integer or a boolean")

    def _transactions_fit(self, predictions: PredictionsOut) -> None:
        kafka = self.source.kafka
        if kafka is not None and kafka.client != "confluent-kafka":
            raise ValueError(
                'predictions.delivery = "exactly_once" needs source.kafka.client = "confluent-kafka": a '
                "transaction commits the group's offsets, and kafka-python's place in the group cannot be lent"
            )
        if predictions.commit_ms >= self.checkpoint.every_seconds * 1000:
            raise ValueError(
                f"predictions.commit_ms = {predictions.commit_ms} must be less than checkpoint.every_seconds = "
                f"{self.checkpoint.every_seconds:g}: a checkpoint waits for the transactions that it covers"
            )

    @property
    def micro_batch_rows(self) -> int:
        """Most rows that one step of the belt takes up: events, and labels that come apart."""
        return self.stream.micro_batch_events * (1 if self.labels is None else 2)

    @property
    def exactly_once(self) -> bool:
        """Whether predictions leave in transactions."""
        return self.predictions is not None and self.predictions.delivery == "exactly_once"

    @property
    def keeps_journal(self) -> bool:
        """Whether the order of a live read is written down, in the transactions that predictions leave in."""
        return self.exactly_once and self.merges

    @property
    def merges(self) -> bool:
        """Whether a shard reads several partitions: those of the stream, or one and that of its labels."""
        return self.stream.scope == "stream" or self.labels is not None

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that are read, sorted: what the ``topic`` column of a batch indexes."""
        if self.source.kafka is not None:
            topics = self.source.kafka.topics
        else:
            assert self.source.files is not None
            topics = (self.source.files.topic,)
        return topics if self.labels is None else tuple(sorted((*topics, self.labels.topic)))

    @property
    def label_topic(self) -> str | None:
        """The topic of the labels; ``None``: the label rides in the event."""
        return None if self.labels is None else self.labels.topic
