"""A consumer group in memory: who owns which partition, and how it moves.

Each change of the members is a generation. Partitions are dealt to the members in the order in which they
joined. What moves is asked back first, and given on when its owner has released it or its budget is over. Who
says nothing for longer than the session is put out, and learns that (``Lost``) some time after it woke up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from world_wire import Wire

from streamlearn.contracts import Assigned, Happening, Lost, Revoked
from streamlearn.events import TopicPartition

SESSION_SECONDS = 10.0
BUDGET_SECONDS = 4.0
HEARS_OF_LOSS_AFTER = 3  # looks of the belt at what happened, between waking up and being told


@dataclass
class _Revoking:
    asked: Revoked
    until: float


@dataclass
class _Member:
    name: str
    queue: deque[Happening] = field(default_factory=deque)
    held: set[TopicPartition] = field(default_factory=set)
    revoking: _Revoking | None = None
    silent_since: float | None = None


class Group:
    """The coordinator. ``eager``: each rebalance takes everything from everybody first."""

    def __init__(self, partitions: Callable[[], list[TopicPartition]], *, eager: bool) -> None:
        self._partitions = partitions
        self._eager = eager
        self._members: dict[str, _Member] = {}
        self._now = 0.0
        self._stopping = False
        self._told = True
        self.generation = 0

    def is_member(self, name: str) -> bool:
        return name in self._members

    def join(self, name: str) -> None:
        assert name not in self._members
        self._members[name] = _Member(name)
        self.rebalance()

    def leave(self, name: str) -> None:
        """Take a member out, at its own wish or not."""
        if self._members.pop(name, None) is not None:
            self.rebalance()

    def rebalance(self) -> None:
        """Deal anew: a member came or went, or partitions were added."""
        self.generation += 1
        self._stopping = self._eager
        self._told = False
        self._settle()

    def silence(self, name: str) -> None:
        """From now on nothing is heard of this member."""
        if name in self._members:
            self._members[name].silent_since = self._now

    def speaks(self, name: str) -> None:
        """It is heard again, in time."""
        if name in self._members:
            self._members[name].silent_since = None

    def pass_time(self, now: float) -> None:
        """Put out who was silent for too long, and go on without who does not release in time."""
        self._now = now
        for member in list(self._members.values()):
            if member.silent_since is not None and now - member.silent_since > SESSION_SECONDS:
                self.leave(member.name)
            elif member.revoking is not None and now > member.revoking.until:
                self._take(member)
        self._settle()

    def happenings(self, name: str) -> list[Happening] | None:
        """What a member is told; None: it is none any more."""
        if name not in self._members:
            return None
        queue = self._members[name].queue
        happened = list(queue)
        queue.clear()
        return happened

    def released(self, name: str, revoked: Revoked) -> None:
        member = self._members.get(name)
        if member is not None and member.revoking is not None and member.revoking.asked is revoked:
            self._take(member)
            self._settle()

    def _take(self, member: _Member) -> None:
        assert member.revoking is not None
        member.held.difference_update(member.revoking.asked.partitions)
        member.revoking = None

    def _target(self) -> dict[TopicPartition, _Member]:
        members = list(self._members.values())
        partitions = sorted(self._partitions())
        return {p: members[i % len(members)] for i, p in enumerate(partitions)} if members else {}

    def _settle(self) -> None:
        """Move partitions towards where they belong, as far as their owners have let go."""
        target = self._target()
        for member in self._members.values():
            unwanted = {p for p in member.held if self._stopping or target[p] is not member}
            if unwanted and member.revoking is None:
                asked = Revoked(tuple(sorted(unwanted)))
                member.revoking = _Revoking(asked, self._now + BUDGET_SECONDS)
                member.queue.append(asked)
        if self._stopping and any(member.held for member in self._members.values()):
            return
        self._stopping = False
        held = {p for member in self._members.values() for p in member.held}
        for member in self._members.values():
            new = tuple(sorted(p for p, owner in target.items() if owner is member and p not in held))
            if new or not self._told:
                member.held.update(new)
                member.queue.append(Assigned(new))
        self._told = True


class WorldMembership:
    """``contracts.Membership`` of one incarnation of a worker."""

    def __init__(
        self,
        group: Group,
        wire: Wire,
        name: str,
        on_commit: Callable[[str, Mapping[TopicPartition, int]], None],
        on_release: Callable[[str, Revoked], None],
    ) -> None:
        self._group = group
        self._wire = wire
        self._base = name
        self._on_commit = on_commit
        self._on_release = on_release
        self._rejoins = 0
        self._looks_left = HEARS_OF_LOSS_AFTER
        self._held: set[TopicPartition] = set()
        self.lost: set[TopicPartition] = set()  # and not assigned again
        self.closed = False
        self.name = name
        group.join(name)

    def happenings(self) -> list[Happening]:
        return self._wire.call(self._happenings)

    def _happenings(self) -> list[Happening]:
        happened = self._group.happenings(self.name)
        if happened is None:
            self._looks_left -= 1
            if self._looks_left > 0:
                return []
            lost = Lost(tuple(sorted(self._held)))
            self.lost |= self._held
            self._looks_left = HEARS_OF_LOSS_AFTER
            self._held.clear()
            self._rejoins += 1
            self.name = f"{self._base}.{self._rejoins}"
            self._group.join(self.name)
            return [lost] if lost.partitions else []
        for each in happened:
            match each:
                case Assigned(partitions):
                    self._held.update(partitions)
                    self.lost.difference_update(partitions)
                case Revoked(partitions) | Lost(partitions):
                    self._held.difference_update(partitions)
        return happened

    def released(self, revoked: Revoked) -> None:
        self._wire.point()
        self._on_release(self.name, revoked)
        self._group.released(self.name, revoked)

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        self._wire.call(lambda: self._on_commit(self.name, next_offsets))

    def connected(self) -> bool:
        return True

    def close(self) -> None:
        if not self._wire.cut and not self.closed:
            self._group.leave(self.name)
        self.closed = True
