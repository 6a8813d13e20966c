"""The group and its broker: who has which partitions, who learns, whether a broker answers."""

from __future__ import annotations

from collections.abc import Iterable

from streamlearn.events import TopicPartition
from streamlearn.telemetry.core import Happenings, Means

REBALANCES = ("assigned", "revoked", "lost")
TRANSACTION_HAPPENINGS = ("committed", "aborted", "fenced", "retried", "recreated")


class GroupHappenings(Happenings):
    """What happens between this worker, its group and the broker."""

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        make = means.make
        self._connected: bool | None = None  # None: not known yet
        self._standby = make.gauge("streamlearn_standby")
        self._broker_connected = make.gauge("streamlearn_broker_connected")
        self._assigned_partitions = make.gauge("streamlearn_assigned_partitions")
        rebalances = make.counter("streamlearn_rebalances_total")
        self._rebalances = {kind: rebalances.labels(kind) for kind in REBALANCES}
        transactions = make.counter("streamlearn_transactions_total")
        self._transactions = {each: transactions.labels(each) for each in TRANSACTION_HAPPENINGS}
        # By what the member calls its totals.
        self._of_member = {
            "commits_refused": make.counter("streamlearn_refused_commits_total"),
            "revokes_over_budget": make.counter("streamlearn_overdue_revokes_total"),
        }
        self._member_totals = dict.fromkeys(self._of_member, 0)

    def partitions_assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """The group gave these to this worker, beside what it has."""
        self._rebalanced("assigned", list(partitions))

    def partitions_revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """The group took these back, and the belt has let go."""
        self._rebalanced("revoked", list(partitions))

    def partitions_lost(self, partitions: Iterable[TopicPartition]) -> None:
        """These were gone before the belt could let go; what was not checkpointed is learned elsewhere."""
        self._rebalanced("lost", list(partitions))

    def _rebalanced(self, kind: str, partitions: list[TopicPartition]) -> None:
        self._rebalances[kind].inc()
        change = len(partitions) if kind == "assigned" else -len(partitions)
        self._assigned_partitions.inc(change)
        log = self._log.warning if kind == "lost" else self._log.info
        log(f"partitions_{kind}", partitions=[str(partition) for partition in partitions])

    def standby(self, first_partition: TopicPartition) -> None:
        """Another worker holds the first partition and learns; this one waits."""
        self._standby.set(1)
        self._log.info(
            "standby",
            detail=f"the worker that holds {first_partition} learns; this one takes over when it leaves",
        )

    def leading(self) -> None:
        """This worker learns from now on."""
        self._standby.set(0)
        self._log.info("leading")

    def broker_lost(self, detail: str) -> None:
        """No broker answers; state is kept and the client retries. Logged once until it is back."""
        with self._lock:
            changed, self._connected = self._connected is not False, False
        self._broker_connected.set(0)
        if changed:
            self._log.warning("broker_lost", detail=detail)

    def broker_back(self) -> None:
        """A broker answers. Logged when there was none before."""
        with self._lock:
            changed, self._connected = self._connected is False, True
        self._broker_connected.set(1)
        if changed:
            self._log.info("broker_back")

    def member_counted(self, *, commits_refused: int, revokes_over_budget: int) -> None:
        """What the member counted since it joined; says and adds what is new.

        Parameters
        ----------
        commits_refused
            Commits that the group took not. Checkpoints stand, so nothing is lost (`publish_before_commit`).
        revokes_over_budget
            Revokes for which the belt did not let go in time. What was not checkpointed is learned elsewhere.
        """
        totals = {"commits_refused": commits_refused, "revokes_over_budget": revokes_over_budget}
        for name, total in totals.items():
            new = total - self._member_totals[name]
            self._member_totals[name] = total
            if new:
                self._of_member[name].inc(new)
                self._log.warning(name, new=new, total=total)

    def transaction_happened(self, what: str) -> None:
        """A transaction was committed, aborted or fenced, a call of it retried, or its producer recreated.

        Nothing is lost by any of them: what was aborted is sent again, what was fenced another worker sends.
        """
        self._transactions[what].inc()
        if what in ("aborted", "recreated"):
            self._log.warning(f"transaction_{what}", detail="what it held is sent again")
