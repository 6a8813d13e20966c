"""From config to belt: the only wiring. Everything that the config chooses is chosen here, once.

One ``match`` a choice. What is not chosen is not imported: torch, a Kafka client, the local files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, assert_never

from streamlearn.belt.checkpointing import CheckpointWriter
from streamlearn.belt.classes import ClassIndex
from streamlearn.belt.decode import JsonDecoder
from streamlearn.belt.drift import DriftMonitor
from streamlearn.belt.evaluate import Evaluator, errors_of
from streamlearn.belt.features import FeatureBuilder
from streamlearn.belt.intake import Intake
from streamlearn.belt.loop import Belt
from streamlearn.belt.parts import Parts
from streamlearn.belt.shard import Shard, ShardParts
from streamlearn.checkpoints.keeper import CheckpointKeeper
from streamlearn.checkpoints.stores import open_store
from streamlearn.checkpoints.unpickle import loads
from streamlearn.config import AnyModel, Config, PythonModel, RiverModel, TorchModel
from streamlearn.contracts import DeadLetterSink, Learner, Membership, PredictionSink, Reader
from streamlearn.environment import Environment
from streamlearn.errors import ConfigError
from streamlearn.events import TopicPartition
from streamlearn.learners.baseline import baselines
from streamlearn.telemetry import Telemetry

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
    new_shard = shard_factory(config)
    new_shard("probe", {})  # a model that cannot be built is refused before anything is opened
    store = CheckpointKeeper(
        open_store(config.checkpoint.path, config.stream.name),
        keep=config.checkpoint.keep,
        key=environment.checkpoint_key,
        on_corrupt=telemetry.checkpoint_corrupt,
    )
    predictions, dead_letters = _predictions(config, give_up), _dead_letters(config, give_up)
    membership, reader, identify = _source(config)
    parts = Parts(
        topics=config.topics,
        membership=membership,
        intake=Intake(
            reader,
            JsonDecoder(config.event, config.stream.task),
            config.source.chosen.poll_events,
            config.source.chosen.buffer_bytes_max,
        ),
        identify=lambda _reader: identify(),
        new_shard=new_shard,
        store=store,
        writer=CheckpointWriter(store, [dead_letters, *([predictions] if predictions else [])]),
        predictions=predictions,
        dead_letters=dead_letters,
        telemetry=telemetry,
        give_up=give_up,
    )
    return Belt(config, parts, until_end=until_end)


def shard_factory(config: Config) -> Callable[[str, Mapping[TopicPartition, int]], Shard]:
    """Return what makes a new shard of this config, given its name and where its partitions begin."""
    learned_under = learning_config(config)

    def new_shard(name: str, next_offsets: Mapping[TopicPartition, int]) -> Shard:
        task = config.stream.task
        models = [make_learner(model, config) for model in config.models]
        learners = [*models, *baselines(task)]
        parts = ShardParts(
            classes=ClassIndex(config.event, task),
            features=FeatureBuilder(config.event),
            learners=learners,
            judges={each.name: Evaluator(task, config.evaluate.window_events) for each in learners},
            monitors={each.name: DriftMonitor(config.drift) for each in models},
            errors_of=errors_of,
        )
        return Shard(name, config.stream.name, task, config.topics, parts, learned_under, next_offsets)

    return new_shard


def make_learner(model: AnyModel, config: Config) -> Learner:
    """Return a learner that has learned nothing. Raises ConfigError, LearnerError."""
    task, seed = config.stream.task, config.stream.seed
    match model:
        case RiverModel():
            from streamlearn.learners.river_build import build
            from streamlearn.learners.river_model import RiverLearner

            return RiverLearner(
                model.name,
                build(model.pipeline, seed),
                task,
                missing_indicator=model.missing_indicator,
                loads=loads,
            )
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
    event = {k: v for k, v in tree["event"].items() if k not in ("message_bytes_max", "classes_max")}
    not_learned = ("engine", "device", "threads")
    return {
        "stream": {k: tree["stream"][k] for k in ("name", "task", "scope", "seed")},
        "event": event,
        "models": [{k: v for k, v in model.items() if k not in not_learned} for model in tree["models"]],
        "evaluate": tree["evaluate"],
        "drift": tree["drift"],
    }


def _source(config: Config) -> tuple[Membership, Reader, Callable[[], Mapping[str, Any]]]:
    """Return membership and reader of the source, and what tells the source from another one."""
    if config.source.files is not None:
        from streamlearn.connectors.files import FilesMembership, FilesReader

        files = FilesReader(config.source.files)
        return FilesMembership(files.partitions()), files, files.identity
    kafka = config.source.kafka
    assert kafka is not None
    match kafka.client:
        case "confluent-kafka":
            from streamlearn.connectors.kafka_member import KafkaMember
            from streamlearn.connectors.kafka_reader import KafkaReader

            reader = KafkaReader(kafka, timeout_seconds=ANSWER_SECONDS)
            return KafkaMember(kafka), reader, reader.identity
        case "kafka-python":
            from streamlearn.connectors.kafka_python import KafkaPythonMember, KafkaPythonReader

            other = KafkaPythonReader(kafka, timeout_seconds=ANSWER_SECONDS)
            return KafkaPythonMember(kafka), other, other.identity
        case _:
            assert_never(kafka.client)


def _predictions(config: Config, give_up: Callable[[], bool]) -> PredictionSink | None:
    kafka = config.source.kafka
    if config.predictions is None:
        return None
    if kafka is None:
        raise ConfigError(
            "[predictions] writes to Kafka, and the source is local files",
            remedy="read from [source.kafka], or leave [predictions] out",
        )
    from streamlearn.connectors.kafka_sinks import KafkaOutlet, KafkaPredictions

    topic = config.predictions.topic
    return KafkaPredictions(
        KafkaOutlet(kafka.bootstrap_servers, kafka.plain_properties(), topic, give_up=give_up)
    )


def _dead_letters(config: Config, give_up: Callable[[], bool]) -> DeadLetterSink:
    kafka, topic = config.source.kafka, config.dead_letters.topic
    if kafka is None or topic is None:
        from streamlearn.connectors.dead_letter_file import DeadLetterFile

        return DeadLetterFile(Path(config.dead_letters.path), config.stream.name)
    from streamlearn.connectors.kafka_sinks import KafkaDeadLetters, KafkaOutlet

    outlet = KafkaOutlet(kafka.bootstrap_servers, kafka.plain_properties(), topic, give_up=give_up)
    return KafkaDeadLetters(outlet, config.stream.name)
