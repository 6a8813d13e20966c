"""What the join of events and labels must do, in the plainest words: one row after the other, dicts and lists.

Times are microseconds. It knows nothing of batches, columns, segments or indexes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

NEVER = -(10**30)


@dataclass(frozen=True)
class Row:
    """An event (``label`` is None) or a label, as the decoder gave it; a rejected one is nothing."""

    id: str
    time: int
    label: bool | None = None
    rejected: bool = False

    @property
    def is_label(self) -> bool:
        return self.label is not None


@dataclass(frozen=True)
class Rules:
    wait: int
    remember: int
    early_wait: int
    early_max: int
    default: bool | None = None
    on_late_label: str = "ignore"
    learns_corrections: bool = False


@dataclass
class _Event:
    number: int  # the how-manieth event that was kept
    came: int
    state: str = "pending"
    label: bool | None = None


@dataclass
class _Early:
    id: str
    label: bool
    came: int


@dataclass
class Oracle:
    rules: Rules
    clock: int = NEVER
    kept: dict[str, _Event] = field(default_factory=dict)
    in_order: list[_Event] = field(default_factory=list)
    early: list[_Early] = field(default_factory=list)
    # What is done: ("predict" | "judge" | "learn" | "correct", the event's number, the label).
    done: list[tuple[str, int, bool | None]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    rejected: list[int] = field(default_factory=list)  # rows whose id another event has

    def take(self, rows: list[Row]) -> Oracle:
        for place, row in enumerate(rows):
            self._take(place, row)
        return self

    def _take(self, place: int, row: Row) -> None:
        self.counts["labels_read" if row.is_label else "events_read"] += 1
        if row.rejected:
            self.counts["labels_rejected" if row.is_label else "events_rejected"] += 1
            return
        if not row.is_label and self._known(row.id) is not None:
            self.counts["events_rejected"] += 1
            self.rejected.append(place)
            return
        if row.time > self.clock:
            self._expire(row.time)
            self.clock = row.time
        if row.label is None:
            self._event(row.id)
        else:
            self._label(row.id, row.label)

    def _known(self, id: str) -> _Event | None:
        event = self.kept.get(id)
        if event is None or event.came + self.rules.wait + self.rules.remember <= self.clock:
            return None
        return event

    def _expire(self, now: int) -> None:
        for event in self.in_order:
            if event.state == "pending" and event.came + self.rules.wait <= now:
                if self.rules.default is None:
                    event.state = "expired"
                    self.counts["events_expired"] += 1
                else:
                    event.state, event.label = "defaulted", self.rules.default
                    self.counts["events_defaulted"] += 1
                    self.done += [("judge", event.number, self.rules.default)]
        for early in list(self.early):
            if early.came + self.rules.early_wait <= now:
                self.early.remove(early)
                self.counts["labels_orphaned"] += 1

    def _event(self, id: str) -> None:
        event = _Event(len(self.in_order), self.clock)
        self.kept[id] = event
        self.in_order.append(event)
        self.done.append(("predict", event.number, None))
        for early in list(self.early):
            if early.id == id:
                self.early.remove(early)
                self._resolve(event, early.label)

    def _resolve(self, event: _Event, label: bool) -> None:
        event.state, event.label = "resolved", label
        self.counts["events_resolved"] += 1
        self.counts["labels_joined"] += 1
        self.done.append(("judge", event.number, label))

    def _label(self, id: str, label: bool) -> None:
        event = self._known(id)
        if event is None:
            self._early_label(id, label)
        elif event.state == "pending":
            self._resolve(event, label)
        elif event.label == label:
            self.counts["labels_duplicate"] += 1
        elif event.state == "resolved":
            if self.rules.learns_corrections:
                event.label = label
                self.counts["labels_correction_learned"] += 1
                self.done.append(("learn", event.number, label))
            else:
                self.counts["labels_correction_ignored"] += 1
        elif self.rules.on_late_label == "ignore":
            self.counts["labels_late_ignored"] += 1
        elif event.state == "defaulted" and self.rules.on_late_label == "correct":
            self.done.append(("correct", event.number, label))
            event.state, event.label = "resolved", label
            self.counts["labels_late_corrected"] += 1
        else:
            self.done.append(("learn" if event.state == "defaulted" else "judge", event.number, label))
            event.state, event.label = "resolved", label
            self.counts["labels_late_learned"] += 1

    def _early_label(self, id: str, label: bool) -> None:
        for early in self.early:
            if early.id == id:
                if early.label == label:
                    self.counts["labels_duplicate"] += 1
                elif self.rules.learns_corrections:
                    early.label = label
                    self.counts["labels_correction_learned"] += 1
                else:
                    self.counts["labels_correction_ignored"] += 1
                return
        if self.rules.early_max == 0:
            self.counts["labels_orphaned"] += 1
            return
        if len(self.early) == self.rules.early_max:
            self.early.pop(0)
            self.counts["labels_orphaned"] += 1
        self.early.append(_Early(id, label, self.clock))

    @property
    def pending(self) -> int:
        return sum(event.state == "pending" for event in self.in_order)
