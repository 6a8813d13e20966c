"""What the console shows: one frozen picture of the daemon, taken when somebody looks.

Whoever assembles the daemon fills it in; the console only reads (`reads_are_pure`). Names and units are
those of /api/status, since it is this tree as JSON (a NaN becomes null).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from streamlearn.happenings import Happening

Role = Literal["leader", "standby", "member"]


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """This worker among those of its group."""

    host: str
    process_id: int
    version: str  # of streamlearn
    group: str | None  # None: local files, there is no group
    assigned_partitions: int  # by the group
    owned_shards: int


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    topic: str
    partition: int
    next_offset: int | None  # the next message to learn from; None: another worker knows
    lag_events: int | None  # None: the end is not known yet
    shard: str | None  # which shard here learns from it; None: another worker does
    assigned: bool = True  # whether the group gave it to this worker


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model or a baseline, over this worker's shards. Metrics are from predictions made before learning."""

    name: str
    engine: str  # river | compiled | torch | python | baseline
    events_learned: int
    cumulative: dict[str, float] = field(default_factory=dict)  # metric -> value since the beginning
    sliding: dict[str, float] = field(default_factory=dict)  # metric -> value over the window
    fading: dict[str, float] = field(default_factory=dict)  # metric -> value with older events weighing less
    scores: dict[str, Any] = field(default_factory=dict)  # verdicts, calibration, slices, as in the summary
    engine_why: str | None = None  # why it is not compiled, where that was an option


@dataclass(frozen=True, slots=True)
class DriftAlarm:
    event_time_seconds: float  # seconds since 1970
    model: str
    detector: str
    topic: str
    partition: int
    offset: int
    signal: str = "error"  # what moved
    detail: str = ""  # from what to what


@dataclass(frozen=True, slots=True)
class MoverStatus:
    """A watched signal, as it stood when its last window ended."""

    model: str  # "": an input of all models
    signal: str
    reference: float
    present: float
    movement: float  # 1: an alarm


@dataclass(frozen=True, slots=True)
class CheckpointStatus:
    """The last published checkpoint of one shard."""

    shard: str
    sequence: int
    timestamp_seconds: float  # when it became durable, seconds since 1970
    size_bytes: int
    path: str
    seconds: float = 0.0  # how long writing it took


@dataclass(frozen=True, slots=True)
class RejectedStatus:
    """The last event that was rejected for a reason."""

    topic: str
    partition: int
    offset: int
    detail: str
    size_bytes: int | None  # None: a tombstone
    text: str  # the first of its bytes as one line of text; what does not print stands as an escape


@dataclass(frozen=True, slots=True)
class LabelsStatus:
    """Labels that come on a topic of their own (docs/labels.md). Counts are over the life of this worker's shards:
    with what waits they add up to the events and labels read."""

    wait_seconds: float  # labels.wait, in event time
    pending_events: int  # wait for their labels
    pending_bytes: int  # of events that wait or are remembered, on disk and in memory
    pending_bytes_max: int  # most that one shard keeps
    full_shards: int  # that keep as much: no events are read for them
    early_labels: int  # came first and wait for their events
    coverage_ratio: float | None  # of the accepted events, those whose label came; None before there are any
    delay_seconds: dict[str, float] = field(default_factory=dict)  # quantile -> event to label, in event time
    events: dict[str, int] = field(default_factory=dict)  # how waits ended -> events
    labels: dict[str, int] = field(default_factory=dict)  # what became of labels -> labels


@dataclass(frozen=True, slots=True)
class StageStatus:
    """A stage of the belt, since this process started."""

    stage: str
    batches: int
    seconds: float


# What the page shows of drift: enough for a year of weekly changes, and a bounded answer.
DRIFT_ALARMS_MAX = 50


@dataclass(frozen=True, slots=True)
class Status:
    """One picture of the daemon.

    ``unhealthy`` and ``unready`` say why not; empty means yes.

    >>> status = Status("flights", "binary", "stream", "member", unready=("no partition is assigned",))
    >>> status.healthy, status.ready
    (True, False)
    """

    stream: str
    task: str
    scope: str
    role: Role
    unhealthy: tuple[str, ...] = ()
    unready: tuple[str, ...] = ()
    at_seconds: float = 0.0  # when the picture was taken, seconds since 1970
    uptime_seconds: float = 0.0
    worker: WorkerStatus | None = None
    events_read: int = 0
    events_learned: int = 0
    events_rejected: int = 0
    events_per_second: float = 0.0
    remaining_events: int | None = None  # of a bounded read, at most; None: not known
    event_time_seconds: float | None = None  # the largest event time learned; None: nothing yet
    window_events: int = 0  # over how many events the sliding metrics go
    fading_factor: float = 0.0  # each event weighs this much of the one after it in the fading metrics
    partitions: tuple[PartitionStatus, ...] = ()
    models: tuple[ModelStatus, ...] = ()
    baselines: tuple[ModelStatus, ...] = ()
    drift_alarms_total: int = 0
    drift_alarms: tuple[DriftAlarm, ...] = ()  # the last ones, oldest first
    movers: tuple[MoverStatus, ...] = ()  # of the watched signals those that moved most, most first
    rejections: dict[str, int] = field(default_factory=dict)  # reason -> events
    rejected_samples: dict[str, RejectedStatus] = field(default_factory=dict)  # reason -> the last one
    labels: LabelsStatus | None = None  # with [labels]
    checkpoints: tuple[CheckpointStatus, ...] = ()
    checkpoints_total: int = 0
    stages: tuple[StageStatus, ...] = ()
    happenings: tuple[Happening, ...] = ()  # the last ones, oldest first

    def __post_init__(self) -> None:
        assert len(self.drift_alarms) <= DRIFT_ALARMS_MAX, "more drift alarms than a page should hold"

    @property
    def healthy(self) -> bool:
        return not self.unhealthy

    @property
    def ready(self) -> bool:
        return not self.unready


class Heartbeat:
    """Tells whether the belt's thread still goes round: it beats once a step, also when there is no event.

    Parameters
    ----------
    limit_seconds
        A longer silence is unhealthy. Longer than the longest honest step (a first compilation included).
    clock
        Monotonic seconds.

    >>> now = 0.0
    >>> heartbeat = Heartbeat(30.0, clock=lambda: now)
    >>> heartbeat.unhealthy()
    ()
    >>> now = 31.0
    >>> heartbeat.unhealthy()
    ('the belt has not finished a step for 31 s (limit 30 s)',)
    """

    def __init__(self, limit_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_seconds = limit_seconds
        self._clock = clock
        self._last = clock()  # a float is written and read whole, so no lock

    def beat(self) -> None:
        """The belt has finished a step."""
        self._last = self._clock()

    def unhealthy(self) -> tuple[str, ...]:
        """Return why the daemon is unhealthy, for ``Status.unhealthy``; empty while it is healthy."""
        silent = self._clock() - self._last
        if silent <= self._limit_seconds:
            return ()
        return (f"the belt has not finished a step for {silent:.0f} s (limit {self._limit_seconds:.0f} s)",)
