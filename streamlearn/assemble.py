"""From config to belt: the only wiring. Everything that the config chooses is chosen here, once.

One ``match`` a choice. What is not chosen is not imported: torch, a Kafka client, the local files.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any, assert_never

from streamlearn.belt.bad_input import InputWatch
from streamlearn.belt.categories import CategoryBound
from streamlearn.belt.checkpointing import CheckpointWriter
from streamlearn.belt.classes import ClassIndex, token
from streamlearn.belt.decode import JsonDecoder
from streamlearn.belt.decode_arrow import ArrowDecoder
from streamlearn.belt.drift import DriftMonitor
from streamlearn.belt.evaluate import Evaluator, errors_of
from streamlearn.belt.features import FeatureBuilder
from streamlearn.belt.guard import GuardedShard
from streamlearn.belt.intake import Intake
from streamlearn.belt.labels.decoding import TopicDecoder, label_contract, settled_by_default
from streamlearn.belt.labels.guarded import SelfGuardedShard
from streamlearn.belt.labels.join import LabelJoin
from streamlearn.belt.labels.kept import KeptEvents
from streamlearn.belt.labels.layout import Layout
from streamlearn.belt.loop import Belt
from streamlearn.belt.monitors.watch import watch_of
from streamlearn.belt.parts import Parts
from streamlearn.belt.scores.scoreboard import Scoreboard
from streamlearn.belt.shard import Shard, ShardParts
from streamlearn.checkpoints.keeper import CheckpointKeeper
from streamlearn.checkpoints.segments import UnsavedSegments
from streamlearn.checkpoints.stores import open_store
from streamlearn.checkpoints.unpickle import loads
from streamlearn.config import AnyModel, Config, Labels, PythonModel, RiverModel, TorchModel
from streamlearn.config.signals import drift_signals
from streamlearn.contracts import Learner, Membership, Reader, Segments
from streamlearn.environment import Environment
from streamlearn.events import TopicPartition
from streamlearn.learners.baseline import baselines
from streamlearn.learners.undoing import check_takes_weights
from streamlearn.outlets import make_outlets
from streamlearn.telemetry import Telemetry
from streamlearn.warming import is_quick, warm_up

# How long a question to the broker may take. The belt waits for some of them, and stopping has ten seconds.
ANSWER_SECONDS = 3.0


def assemble(
    config: Config,
    telemetry: Telemetry,
    environment: Environment,
    *,
    until_end: bool,
    give_up: Callable[[], bool],
) -> Belt:
    """Return the belt of a config, ready to step. Opens what it names; reads nothing yet.

    ``give_up`` is asked by whoever waits for the broker: True while the daemon wants to end.

    Raises
    ------
    StreamlearnError
        Something that the config names cannot be had: each says which and what to do.
    """
    probe = shard_factory(config)(
        "probe", {}
    )  # a model that cannot be built is refused before anything is opened
    decoder = make_decoder(config)
    _tell_engines(config, probe, telemetry)
    # The group takes its time to let a worker in, and kernels to load: both at once. Where they have to be compiled
    # first, which takes a minute, the partitions are better off with those who have them.
    joins_first = is_quick()
    if not joins_first:
        warm_up(config, decoder, probe, telemetry)
    store = CheckpointKeeper(
        open_store(config.checkpoint.path, config.stream.name),
        keep=config.checkpoint.keep,
        key=environment.checkpoint_key,
        on_corrupt=telemetry.checkpoint_corrupt,
    )
    reader, identify = make_reader(config)
    _tell_way(reader, telemetry)
    membership = _membership(config, reader)
    if joins_first:
        warm_up(config, decoder, probe, telemetry)
    outlets = make_outlets(config, membership, give_up, telemetry.transaction_happened)
    parts = Parts(
        topics=config.topics,
        membership=membership,
        intake=Intake(
            reader,
            decoder,
            config.source.chosen.poll_events,
            config.source.chosen.buffer_bytes_max,
        ),
        identify=lambda _reader: identify(),
        new_shard=shard_factory(config, store.segments, _sealing(config)),
        store=store,
        writer=CheckpointWriter(store),
        open_outbox=outlets.open_outbox,
        close_outlets=outlets.close,
        telemetry=telemetry,
        check_config=probe.check_config,
        predicts=None if config.predictions is None else config.predictions.format,
        outbox_commits=config.exactly_once,
        read_cuts=outlets.read_cuts,
        give_up=give_up,
    )
    return Belt(config, parts, until_end=until_end)


def _sealing(config: Config) -> Executor | None:
    """Return where segments are written; it ends with the belt."""
    return None if config.labels is None else ThreadPoolExecutor(1, thread_name_prefix="segments")


def make_decoder(config: Config) -> JsonDecoder | ArrowDecoder | TopicDecoder:
    """Return what decodes the events of a config, and its labels where they have a topic of their own."""
    task = config.stream.task
    match config.event.format:
        case "arrow":
            return ArrowDecoder(config.event, task)  # the config refuses [labels] beside it
        case "json":
            decoder = JsonDecoder(config.event, task)
            if config.labels is None:
                return decoder
            labels = JsonDecoder(label_contract(config.event, config.labels), task)
            return TopicDecoder(decoder, labels, config.topics.index(config.labels.topic))
        case _:
            assert_never(config.event.format)


def shard_factory(
    config: Config,
    segments: Callable[[str], Segments] = lambda _shard: UnsavedSegments(),
    background: Executor | None = None,
) -> Callable[[str, Mapping[TopicPartition, int]], Shard]:
    """Return what makes a new shard of this config, given its name and where its partitions begin.

    ``segments`` keeps what waits for its labels, by default for as long as the process lives; ``background`` is
    where they are written, by default the shard's own thread.
    """
    learned_under = learning_config(config)

    def new_shard(name: str, next_offsets: Mapping[TopicPartition, int]) -> Shard:
        task = config.stream.task
        models = [make_learner(model, config) for model in config.models]
        trivial = baselines(task)
        learners = [*models, *trivial]
        classes, join = ClassIndex(config.event, task), None
        make: Callable[..., Shard] = GuardedShard
        if config.labels is not None:
            classes, join = _join(config, config.labels, len(learners), segments(name), background)
            make = partial(SelfGuardedShard, label_topic=config.labels.topic)
        parts = ShardParts(
            classes=classes,
            features=FeatureBuilder(config.event),
            learners=learners,
            judges={each.name: make_judge(config) for each in learners},
            monitors={
                each.name: DriftMonitor(config.drift, len(drift_signals(config)), config.drift.window_events)
                for each in models
            },
            scores=Scoreboard(
                task, [each.name for each in models], [each.name for each in trivial], config.evaluate
            ),
            errors_of=errors_of,
            categories=CategoryBound(config.event.categorical, config.event.categories_max),
            inputs=InputWatch(config.stream.rejected_ratio_max),
            watch=watch_of(config),
            labels=join,
        )
        return make(
            name,
            config.stream.name,
            task,
            config.topics,
            parts,
            learned_under,
            next_offsets,
            on_learner_error=config.stream.on_learner_error,
        )

    return new_shard


def make_judge(config: Config) -> Evaluator:
    """Return the metrics of one learner, of no events yet."""
    return Evaluator(config.stream.task, config.evaluate.window_events, config.evaluate.fading_factor)


def _join(
    config: Config, labels: Labels, learners: int, segments: Segments, background: Executor | None
) -> tuple[ClassIndex, LabelJoin]:
    """Return the join of a new shard, and its classes, which know the label that an expired event gets."""
    task, event, default = config.stream.task, config.event, labels.default_label
    classes = ClassIndex(settled_by_default(event, task, labels), task)
    default_label = None
    if default is not None:
        default_label = float(default if task == "regression" else classes.encode([token(default)])[0])
    layout = Layout(len(event.numeric), len(event.categorical), learners, task == "regression")
    return classes, LabelJoin(labels, default_label, KeptEvents(layout, segments, background=background))


def make_learner(model: AnyModel, config: Config) -> Learner:
    """Return a learner that has learned nothing. Raises ConfigError, LearnerError."""
    learner = _make(model, config)
    if config.labels is not None and config.labels.on_late_label == "correct":
        check_takes_weights(learner)
    return learner


def _make(model: AnyModel, config: Config) -> Learner:
    task, seed = config.stream.task, config.stream.seed
    match model:
        case RiverModel():
            from streamlearn.engines import make_river, stream_of

            return make_river(model, stream_of(config))
        case TorchModel():
            from streamlearn.learners.torch_network import TorchLearner

            return TorchLearner(model, task, config.event.numeric, config.event.categorical, seed)
        case PythonModel():
            from streamlearn.learners.python_model import make_python

            return make_python(model, task, loads)
        case _:
            assert_never(model)


def learning_config(config: Config) -> dict[str, Any]:
    """Return the part of a config on which learned state depends, as JSON types.

    Where events come from, how they are batched and what leaves the daemon is no part of it, nor are
    limits that a running stream may raise.
    """
    tree = config.model_dump(mode="json")
    event = {
        k: v
        for k, v in tree["event"].items()
        if k
        not in (
            "message_bytes_max",
            "message_events_max",
            "unfolded_bytes_max",
            "classes_max",
            "categories_max",
        )
    }
    not_learned = ("engine", "device", "precision", "threads")
    labels = {
        k: v for k, v in (tree["labels"] or {}).items() if k not in ("topic", "paths", "pending_bytes_max")
    }
    return {
        **({"labels": labels} if labels else {}),
        "stream": {k: tree["stream"][k] for k in ("name", "task", "scope", "seed")},
        "event": event,
        "models": [{k: v for k, v in model.items() if k not in not_learned} for model in tree["models"]],
        "evaluate": {
            k: v for k, v in tree["evaluate"].items() if k not in ("slice_values_max", "verdict_error")
        },
        "drift": tree["drift"],
    }


def make_reader(config: Config) -> tuple[Reader, Callable[[], Mapping[str, Any]]]:
    """Return a reader of the source, and what tells the source from another one. No broker is needed yet."""
    if config.source.files is not None:
        from streamlearn.connectors.files import FilesReader

        labels = None if config.labels is None else (config.labels.topic, config.labels.paths)
        files = FilesReader(config.source.files, labels)
        return files, files.identity
    kafka = config.source.kafka
    assert kafka is not None
    kafka = kafka.model_copy(update={"topics": config.topics})  # the group has those of the events alone
    match kafka.client:
        case "confluent-kafka":
            from streamlearn.connectors.kafka_reader import KafkaReader

            reader = KafkaReader(kafka, timeout_seconds=ANSWER_SECONDS)
            return reader, reader.identity
        case "kafka-python":
            from streamlearn.connectors.kafka_python import KafkaPythonReader

            other = KafkaPythonReader(kafka, timeout_seconds=ANSWER_SECONDS)
            return other, other.identity
        case _:
            assert_never(kafka.client)


def _tell_engines(config: Config, probe: Shard, telemetry: Telemetry) -> None:
    engines = {learner.name: learner.engine for learner in probe.parts.learners}
    for model in config.models:
        why = None
        if isinstance(model, RiverModel) and engines[model.name] == "river":
            from streamlearn.engines import stream_of, why_not_compiled

            why = why_not_compiled(model, stream_of(config))
        telemetry.model_ready(model.name, engines[model.name], why)


def _tell_way(reader: Reader, telemetry: Telemetry) -> None:
    if "confluent_kafka" in sys.modules:  # else nothing that could have made such a reader was loaded
        from streamlearn.connectors.kafka_reader import KafkaReader

        if isinstance(reader, KafkaReader):
            telemetry.reading_by(reader.way, reader.way_why)


def _membership(config: Config, reader: Reader) -> Membership:
    """Join the group; with local files this worker has everything."""
    kafka = config.source.kafka
    if kafka is None:
        from streamlearn.connectors.files import FilesMembership

        return FilesMembership(reader.partitions())
    match kafka.client:
        case "confluent-kafka":
            from streamlearn.connectors.kafka_member import KafkaMember

            return KafkaMember(kafka)
        case "kafka-python":
            from streamlearn.connectors.kafka_python import KafkaPythonMember

            return KafkaPythonMember(kafka)
        case _:
            assert_never(kafka.client)
