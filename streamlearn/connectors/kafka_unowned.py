"""Finds partitions that a group at rest has given to nobody, and says whose turn it is to ask for another round.

A static member (KIP-345) that dies between the two rounds of a cooperative rebalance (KIP-429) comes back to what the
first round gave it, and no second round comes: what it was about to give away belongs to nobody until somebody joins
or leaves. Seen on Apache Kafka with members that are killed; nothing is lost by it, but nobody reads these partitions.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from streamlearn.connectors.kafka_questions import Members, members_at_rest, partitions_of
from streamlearn.errors import SourceError
from streamlearn.events import TopicPartition

# A round is asked for by one member after the other, so that they do not ask all at once.
TURN_SECONDS = 10.0


@dataclass(slots=True)
class Unowned:
    """What a group at rest has left to nobody, and since when.

    Parameters
    ----------
    patience_seconds
        In a cooperative rebalance what moves belongs to nobody while the worker that had it lets go: this is longer.

    >>> unowned = Unowned(25.0)
    >>> first, second = TopicPartition("flights", 0), TopicPartition("flights", 1)
    >>> members = {"ada": frozenset({first}), "bo": frozenset()}
    >>> unowned.look(0.0, [first, second], members), unowned.look(25.0, [first, second], members)
    ((), (TopicPartition(topic='flights', partition=1),))
    >>> unowned.is_turn_of("bo", 25.0), unowned.is_turn_of("ada", 25.0), unowned.is_turn_of("ada", 35.0)
    (True, False, True)
    """

    patience_seconds: float
    _members: Members | None = None
    _of_nobody: tuple[TopicPartition, ...] = ()
    _since: float = 0.0

    def look(
        self, now: float, partitions: Iterable[TopicPartition], members: Members | None
    ) -> tuple[TopicPartition, ...]:
        """Return the partitions that have belonged to nobody for longer than any rebalance takes.

        Parameters
        ----------
        now
            Seconds on a clock that never goes back.
        partitions
            All partitions of the topics that the group reads.
        members
            ``None`` while the group is not at rest, or does not answer.
        """
        of_nobody = tuple(sorted(set(partitions).difference(*members.values()))) if members else ()
        if members != self._members or of_nobody != self._of_nobody:
            self._since = now
        self._members, self._of_nobody = members, of_nobody
        return of_nobody if now - self._since >= self.patience_seconds else ()

    def is_turn_of(self, member_id: str, now: float) -> bool:
        """Return whether this member is the one to ask for a round now: who has least to let go of is the first."""
        members = self._members or {}
        turns = sorted(members, key=lambda each: (len(members[each]), each))
        turn = int((now - self._since - self.patience_seconds) / TURN_SECONDS)
        return member_id in members and turn >= 0 and turns[turn % len(turns)] == member_id


class UnownedWatch:
    """Asks the coordinator once a turn. For the member's own thread."""

    def __init__(
        self, admin: AdminClient, group_id: str, topics: Iterable[str], *, patience_seconds: float
    ) -> None:
        self._admin = admin
        self._group_id = group_id
        self._topics = tuple(topics)
        self._ask_at = 0.0
        self._unowned = Unowned(patience_seconds)
        self.partitions: tuple[TopicPartition, ...] = ()

    def look(self, member_id: str, timeout_seconds: float) -> bool:
        """Look, where it is time to, and return whether this member is to bring about another round now."""
        now = time.monotonic()
        if now < self._ask_at:
            return False
        self._ask_at = now + TURN_SECONDS
        try:
            partitions = partitions_of(self._admin, self._topics, timeout_seconds)
        except SourceError:
            return False  # the member says itself what is wrong with the broker or the topic
        members = members_at_rest(self._admin, self._group_id, timeout_seconds)
        self.partitions = self._unowned.look(now, partitions, members)
        return bool(self.partitions) and self._unowned.is_turn_of(member_id, now)
