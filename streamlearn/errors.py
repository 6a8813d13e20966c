"""What can go wrong, as one tree; every leaf names its remedy.

    StreamlearnError
    ├── ConfigError             the config file cannot be used              exit 2
    ├── SourceError             the source cannot be read                   exit 3
    │   ├── BrokerUnavailable   no broker answers (retried, then this)
    │   │   └── OffsetsUndecided    a transaction over the group's offsets was not ended
    │   ├── TopicMissing        a configured topic does not exist
    │   ├── OffsetGap           the checkpoint points outside the log
    │   ├── Fenced              another worker has taken a shard over; this one lets it go
    │   ├── TooManyRejected     what comes in is not what the event contract says
    │   └── TooManyPending      more waits for labels than may, and a bounded read cannot pause
    ├── CheckpointError         state cannot be loaded or written           exit 4
    │   ├── CheckpointCorrupt   a file does not verify
    │   ├── CheckpointRefused   config or version cannot continue it
    │   ├── CheckpointLocked    another process writes to this folder
    │   └── CheckpointFenced    another worker has taken the shard over; this one lets it go
    ├── LearnerError            a model cannot be built or failed to learn  exit 5
    │   └── LearnerOutOfMemory  a model does not fit into its device's memory
    ├── DeadLetterError         rejected bytes cannot be kept               exit 6
    └── LocalBrokerError        the local Apache Kafka cannot be had        exit 7

An operating error is one of these: it says what happened and what to do. A programmer's error is
an ``assert``. Bad input is neither: it is a value (``events.Reason``), counted and kept.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the ``streamlearn`` command.

    >>> ExitCode.CONFIG.value
    2
    """

    OK = 0
    FAILED = 1  # an error that this tree does not name: a bug; the traceback is on stderr
    CONFIG = 2  # also what typer uses for a wrong command line
    SOURCE = 3
    CHECKPOINT = 4
    LEARNER = 5
    DEAD_LETTERS = 6
    LOCAL_BROKER = 7
    INTERRUPTED = 130  # a second SIGINT or SIGTERM: stopped at once, without a last checkpoint


class StreamlearnError(Exception):
    """Base of all operating errors.

    Parameters
    ----------
    what
        What happened, with the names and values that matter.
    remedy
        What the operator should do about it.

    >>> print(StreamlearnError("the disk is full", remedy="free some space"))
    the disk is full
      remedy: free some space
    """

    exit_code = ExitCode.FAILED

    def __init__(self, what: str, *, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}\n  remedy: {self.remedy}"


class ConfigError(StreamlearnError):
    exit_code = ExitCode.CONFIG


class SourceError(StreamlearnError):
    exit_code = ExitCode.SOURCE


class BrokerUnavailable(SourceError):
    pass


class OffsetsUndecided(BrokerUnavailable):
    pass


class TopicMissing(SourceError):
    pass


class OffsetGap(SourceError):
    pass


class TooManyRejected(SourceError):
    pass


class TooManyPending(SourceError):
    pass


class Fenced(SourceError):
    pass


class CheckpointError(StreamlearnError):
    exit_code = ExitCode.CHECKPOINT


class CheckpointCorrupt(CheckpointError):
    pass


class CheckpointRefused(CheckpointError):
    pass


class CheckpointLocked(CheckpointError):
    pass


class CheckpointFenced(CheckpointError):
    pass


class LearnerError(StreamlearnError):
    exit_code = ExitCode.LEARNER


class LearnerOutOfMemory(LearnerError):
    pass


class DeadLetterError(StreamlearnError):
    exit_code = ExitCode.DEAD_LETTERS


class LocalBrokerError(StreamlearnError):
    exit_code = ExitCode.LOCAL_BROKER
