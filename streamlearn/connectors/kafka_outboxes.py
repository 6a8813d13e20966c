"""From settings to the outbox of one shard: its transactional id, its producer, its question to the group.

The transactional id is made of group, stream and shard, so whoever takes the shard up, on whichever worker,
fences the one before (the sending half of `learned_once`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka.admin import AdminClient

from streamlearn.connectors.kafka_errors import opened
from streamlearn.connectors.kafka_group_offsets import committed_offsets
from streamlearn.connectors.kafka_outbox import KafkaOutbox
from streamlearn.connectors.kafka_outbox_settings import OutboxSettings, transactional_id
from streamlearn.connectors.kafka_producers import DeliveryReport, KafkaProducer, open_producer
from streamlearn.connectors.kafka_settings import client_settings, transactional_settings
from streamlearn.connectors.kafka_sinks import never
from streamlearn.connectors.kafka_transactions import Transactions
from streamlearn.contracts import DeadLetterSink
from streamlearn.events import TopicPartition

# To be fenced is news to librdkafka, and part of a take-over here: its lines would go to stderr, past the
# daemon's log, while the error itself reaches us as a value.
_quiet = logging.getLogger("streamlearn.librdkafka")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


def make_outbox(
    settings: OutboxSettings,
    shard: str,
    partitions: Sequence[TopicPartition],
    group_metadata: Callable[[], Any | None],
    *,
    dead_letters: DeadLetterSink | None = None,
    give_up: Callable[[], bool] = never,
    tell: Callable[[str], None] = lambda happened: None,
) -> KafkaOutbox:
    """Return the outbox of a shard, not opened. No broker is needed.

    Parameters
    ----------
    partitions
        Those of the shard: of these, ``open`` returns what was committed.
    group_metadata
        ``KafkaMember.group_metadata``.
    tell
        See ``Transactions``.

    The others as for ``KafkaOutbox``.
    """
    source = settings.source
    name = transactional_id(source, settings.stream, shard)
    servers, properties = source.bootstrap_servers, source.plain_properties()

    def connect(on_delivery: DeliveryReport) -> KafkaProducer:
        seconds = settings.transaction_timeout_seconds
        producer_settings = transactional_settings(servers, properties, name, seconds)
        return open_producer(producer_settings, on_delivery, logger=_quiet)

    def read_offsets(asked: Sequence[TopicPartition], timeout_seconds: float) -> dict[TopicPartition, int]:
        # A handle for one question: it is asked once a take-over.
        admin = opened(AdminClient, client_settings(servers, properties))
        return committed_offsets(admin, source.group_id, asked, timeout_seconds)

    transactions = Transactions(name, connect, read_offsets, group_metadata, tell)
    return KafkaOutbox(settings, shard, partitions, transactions, dead_letters=dead_letters, give_up=give_up)
