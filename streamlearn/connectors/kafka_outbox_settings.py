"""What the outboxes of a worker have in common, and the id by which those of one shard fence each other."""

from __future__ import annotations

from dataclasses import dataclass

from streamlearn.config import KafkaSource


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """What the outboxes of a worker have in common.

    Parameters
    ----------
    source
        The config section: where the cluster is, and the group whose offsets ride along.
    stream
        The stream's name, for transactional ids and headers.
    predictions_topic
        Takes predictions; None where there are none.
    dead_letters_topic
        Takes rejected events; None where a ``DeadLetterSink`` does.
    journal_topic
        Takes the cuts; None where there are none (partition scope). Made with one partition if missing.
    commit_seconds
        How long what was sent waits for more before it is committed.
    transaction_timeout_seconds
        After so long the broker aborts what a dead worker left open, if nobody took its shard over.
    buffer_bytes_max
        What one shard keeps that is not committed; beyond it ``send`` waits.
    transaction_records_max
        A transaction takes no further emission beyond so many records.
    """

    source: KafkaSource
    stream: str
    predictions_topic: str | None
    dead_letters_topic: str | None
    journal_topic: str | None
    commit_seconds: float = 0.1
    transaction_timeout_seconds: float = 60.0
    buffer_bytes_max: int = 16 * 1024 * 1024
    transaction_records_max: int = 50_000


def transactional_id(source: KafkaSource, stream: str, shard: str) -> str:
    """Return the id by which a shard's producers fence each other.

    >>> source = KafkaSource(bootstrap_servers="b:1", topics=("t",), group_id="learner")
    >>> transactional_id(source, "flights", "t[3]")
    'learner.flights.t[3]'
    """
    return f"{source.group_id}.{stream}.{shard}"
