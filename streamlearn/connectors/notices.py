"""What passes between a member's thread and the belt, whichever client the member runs on.

The member's callbacks put happenings here and never raise; the belt takes them, lets go of what was
revoked, and leaves offsets to commit. Nothing is committed but what the belt left (`publish_before_commit`).
All methods may be called from any thread.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping

from streamlearn.contracts import Happening, Lost, Revoked
from streamlearn.errors import SourceError
from streamlearn.events import TopicPartition

# A refused commit is tried again while the belt has nothing newer, so that lag tools do not stay behind.
COMMIT_RETRY_SECONDS = 1.0


class Notices:
    """Happenings one way, releases and commits the other.

    >>> notices = Notices()
    >>> notices.put(Lost((TopicPartition("t", 0),)))
    >>> notices.take()
    [Lost(partitions=(TopicPartition(topic='t', partition=0),))]
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # All of these are guarded by `_changed`.
        self._happenings: deque[Happening] = deque()
        self._failures: deque[SourceError] = deque()
        self._to_commit: dict[TopicPartition, int] = {}
        self._commit_not_before = 0.0
        self._awaited: Revoked | None = None
        self._closing = False
        self.commits_failed = 0
        self.revokes_over_budget = 0

    @property
    def closing(self) -> bool:
        """Whether the member is leaving: nothing is waited for any more."""
        return self._closing

    @property
    def commits_left(self) -> bool:
        """Whether offsets are left to commit, now or later."""
        return bool(self._to_commit)

    def close(self) -> None:
        """Note that the member is leaving, and end what waits for the belt."""
        with self._changed:
            self._closing = True
            self._awaited = None
            self._changed.notify_all()

    # ------------------------------------------------------------------------ from member to belt

    def put(self, happening: Happening) -> None:
        """Add what happened. What is lost is not committed any more."""
        with self._changed:
            self._happenings.append(happening)
            if isinstance(happening, Lost):
                for partition in happening.partitions:
                    self._to_commit.pop(partition, None)

    def fail(self, failure: SourceError) -> None:
        """Add an error; the same one is not added twice while it waits."""
        with self._changed:
            if str(failure) not in {str(known) for known in self._failures}:
                self._failures.append(failure)

    def take(self) -> list[Happening]:
        """Return what happened since the last call, in order. Raises the oldest failure first, once."""
        with self._changed:
            if self._failures:
                raise self._failures.popleft()
            happened = list(self._happenings)
            self._happenings.clear()
            return happened

    def put_and_wait(self, revoked: Revoked, budget_seconds: float) -> None:
        """Tell of a revoke and wait until it is released; ``Lost`` follows when that takes too long.

        Returns at once while the member is leaving: the belt has let go before.
        """
        with self._changed:
            if self._closing:
                return
            self._awaited = revoked
            self.put(revoked)
            if not self._changed.wait_for(lambda: self._awaited is None, budget_seconds):
                self._awaited = None
                self.revokes_over_budget += 1
                self.put(Lost(revoked.partitions))

    # ------------------------------------------------------------------------ from belt to member

    def released(self, revoked: Revoked) -> None:
        """End the wait for this revoke. Idempotent."""
        with self._changed:
            if self._awaited == revoked:
                self._awaited = None
                self._changed.notify_all()

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Leave offsets to commit; the latest for each partition wins."""
        with self._changed:
            self._to_commit.update(next_offsets)
            self._commit_not_before = 0.0

    def take_commits(self) -> dict[TopicPartition, int]:
        """Return what is to be committed now, and leave nothing."""
        with self._changed:
            if time.monotonic() < self._commit_not_before:
                return {}
            due, self._to_commit = self._to_commit, {}
            return due

    def commit_refused(self, refused: Mapping[TopicPartition, int]) -> None:
        """Count a refused commit, and leave it to be tried again where the belt left nothing newer."""
        with self._changed:
            self.commits_failed += 1
            self._to_commit = {**refused, **self._to_commit}
            self._commit_not_before = time.monotonic() + COMMIT_RETRY_SECONDS


class NoticedMember:
    """The belt's side of a member: what both clients have in common. The other side is the client's thread."""

    def __init__(self) -> None:
        self._notices = Notices()
        self._assignment_known = False
        self._connected = False

    @property
    def assignment_known(self) -> bool:
        """Whether the group has answered with an assignment, be it an empty one (a hot standby's)."""
        return self._assignment_known

    @property
    def commits_failed(self) -> int:
        """Commits that the group refused since the start. Nothing depends on them but lag tools."""
        return self._notices.commits_failed

    @property
    def revokes_over_budget(self) -> int:
        """Revokes for which the belt did not let go within the budget; each was followed by ``Lost``."""
        return self._notices.revokes_over_budget

    def happenings(self) -> list[Happening]:
        """Return what happened since the last call, in order. Never blocks.

        ``Assigned`` may name no partitions: the group has answered, and has none for this worker (yet).
        A ``Revoked`` that was not released within the budget is followed by ``Lost`` for the same.

        Raises
        ------
        TopicMissing
            When a subscribed topic does not exist.
        SourceError
            When the group refuses this worker (authorization, fencing, a fatal error).
        """
        return self._notices.take()

    def released(self, revoked: Revoked) -> None:
        """Let the rebalance go on: the belt has let go of what was revoked. Idempotent."""
        self._notices.released(revoked)

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Tell the group, for lag tools; the member's thread does it, the latest for each partition wins."""
        self._notices.commit(next_offsets)

    def connected(self) -> bool:
        """Return whether the group's coordinator answered when the member last looked."""
        return self._connected
