"""Every option: name, type, unit, default, limit and meaning. One frozen tree, read from one TOML file.

``config_file.py`` turns a file into this tree and says what is wrong with it; docs/configuration.md is
generated from here. Nothing is imported or built by reading a config.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
IMPORT_PATH_PATTERN = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
PositiveInt = Annotated[int, Field(ge=1)]

Task = Literal["binary", "multiclass", "regression", "anomaly"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, hide_input_in_errors=True)


class Stream(Section):
    name: Name = Field(description="Names the stream in checkpoints, metrics and predictions.")
    task: Task = Field(description="What the label is: two classes, many, a number, or (mostly) none.")
    scope: Literal["stream", "partition"] = Field(
        default="stream",
        description="`stream`: one model over all partitions, merged in time order. "
        "`partition`: one model for each partition, which scales over workers.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=4_294_967_295,
        description="Seeds every random draw of the models, and Python's hash seed.",
    )
    idle_wait_ms: int = Field(
        default=1000,
        ge=0,
        le=600_000,
        description="How long the time-ordered merge waits, in milliseconds, for a partition "
        "of which it does not know whether it has more.",
    )
    micro_batch_events: int = Field(
        default=4096,
        ge=1,
        le=1_000_000,
        description="Most events that one step of the belt learns from. Changes no result.",
    )
    on_learner_error: Literal["stop", "reject"] = Field(
        default="stop",
        description="When a model raises on an event: stop, or undo the event, reject it and go on. An event "
        "after which a model is no longer finite is always undone and rejected.",
    )
    rejected_ratio_max: float = Field(
        default=0.99,
        gt=0,
        le=1,
        description="More rejected events than this share of the last 10,000 stop the stream: what comes in "
        "is not what the config describes. 1: never.",
    )
    stall_seconds: float = Field(
        default=60.0,
        gt=0,
        description="A partition that has work and does not move for so long is stuck: told, and not ready.",
    )


class KafkaSource(Section):
    bootstrap_servers: str = Field(min_length=1, description="`host:port`, comma-separated.")
    topics: tuple[str, ...] = Field(min_length=1, description="Topics to read; names, no patterns.")
    group_id: str = Field(min_length=1, description="Consumer group of all workers of this stream.")
    start: Literal["earliest", "latest"] | datetime = Field(
        default="earliest",
        description="Where to start in a partition that no checkpoint knows: `earliest`, `latest`, "
        "or a timestamp such as `2026-01-31T00:00:00Z` (the first record at or after it).",
    )
    client: Literal["confluent-kafka", "kafka-python"] = Field(
        default="confluent-kafka", description="Kafka client library. `kafka-python` is slower by far."
    )
    on_gap: Literal["stop", "skip"] = Field(
        default="stop",
        description="When a checkpoint points outside the log (retention, truncation): stop with an "
        "error, or skip to the nearest offset and count what was missed.",
    )
    poll_events: int = Field(
        default=5000, ge=1, le=100_000, description="Most messages that one poll takes. Changes no result."
    )
    buffer_bytes_max: int = Field(
        default=64 * 1024 * 1024,
        ge=1024,
        description="Bytes of messages read ahead of the belt; beyond it, reading pauses.",
    )
    revoke_budget_seconds: float = Field(
        default=20.0,
        gt=0,
        le=280,
        description="How long a rebalance waits for the belt to publish and release a partition.",
    )
    properties: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Settings passed to librdkafka as they are (TLS, SASL, fetch sizes).",
    )

    @field_validator("topics")
    @classmethod
    def _topics_are_names(cls, topics: tuple[str, ...]) -> tuple[str, ...]:
        for topic in topics:
            if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic):
                raise ValueError(f"{topic!r} is no topic name: letters, digits, '.', '_' and '-' only")
        if len(set(topics)) != len(topics):
            raise ValueError("a topic is named twice")
        return tuple(sorted(topics))

    @field_validator("properties", mode="before")
    @classmethod
    def _properties_as_text(cls, properties: Any) -> Any:
        if not isinstance(properties, dict):
            return properties
        return {
            key: str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in properties.items()
        }

    @field_validator("properties")
    @classmethod
    def _properties_that_are_ours(cls, properties: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for key in properties:
            if key in OWNED_PROPERTIES:
                raise ValueError(f"{key!r} cannot be set here: {OWNED_PROPERTIES[key]}")
        return properties

    def plain_properties(self) -> dict[str, str]:
        """Return the passed-through settings with their secrets in clear, for the client alone."""
        return {key: value.get_secret_value() for key, value in self.properties.items()}


# Properties on which a guarantee rests; a config that changed them would break it silently.
OWNED_PROPERTIES = {
    "bootstrap.servers": "it is source.kafka.bootstrap_servers",
    "group.id": "it is source.kafka.group_id",
    "enable.auto.commit": "the belt commits after the checkpoint is durable (publish_before_commit)",
    "enable.auto.offset.store": "the belt commits after the checkpoint is durable (publish_before_commit)",
    "auto.offset.reset": "a reset hides lost events (offsets_increase); see source.kafka.start and on_gap",
    "enable.partition.eof": "the time-ordered merge needs it",
}


class FilesSource(Section):
    paths: tuple[str, ...] = Field(
        min_length=1,
        description="JSON-lines files or glob patterns; each file is one partition, in sorted order.",
    )
    topic: Name = Field(default="files", description="What the files are called as a topic.")
    poll_events: int = Field(default=5000, ge=1, le=100_000, description="Most lines one poll takes.")
    buffer_bytes_max: int = Field(
        default=64 * 1024 * 1024, ge=1024, description="Bytes of lines read ahead of the belt."
    )


class Source(Section):
    kafka: KafkaSource | None = Field(default=None, description="Read from Kafka.")
    files: FilesSource | None = Field(default=None, description="Read local files, without Kafka.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.kafka is None) == (self.files is None):
            raise ValueError("name exactly one source: [source.kafka] or [source.files]")
        return self

    @property
    def chosen(self) -> KafkaSource | FilesSource:
        """The one that is named."""
        source = self.kafka or self.files
        assert source is not None
        return source


class Event(Section):
    format: Literal["json"] = Field(default="json", description="How a message is written.")
    label: str | None = Field(
        default=None, description="Field that holds the label; absent or null: none yet."
    )
    classes: tuple[bool | int | str, ...] | None = Field(
        default=None,
        description="The label's classes. Unset: binary takes true/false or 0/1, multiclass learns them "
        "from the stream, in the order in which they first appear.",
    )
    classes_max: int = Field(
        default=1000,
        ge=2,
        le=100_000,
        description="Most classes learned from the stream; one more is rejected.",
    )
    time: str | None = Field(
        default=None, description="Field that holds the event time. Unset: the record's timestamp."
    )
    time_format: Literal["iso8601", "epoch_seconds", "epoch_milliseconds", "epoch_microseconds"] = Field(
        default="iso8601",
        description="How the event time is written. ISO 8601 without an offset is taken as UTC.",
    )
    id: str | None = Field(default=None, description="Field that holds the event's id (text or integer).")
    numeric: tuple[str, ...] = Field(default=(), description="Numeric features: numbers or booleans.")
    categorical: tuple[str, ...] = Field(
        default=(), description="Categorical features: text, integers or booleans."
    )
    missing: Literal["mean", "zero", "reject"] = Field(
        default="mean",
        description="A missing numeric feature becomes the running mean of the stream, or zero, or the "
        "event is rejected. A missing categorical is a category of its own (or rejected).",
    )
    categories_max: int = Field(
        default=100_000,
        ge=1,
        description="Most categories of one feature that models see; those that come later are one to them.",
    )
    message_bytes_max: int = Field(
        default=1024 * 1024, ge=2, le=1024**3, description="A longer message is rejected, in bytes."
    )

    @model_validator(mode="after")
    def _fields_have_one_role(self) -> Self:
        features = [*self.numeric, *self.categorical]
        for name in features:
            if features.count(name) > 1:
                raise ValueError(f"the feature {name!r} is named twice")
        # An id or a time may be a feature as well; a label never may.
        if self.label is not None and self.label in (self.id, self.time, *features):
            raise ValueError(
                f"the field {self.label!r} is named both as label and as something that predicts it"
            )
        if not self.numeric and not self.categorical:
            raise ValueError("name at least one feature: numeric = [...] or categorical = [...]")
        if self.classes is not None and len(set(map(repr, self.classes))) < 2:
            raise ValueError("classes needs at least two different values")
        return self


class Model(Section):
    name: Name = Field(description="Names the model in metrics, predictions and checkpoints.")


class RiverModel(Model):
    learner: Literal["river"] = Field(description="A model or pipeline of River.")
    pipeline: tuple[str | dict[str, Any], ...] = Field(
        min_length=1,
        description='Steps by import path below `river`: `"preprocessing.StandardScaler"` or '
        '`{ use = "linear_model.LogisticRegression", l2 = 1e-4 }`; an argument may be such a table again.',
    )
    engine: Literal["auto", "river", "compiled"] = Field(
        default="auto",
        description="What runs the pipeline: River itself, or kernels compiled from it with the same numbers "
        "(to 1e-9) at some fifty times the speed. `auto`: compiled where it can be "
        "(`streamlearn check` says why not).",
    )
    missing_indicator: bool = Field(
        default=False, description="Adds a 0/1 feature `<name>_missing` for each numeric feature."
    )


class TorchModel(Model):
    learner: Literal["torch"] = Field(description="A mini-batch network in PyTorch.")
    hidden: tuple[PositiveInt, ...] = Field(default=(128, 64), description="Width of each hidden layer.")
    batch_events: int = Field(default=512, ge=1, le=65_536, description="Events of one optimizer step.")
    optimizer: Literal["adam", "adamw", "sgd"] = Field(default="adam", description="Optimizer.")
    learning_rate: float = Field(default=1e-3, gt=0, le=10, description="Step size.")
    weight_decay: float = Field(default=0.0, ge=0, description="L2 penalty of the optimizer.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Share of hidden units dropped in training.")
    gradient_norm_max: float = Field(default=1.0, gt=0, description="Gradients are clipped to this norm.")
    embedding_buckets: int = Field(
        default=4096, ge=2, le=16_777_216, description="Hash buckets of each categorical feature."
    )
    embedding_width: int = Field(default=8, ge=1, le=1024, description="Width of each embedding.")
    missing_indicator: bool = Field(
        default=False, description="Adds a 0/1 input for each numeric feature that was missing."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="`auto`: cuda when there is one."
    )
    threads: int = Field(
        default=1, ge=1, le=256, description="CPU threads of torch; another number may change last bits."
    )


class PythonModel(Model):
    learner: Literal["python"] = Field(description="Your own factory.")
    factory: str = Field(
        pattern=IMPORT_PATH_PATTERN,
        description="`package.module:make`, called with `arguments`; returns an object with River's interface.",
    )
    arguments: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the factory.")
    admit: tuple[Annotated[str, Field(pattern=IMPORT_PATH_PATTERN)], ...] = Field(
        default=(),
        description="Classes, as `package.module:Class`, that a checkpoint of this model may hold beside "
        "River's and NumPy's. Not needed where the object has `snapshot()` and `restore(bytes)`.",
    )
    missing_indicator: bool = Field(
        default=False, description="Adds a 0/1 feature `<name>_missing` for each numeric feature."
    )


AnyModel = Annotated[RiverModel | TorchModel | PythonModel, Field(discriminator="learner")]


class PredictionsOut(Section):
    topic: str = Field(min_length=1, description="Topic to which predictions are written, as JSON.")
    delivery: Literal["exactly_once", "at_least_once"] = Field(
        default="at_least_once",
        description="`exactly_once`: predictions, dead letters and the group's offsets go out in Kafka "
        "transactions, and a `read_committed` reader sees each prediction once, whatever happens. "
        "`at_least_once`: repeats after a crash, each record with its source coordinates.",
    )
    commit_ms: int = Field(
        default=100,
        ge=1,
        le=60_000,
        description="`exactly_once` commits a transaction this often, in milliseconds: no reader sees a "
        "prediction before.",
    )
    transaction_timeout_seconds: float = Field(
        default=60.0,
        ge=1,
        le=900,
        description="After so long the broker aborts a transaction that was left open (brokers allow 15 "
        "minutes by default). A transaction spans `commit_ms` and one outage of the broker.",
    )

    @model_validator(mode="after")
    def _transactions_end_in_time(self) -> Self:
        if self.transaction_timeout_seconds * 1000 < 10 * self.commit_ms:
            raise ValueError(
                f"transaction_timeout_seconds = {self.transaction_timeout_seconds:g} must be at least ten times "
                f"commit_ms = {self.commit_ms}, or the broker aborts transactions that are at work"
            )
        return self


class DeadLetters(Section):
    topic: str | None = Field(default=None, description="Topic that keeps rejected bytes.")
    path: str = Field(
        default="dead-letters.jsonl", description="Local file that keeps rejected bytes when no topic is set."
    )


class Evaluate(Section):
    window_events: int = Field(
        default=10_000, ge=10, le=10_000_000, description="Events of the sliding window of every metric."
    )


class Drift(Section):
    detectors: tuple[Literal["adwin", "page_hinkley"], ...] = Field(
        default=("adwin", "page_hinkley"), description="Detectors that watch each model's error."
    )
    adwin_delta: float = Field(default=0.002, gt=0, lt=1, description="ADWIN's confidence parameter.")
    page_hinkley_delta: float = Field(default=0.005, ge=0, description="Page-Hinkley's tolerated change.")
    page_hinkley_threshold: float = Field(
        default=50.0, gt=0, description="Page-Hinkley's threshold (lambda)."
    )


class Checkpoint(Section):
    path: str = Field(
        default="checkpoints",
        min_length=1,
        description="Folder, or an fsspec URL (`s3://bucket/folder`).",
    )
    every_seconds: float = Field(default=30.0, gt=0, description="A checkpoint at least this often.")
    every_events: int | None = Field(default=None, ge=1, description="And after this many events.")
    keep: int = Field(default=5, ge=2, le=1000, description="Checkpoints kept for each shard.")


class Http(Section):
    enabled: bool = Field(default=True, description="Serve /metrics, /healthz, /readyz and the live page.")
    host: str = Field(default="127.0.0.1", description="Address to bind to; loopback by default.")
    port: int = Field(default=9464, ge=0, le=65_535, description="Port; 0 takes a free one.")


class Config(Section):
    """The whole config of one stream."""

    stream: Stream
    source: Source
    event: Event
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
        if self.stream.task != "anomaly" and self.event.label is None:
            raise ValueError(f"event.label is needed for task {self.stream.task!r}")
        if self.stream.task == "binary" and self.event.classes and len(self.event.classes) != 2:
            raise ValueError("task 'binary' has exactly two event.classes")
        if self.stream.task in ("regression", "anomaly") and self.event.classes:
            raise ValueError(f"event.classes means nothing for task {self.stream.task!r}")
        if self.predictions is not None and self.predictions.delivery == "exactly_once":
            self._transactions_fit(self.predictions)
        if self.stream.task == "anomaly" and any(model.learner == "torch" for model in self.models):
            raise ValueError("the torch learner has no anomaly task; use a River anomaly detector")
        return self

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
    def exactly_once(self) -> bool:
        """Whether predictions leave in transactions."""
        return self.predictions is not None and self.predictions.delivery == "exactly_once"

    @property
    def keeps_journal(self) -> bool:
        """Whether the order of a live read is written down, in the transactions that predictions leave in."""
        return self.exactly_once and self.stream.scope == "stream"

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics of the source, sorted: what the ``topic`` column of a batch indexes."""
        if self.source.kafka is not None:
            return self.source.kafka.topics
        assert self.source.files is not None
        return (self.source.files.topic,)
