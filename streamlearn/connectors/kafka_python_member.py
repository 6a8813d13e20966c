"""The member on kafka-python: a thread that polls a subscribed and paused consumer, as kafka_member.py's.

kafka-python calls back on its network thread, where waiting stops the heartbeats too: a revoke waits for
the belt no longer than half a session. Upholds `publish_before_commit`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata
from kafka import TopicPartition as KafkaTopicPartition
from kafka.structs import MemberState

from streamlearn.config import KafkaSource
from streamlearn.connectors.kafka_python_errors import typed_errors
from streamlearn.connectors.kafka_python_settings import member_arguments, open_consumer
from streamlearn.connectors.notices import NoticedMember
from streamlearn.contracts import Assigned, Lost, Revoked
from streamlearn.errors import BrokerUnavailable, ConfigError, SourceError, TopicMissing
from streamlearn.events import TopicPartition

POLL_SECONDS = 0.1
RETRY_SECONDS = 1.0
LEAVE_SECONDS = 5.0
PROBE_SECONDS = 2.0
SESSION_MS = 45_000
# A leader that joins anew since its metadata changed forgets why once it has dealt out partitions. If a poll has ended
# meanwhile, nobody takes the answer, and the group throws the member out in the end (kafka-python 3.0.12).
FORGOTTEN_SECONDS = 1.0


class KafkaPythonMember(NoticedMember):
    """Joins the group at once and stays in it until ``close``; all methods may be called from any thread.

    Parameters
    ----------
    source
        The config section; ``properties`` are named as librdkafka names them. KIP-848 is not offered.

    Raises
    ------
    ConfigError
        When a property means nothing to kafka-python. No broker is needed to make a member.
    """

    def __init__(self, source: KafkaSource) -> None:
        super().__init__()
        self._arguments = member_arguments(source)
        self._topics = list(source.topics)
        self._commits_unanswered = 0
        session_seconds = self._arguments.get("session_timeout_ms", SESSION_MS) / 1000
        self._revoke_budget_seconds = min(source.revoke_budget_seconds, session_seconds / 2)
        self._thread = threading.Thread(target=self._run, name="kafka-member", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Commit what is left, leave the group and end the thread; at most a few seconds. Idempotent."""
        self._notices.close()
        self._thread.join(2 * LEAVE_SECONDS)

    # --------------------------------------------------------------------- on kafka-python's thread

    def assigned(self, partitions: tuple[TopicPartition, ...]) -> None:
        """Note what the group gave. For the listener."""
        self._assignment_known = True
        self._notices.put(Assigned(partitions))

    def revoked(self, partitions: tuple[TopicPartition, ...]) -> None:
        """Note what the group wants back, and wait until the belt has let go. For the listener."""
        self._notices.put_and_wait(Revoked(partitions), self._revoke_budget_seconds)

    def lost(self, partitions: tuple[TopicPartition, ...]) -> None:
        """Note what is gone already. For the listener."""
        self._notices.put(Lost(partitions))

    # ------------------------------------------------------------------ on the member's own thread

    def _run(self) -> None:
        while not self._notices.closing:
            try:
                with typed_errors("being in the consumer group"):
                    consumer = open_consumer(self._arguments)
                    try:
                        self._be_member(consumer)
                    finally:
                        consumer.close(timeout_ms=int(LEAVE_SECONDS * 1000))
            except BrokerUnavailable:
                self._connected = False
                self._pass(RETRY_SECONDS)
            except (SourceError, ConfigError) as error:
                self._notices.fail(_as_source_error(error))
                self._pass(RETRY_SECONDS)
        self._connected = False

    def _be_member(self, consumer: KafkaConsumer) -> None:
        self._commits_unanswered = 0  # those of a consumer before this one are never answered
        # Before it joins: who leads the group deals out what its own metadata holds, and kafka-python looks again after
        # minutes. Without this, the partitions of a topic that it had not heard of yet were given to nobody.
        self._probe(consumer)
        consumer.subscribe(self._topics, listener=_Listener(self, consumer))
        rebalancing_since = time.monotonic()
        probe_at = rebalancing_since + PROBE_SECONDS
        while not self._notices.closing:
            consumer.poll(timeout_ms=int(POLL_SECONDS * 1000), max_records=1)
            self._commit_what_is_due(consumer)
            state, now = consumer.group_metadata().state, time.monotonic()
            if state != MemberState.REBALANCING:
                rebalancing_since = now
            elif now - rebalancing_since >= FORGOTTEN_SECONDS:
                # Also where others have yet to let go: then it asks for what it waits for already.
                consumer._coordinator.request_rejoin()
            if state == MemberState.STABLE and not self._assignment_known and not consumer.assignment():
                self.assigned(())  # kafka-python does not call back for an assignment of nothing
            if now >= probe_at:
                self._probe(consumer)
                probe_at = time.monotonic() + PROBE_SECONDS
        # Closing throws away what has not been sent yet, and during a rebalance the group refuses what is sent.
        deadline = time.monotonic() + LEAVE_SECONDS
        while self._connected and time.monotonic() < deadline:
            self._commit_what_is_due(consumer)
            if not self._commits_unanswered and not self._notices.commits_left:
                break
            consumer.poll(timeout_ms=int(POLL_SECONDS * 1000), max_records=1)

    def _probe(self, consumer: KafkaConsumer) -> None:
        """Ask something small, to know whether a broker answers. kafka-python does not tell otherwise."""
        topic = self._topics[0]
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            self._connected = False
            raise TopicMissing(
                f"the topic {topic!r} does not exist",
                remedy="create the topic, or correct its name in the config",
            )
        try:
            with typed_errors("asking whether a broker answers"):
                consumer.end_offsets(
                    [KafkaTopicPartition(topic, min(numbers))], timeout_ms=int(PROBE_SECONDS * 1000)
                )
            self._connected = True
        except BrokerUnavailable:
            self._connected = False

    def _commit_what_is_due(self, consumer: KafkaConsumer) -> None:
        due = self._notices.take_commits()
        if due:

            def on_answer(_offsets: object, answer: object) -> None:
                self._commits_unanswered -= 1
                if isinstance(answer, Exception):
                    self._notices.commit_refused(due)

            self._commits_unanswered += 1
            consumer.commit_async(
                {KafkaTopicPartition(*p): OffsetAndMetadata(offset, "", -1) for p, offset in due.items()},
                callback=on_answer,
            )

    def _pass(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._notices.closing and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Called on kafka-python's network thread; never raises, and only notes what happened."""

    def __init__(self, member: KafkaPythonMember, consumer: KafkaConsumer) -> None:
        self._member = member
        self._consumer = consumer

    def on_partitions_assigned(self, assigned: Collection[KafkaTopicPartition]) -> None:
        self._consumer.pause(*assigned)
        self._member.assigned(_ours(assigned))

    def on_partitions_revoked(self, revoked: Collection[KafkaTopicPartition]) -> None:
        if revoked:
            self._member.revoked(_ours(revoked))

    def on_partitions_lost(self, lost: Collection[KafkaTopicPartition]) -> None:
        if lost:
            self._member.lost(_ours(lost))


def _ours(partitions: Collection[KafkaTopicPartition]) -> tuple[TopicPartition, ...]:
    return tuple(sorted(TopicPartition(p.topic, p.partition) for p in partitions))


def _as_source_error(error: SourceError | ConfigError) -> SourceError:
    return error if isinstance(error, SourceError) else SourceError(error.what, remedy=error.remedy)
