"""What ``streamlearn check --connect`` asks of a cluster: broker, topics, permissions, some messages.

Trouble is a finding with a remedy, not an exception, so that one run shows all of it. Nothing is
written, no group is joined (`reads_are_pure`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

import pyarrow as pa
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient  # type: ignore[attr-defined]

from streamlearn.config import KafkaSource
from streamlearn.connectors.kafka_errors import error_of, opened, source_error
from streamlearn.connectors.kafka_questions import cluster_id_of
from streamlearn.connectors.kafka_reader import KafkaReader
from streamlearn.connectors.kafka_settings import client_settings, member_settings, producer_settings
from streamlearn.connectors.raw import EMPTY_BATCH
from streamlearn.errors import ConfigError, SourceError
from streamlearn.events import TopicPartition

SAMPLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``remedy`` is empty where all is well."""

    what: str
    ok: bool
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class KafkaFindings:
    """All that was found, and some of the newest messages of each topic, as raw batches."""

    findings: tuple[Finding, ...]
    samples: dict[str, pa.RecordBatch] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether everything is as the daemon needs it."""
        return all(finding.ok for finding in self.findings)


def check_kafka(
    source: KafkaSource,
    *,
    predictions_topic: str | None = None,
    dead_letters_topic: str | None = None,
    paired_topics: Sequence[str] = (),
    sample_events: int = 100,
    timeout_seconds: float = 10.0,
) -> KafkaFindings:
    """Ask the cluster whether the daemon could run.

    Parameters
    ----------
    source
        The config section.
    predictions_topic, dead_letters_topic
        Topics that the daemon would write to; None: it would not.
    paired_topics
        Topics of the source whose partitions belong together by number, so that they must have as many.
    sample_events
        How many of the newest messages of each topic to bring, at most.
    timeout_seconds
        For each question.

    Returns
    -------
    The findings in the order in which they were made; where no broker answers, only that one.
    ``topic`` in a sample is an index into the sorted topics of ``source``.
    """
    try:
        member_settings(source)
        producer_settings(source.bootstrap_servers, source.plain_properties())
        said: list[str] = []
        admin = opened(
            AdminClient,
            client_settings(source.bootstrap_servers, source.plain_properties()),
            error_cb=lambda error: said.append(error.str()),
        )
        reader = KafkaReader(source, timeout_seconds=timeout_seconds, way="consume")
    except ConfigError as error:
        return KafkaFindings((_trouble("client settings", error),))
    try:
        cluster_id = cluster_id_of(admin, timeout_seconds)
    except SourceError as error:
        reader.close()
        admin.poll(0)  # brings what librdkafka says of its connections, such as a refused certificate
        detail = "; ".join([error.what, *dict.fromkeys(said)])
        return KafkaFindings((Finding(f"broker {source.bootstrap_servers}", False, detail, error.remedy),))
    findings = [Finding(f"broker {source.bootstrap_servers}", True, f"answers; cluster {cluster_id}")]
    samples: dict[str, pa.RecordBatch] = {}
    try:
        for topic in source.topics:
            findings += _check_topic(admin, topic, AclOperation.READ, timeout_seconds)
            if findings[-1].ok:
                finding, samples[topic] = _sample(reader, topic, sample_events)
                findings.append(finding)
        if paired_topics and all(topic in samples for topic in paired_topics):
            findings.append(_check_pairs(reader, paired_topics))
        for topic in filter(None, (predictions_topic, dead_letters_topic)):
            findings += _check_topic(admin, topic, AclOperation.WRITE, timeout_seconds)
        findings.append(_check_group(admin, source.group_id, timeout_seconds))
    finally:
        reader.close()
    return KafkaFindings(tuple(findings), samples)


def _check_topic(
    admin: AdminClient, topic: str, operation: AclOperation, timeout_seconds: float
) -> Iterator[Finding]:
    what = f"topic {topic}"
    asked = admin.describe_topics(
        TopicCollection([topic]), include_authorized_operations=True, request_timeout=timeout_seconds
    )
    try:
        described = asked[topic].result()
    except KafkaException as exception:
        yield _trouble(what, source_error(error_of(exception), f"asking for the topic {topic!r}"))
        return
    count = len(described.partitions)
    leaderless = [p.id for p in described.partitions if p.leader is None or p.leader.id < 0]
    if leaderless:
        yield Finding(
            what, False, f"{count} partitions; no leader for {leaderless}", "see why a broker is down"
        )
    else:
        yield Finding(what, True, f"{count} partition{'s' if count != 1 else ''}")
    yield _permission(
        f"permission to {operation.name.lower()} {topic}", operation, described.authorized_operations
    )


def _check_pairs(reader: KafkaReader, topics: Sequence[str]) -> Finding:
    what = f"partitions of {' and '.join(topics)}"
    try:
        partitions = reader.partitions()
    except SourceError as error:
        return _trouble(what, error)
    counts = [sum(partition.topic == topic for partition in partitions) for topic in topics]
    if len(set(counts)) == 1:
        return Finding(what, True, f"{counts[0]} of each")
    return Finding(
        what,
        False,
        f"{' and '.join(map(str, counts))}: partition 3 of one belongs to partition 3 of the other",
        'create them with as many partitions and produce both with the same key, or set stream.scope = "stream"',
    )


def _check_group(admin: AdminClient, group_id: str, timeout_seconds: float) -> Finding:
    what = f"permission to read with group {group_id}"
    asked = admin.describe_consumer_groups(
        [group_id], include_authorized_operations=True, request_timeout=timeout_seconds
    )
    try:
        described = asked[group_id].result()
    except KafkaException as exception:
        if error_of(exception).code() == KafkaError.GROUP_ID_NOT_FOUND:
            return Finding(what, True, "the group is new, and may be asked for")
        return _trouble(what, source_error(error_of(exception), f"asking for the group {group_id!r}"))
    return _permission(what, AclOperation.READ, described.authorized_operations)


def _permission(what: str, operation: AclOperation, allowed: Sequence[Enum] | None) -> Finding:
    if not allowed:
        return Finding(what, True, "the broker does not say; nothing speaks against it")
    if operation in allowed or AclOperation.ALL in allowed:
        return Finding(what, True, "given")
    names = ", ".join(sorted(each.name.lower() for each in allowed))
    return Finding(
        what, False, f"not given; only {names}", f"add an ACL that allows {operation.name.lower()}"
    )


def sample_topic(source: KafkaSource, events: int, timeout_seconds: float = 10.0) -> pa.RecordBatch:
    """Return some of the newest messages of the source's topics, at most so many. Raises SourceError."""
    reader = KafkaReader(source, timeout_seconds=timeout_seconds, way="consume")
    try:
        batches = [_newest(reader, topic, events)[1] for topic in source.topics]
    finally:
        reader.close()
    return pa.concat_batches(batches).slice(0, events)


def _sample(reader: KafkaReader, topic: str, events: int) -> tuple[Finding, pa.RecordBatch]:
    what = f"messages in {topic}"
    try:
        stored, sample = _newest(reader, topic, events)
    except SourceError as error:
        return _trouble(what, error), EMPTY_BATCH
    detail = f"up to {stored} offsets stored; read {sample.num_rows} of the newest"
    return Finding(what, True, detail), sample


def _newest(reader: KafkaReader, topic: str, events: int) -> tuple[int, pa.RecordBatch]:
    """Bring the newest messages of a topic, the same share of each partition; and say how many are stored."""
    ends = {p: reader.watermarks(p) for p in reader.partitions() if p.topic == topic}
    share = -(-events // max(1, len(ends)))
    reader.assign({p: max(marks.low, marks.high - share) for p, marks in ends.items()})
    left: set[TopicPartition] = {p for p, marks in ends.items() if marks.low < marks.high}
    deadline = time.monotonic() + SAMPLE_SECONDS
    batches = [reader.poll(events, 0.0).batch]
    while left and time.monotonic() < deadline:
        polled = reader.poll(events, 0.1)
        batches.append(polled.batch)
        left -= polled.caught_up
    stored = sum(marks.high - marks.low for marks in ends.values())
    return stored, pa.concat_batches(batches).slice(0, events)


def _trouble(what: str, error: SourceError | ConfigError) -> Finding:
    return Finding(what, False, error.what, error.remedy)
