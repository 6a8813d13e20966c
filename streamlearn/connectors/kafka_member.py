"""The member on confluent-kafka: this worker's place in the consumer group, on a thread of its own.

The thread polls, so a long learn step never costs the membership; callbacks run on it and only put
happenings on a queue. Every partition that the group gives is paused at its end: the reader reads, by
``assign()``. Upholds `publish_before_commit`: nothing is committed but what the belt says is durable.

    group  -> on_assign / on_revoke / on_lost -> happenings()   -> belt
    belt   -> commit(), released(), close()   -> this thread    -> group
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaTopicPartition
from confluent_kafka.admin import AdminClient

from streamlearn.config import KafkaSource
from streamlearn.connectors.kafka_errors import UNAVAILABLE, error_of, opened, source_error
from streamlearn.connectors.kafka_questions import members_at_rest
from streamlearn.connectors.kafka_settings import (
    REVOKE_MARGIN_SECONDS,
    client_settings,
    is_classic,
    is_cooperative,
    member_settings,
)
from streamlearn.connectors.kafka_unowned import UnownedWatch
from streamlearn.connectors.notices import NoticedMember
from streamlearn.contracts import Assigned, Lost, Revoked, Unowned
from streamlearn.events import TopicPartition

POLL_SECONDS = 0.1
# Leaving takes one round trip; without a broker there is nobody to tell, and the session runs out there.
LEAVE_SECONDS = 5.0
# Between two questions whether the group has nothing for this worker.
ASK_SECONDS = 1.0
# After these librdkafka joins anew by itself; what was held is told as `Lost`.
REJOINS = frozenset(
    {
        KafkaError._ASSIGNMENT_LOST,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.UNKNOWN_MEMBER_ID,
    }
)


class KafkaMember(NoticedMember):
    """Joins the group at once and stays in it until ``close``; all methods may be called from any thread.

    Parameters
    ----------
    source
        The config section. ``properties`` may choose the assignor, static membership
        (``group.instance.id``) or KIP-848 (``group.protocol = "consumer"``); cooperative-sticky otherwise.

    Raises
    ------
    ConfigError
        When a property is refused. No broker is needed to make a member: it joins when one answers.
    """

    def __init__(self, source: KafkaSource) -> None:
        super().__init__()
        settings = member_settings(source)
        self._source = source
        self._cooperative = is_cooperative(settings)
        self._revoke_budget_seconds = source.revoke_budget_seconds
        self._trouble: str | None = None
        self._ask_at = 0.0
        self._admin: AdminClient | None = None
        self._unowned: UnownedWatch | None = None
        self._group_metadata: Any | None = None
        properties = source.plain_properties()
        is_static = "group.instance.id" in properties and is_classic(properties) and self._cooperative
        if is_static or not is_classic(properties):
            self._admin = opened(AdminClient, client_settings(source.bootstrap_servers, properties))
        if is_static and self._admin is not None:
            self._unowned = UnownedWatch(
                self._admin,
                source.group_id,
                source.topics,
                patience_seconds=source.revoke_budget_seconds + REVOKE_MARGIN_SECONDS,
            )
        self._consumer = opened(
            Consumer,
            settings,
            error_cb=self._on_error,
            stats_cb=self._on_statistics,
            on_commit=self._on_commit,
        )
        self._thread = threading.Thread(target=self._run, name="kafka-member", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str | None:
        """What the client last said about its connections; None while the coordinator answers."""
        return None if self._connected else self._trouble

    def group_metadata(self) -> Any | None:
        """Return what proves to the group, within a transaction, that this worker is its member.

        For ``Producer.send_offsets_to_transaction`` (KIP-447); None while it is no member, or has left.
        As of the last poll, a moment ago: it ages with every rebalance, so ask each time. Never blocks.
        """
        return self._group_metadata

    def close(self) -> None:
        """Commit what is left, leave the group and end the thread; at most a few seconds. Idempotent.

        The belt has let go of everything before: the revoke that leaving causes does not wait.
        """
        self._notices.close()
        self._thread.join(LEAVE_SECONDS)

    # ------------------------------------------------------------------ on the member's own thread

    def _run(self) -> None:
        try:
            self._join()
            while not self._notices.closing:
                self._commit_what_is_due()
                self._ask_for_nothing()
                self._ask_for_what_nobody_has()
                message = self._consumer.poll(POLL_SECONDS)
                self._note_group_metadata()
                if message is not None and message.error() is not None:
                    self._on_error(message.error())
            self._commit_what_is_due()
            self._consumer.close()
        except KafkaException as exception:
            self._fail(error_of(exception))
        self._connected = False
        self._group_metadata = None

    def _join(self) -> None:
        self._consumer.subscribe(
            list(self._source.topics),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def _commit_what_is_due(self) -> None:
        due = self._notices.take_commits()
        if due:
            offsets = [KafkaTopicPartition(*partition, offset) for partition, offset in due.items()]
            try:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            except KafkaException:
                self._notices.commit_refused(due)

    def _note_group_metadata(self) -> None:
        # Here, and not where it is asked for: confluent-kafka keeps other threads off a handle that is polled,
        # and whoever calls waits until there is no poll, without letting go of the interpreter.
        # Without a member's id the group would take offsets from anybody.
        is_member = bool(self._consumer.memberid())
        self._group_metadata = self._consumer.consumer_group_metadata() if is_member else None

    def _ask_for_nothing(self) -> None:
        """Find out that the group has nothing for this worker, where librdkafka does not call back for it.

        Under KIP-848 a hot standby hears nothing at all; the group's coordinator tells who its members are.
        """
        if self._assignment_known or self._admin is None or not self._connected:
            return
        if time.monotonic() >= self._ask_at:
            self._ask_at = time.monotonic() + ASK_SECONDS
            members = members_at_rest(self._admin, self._source.group_id, ASK_SECONDS)
            if members is not None and members.get(self._consumer.memberid()) == frozenset():
                self._assignment_known = True
                self._notices.put(Assigned(()))

    def _ask_for_what_nobody_has(self) -> None:
        """Bring about another round where the group is at rest and partitions belong to nobody: static members only.

        Subscribing anew does: what this member has is let go of first, as on any revoke, and comes back.
        """
        watch = self._unowned
        if watch is None or not self._connected:
            return
        known = watch.partitions
        is_turn = watch.look(self._consumer.memberid(), ASK_SECONDS)
        if watch.partitions != known:
            self._notices.put(Unowned(watch.partitions))
        if is_turn:
            self._consumer.unsubscribe()
            self._join()

    # ----------------------------------- callbacks: they never raise, and only note what happened

    def _on_assign(self, consumer: Consumer, partitions: list[KafkaTopicPartition]) -> None:
        self._connected = True  # the coordinator's own answer; the statistics say so up to a second later
        # At the end, and paused: never a reset, never a message.
        at_end = [KafkaTopicPartition(p.topic, p.partition, OFFSET_END) for p in partitions]
        try:
            if self._cooperative:
                consumer.incremental_assign(at_end)
            else:
                consumer.assign(at_end)
            if at_end:
                consumer.pause(at_end)
        except KafkaException as exception:
            self._fail(error_of(exception))
            return
        self._note_group_metadata()
        self._assignment_known = True
        self._notices.put(Assigned(_ours(partitions)))

    def _on_revoke(self, _consumer: Consumer, partitions: list[KafkaTopicPartition]) -> None:
        """Hold the rebalance until the belt has let go. librdkafka unassigns when this returns."""
        if partitions:
            self._note_group_metadata()  # what is sent out meanwhile goes by it
            self._notices.put_and_wait(Revoked(_ours(partitions)), self._revoke_budget_seconds)
            # What the belt left while it let go: after this the partitions are another worker's.
            self._commit_what_is_due()

    def _on_lost(self, _consumer: Consumer, partitions: list[KafkaTopicPartition]) -> None:
        self._note_group_metadata()
        if partitions:
            self._notices.put(Lost(_ours(partitions)))

    def _on_commit(self, error: KafkaError | None, partitions: list[KafkaTopicPartition]) -> None:
        refused = [p for p in partitions if error is not None or p.error is not None]
        if refused:
            self._notices.commit_refused({TopicPartition(p.topic, p.partition): p.offset for p in refused})

    def _on_error(self, error: KafkaError | None) -> None:
        if error is None:
            return
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._connected = False
        elif error.code() in UNAVAILABLE:
            self._trouble = error.str()  # says more than that all are down
        if error.fatal() or not (error.code() in UNAVAILABLE | REJOINS or error.retriable()):
            self._fail(error)

    def _on_statistics(self, text: str) -> None:
        # The group's state is "up" exactly while its coordinator is known and connected.
        self._connected = json.loads(text).get("cgrp", {}).get("state") == "up"

    def _fail(self, error: KafkaError) -> None:
        self._notices.fail(source_error(error, "being in the consumer group"))


def _ours(partitions: list[KafkaTopicPartition]) -> tuple[TopicPartition, ...]:
    return tuple(sorted(TopicPartition(p.topic, p.partition) for p in partitions))
