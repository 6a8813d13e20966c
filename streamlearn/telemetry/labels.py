"""Labels on a topic of their own: how events ended their wait, what became of labels, what waits."""

from __future__ import annotations

from streamlearn.config import Config
from streamlearn.telemetry.core import Happenings, Means

# By the shard's counters (belt/labels/shard.py): the outcome of an event, of a label.
EVENT_OUTCOMES = {
    "events_resolved": "resolved",
    "events_expired": "expired",
    "events_defaulted": "defaulted",
    "events_default_refused": "default_refused",
}
LABEL_OUTCOMES = {
    "labels_joined": "joined",
    "labels_orphaned": "orphaned",
    "labels_duplicate": "duplicate",
    "labels_late_ignored": "late_ignored",
    "labels_late_learned": "late_learned",
    "labels_late_corrected": "late_corrected",
    "labels_correction_ignored": "correction_ignored",
    "labels_correction_learned": "correction_learned",
    "labels_rejected": "rejected",
}
READ = ("events_read", "labels_read")  # they have metrics of their own, by partition


class LabelHappenings(Happenings):
    """What becomes of events and labels in the join."""

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        make = means.make
        self._waits_ended = make.counter("streamlearn_waited_events_total")
        self._labels_done = make.counter("streamlearn_labels_total")
        self._pending = make.gauge("streamlearn_pending_events")
        self._pending_bytes = make.gauge("streamlearn_pending_bytes")
        self._pending_full = make.gauge("streamlearn_pending_full")
        self._held: set[str] = set()  # shards of which no events are read
        self._early = make.gauge("streamlearn_early_labels")
        self._label_delay = make.gauge("streamlearn_label_delay_seconds")

    def _when_started(self, config: Config) -> None:
        super()._when_started(config)
        if config.labels is not None:
            for name in (*EVENT_OUTCOMES, *LABEL_OUTCOMES):
                self.labels_counted(name, 0)

    def labels_counted(self, name: str, count: int) -> None:
        """So many events or labels more came to this end, by the name of the shard's counter."""
        if name in EVENT_OUTCOMES:
            self._waits_ended.labels(EVENT_OUTCOMES[name]).inc(count)
        elif name in LABEL_OUTCOMES:
            self._labels_done.labels(LABEL_OUTCOMES[name]).inc(count)
        else:
            assert name in READ, f"{name!r} is no counter of the join"

    def labels_wait(self, *, pending: int, pending_bytes: int, early: int) -> None:
        """So much waits, over this worker's shards."""
        self._pending.set(pending)
        self._pending_bytes.set(pending_bytes)
        self._early.set(early)

    def events_held(self, shard: str) -> None:
        """A shard keeps as many events as it may: no more are read, while its labels go on."""
        self._held.add(shard)
        self._pending_full.set(len(self._held))
        self._log.error(
            "events_held",
            shard=shard,
            detail="as much waits for labels as labels.pending_bytes_max allows: events are read again when labels "
            "have come or waits have ended. Meanwhile labels alone move the clock",
        )

    def events_resumed(self, shard: str) -> None:
        """There is room again."""
        self._held.discard(shard)
        self._pending_full.set(len(self._held))
        self._log.info("events_resumed", shard=shard)

    def label_delay(self, quantile: str, seconds: float) -> None:
        """How long labels took, over the life of this worker's shards."""
        self._label_delay.labels(quantile).set(seconds)
