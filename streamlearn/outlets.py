"""From config to what leaves the daemon: predictions, dead letters, the order journal. A part of ``assemble``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamlearn.belt.parts import Offsets
from streamlearn.belt.sending import SharedOutbox
from streamlearn.config import Config
from streamlearn.contracts import DeadLetterSink, Membership, PredictionSink
from streamlearn.emission import Outbox
from streamlearn.errors import ConfigError
from streamlearn.events import TopicPartition

JOURNAL_SECONDS = 10.0  # for reading the journal's end; a shard is taken up after it, or tried again


@dataclass(frozen=True, slots=True)
class Outlets:
    """What the belt needs to let things out."""

    open_outbox: Callable[[str, Sequence[TopicPartition]], Outbox]
    read_cuts: Callable[[str, Offsets], Sequence[Offsets]]
    close: tuple[Callable[[], None], ...]


def make_outlets(
    config: Config, membership: Membership, give_up: Callable[[], bool], tell: Callable[[str], None]
) -> Outlets:
    """Return the ways out that a config names; ``tell`` is told what becomes of transactions. Raises ConfigError."""
    if config.exactly_once:
        return _transactions(config, membership, give_up, tell)
    predictions, letters = _predictions(config, give_up), _dead_letters(config, give_up)
    return Outlets(
        open_outbox=lambda _shard, _partitions: SharedOutbox(predictions, letters),
        read_cuts=lambda _shard, _after: (),
        close=(letters.close, *([predictions.close] if predictions else [])),
    )


def make_journal(config: Config) -> Callable[[str, Offsets], Sequence[Offsets]]:
    """Return what reads a shard's cuts behind some offsets; none where the config keeps no journal."""
    kafka = config.source.kafka
    if kafka is None or not config.keeps_journal:
        return lambda _shard, _after: ()
    from streamlearn.connectors.kafka_journal import journal_topic, read_cuts
    from streamlearn.connectors.kafka_outbox_settings import transactional_id

    stream = config.stream.name
    topic = journal_topic(stream)

    def cuts_of(shard: str, after: Offsets) -> Sequence[Offsets]:
        return read_cuts(kafka, topic, transactional_id(kafka, stream, shard), after, JOURNAL_SECONDS)

    return cuts_of


def _transactions(
    config: Config, membership: Membership, give_up: Callable[[], bool], tell: Callable[[str], None]
) -> Outlets:
    from streamlearn.connectors.kafka_journal import journal_topic
    from streamlearn.connectors.kafka_member import KafkaMember
    from streamlearn.connectors.kafka_outbox_settings import OutboxSettings
    from streamlearn.connectors.kafka_outboxes import make_outbox

    kafka, predictions = config.source.kafka, config.predictions
    if kafka is None:
        raise ConfigError(
            "[predictions] writes to Kafka, and the source is local files",
            remedy="read from [source.kafka], or leave [predictions] out",
        )
    assert predictions is not None
    assert isinstance(membership, KafkaMember), "the config refuses other clients"
    in_file = _dead_letters(config, give_up) if config.dead_letters.topic is None else None
    settings = OutboxSettings(
        kafka,
        config.stream.name,
        predictions.topic,
        config.dead_letters.topic,
        journal_topic(config.stream.name) if config.keeps_journal else None,
        commit_seconds=predictions.commit_ms / 1000,
        transaction_timeout_seconds=predictions.transaction_timeout_seconds,
    )
    return Outlets(
        open_outbox=lambda shard, partitions: make_outbox(
            settings,
            shard,
            partitions,
            membership.group_metadata,
            dead_letters=in_file,
            give_up=give_up,
            tell=tell,
        ),
        read_cuts=make_journal(config),
        close=() if in_file is None else (in_file.close,),
    )


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
