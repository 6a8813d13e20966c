"""The frozen things that ride the belt.

Shape letters: B events of a batch, F numeric features, K categorical features, C classes.

A **raw batch** is a ``pyarrow.RecordBatch`` with ``RAW_SCHEMA``: what a connector read, one row a
message. An **event batch** is a ``pyarrow.RecordBatch`` with ``event_schema(...)``: the same rows, in
the same order, with typed columns beside the bytes. ``Features``, ``Examples`` and ``Predictions`` are
what learners see and say.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Float_BF = npt.NDArray[np.float64]
Float_BC = npt.NDArray[np.float64]
Float_B = npt.NDArray[np.float64]
Int_B = npt.NDArray[np.int64]
Code_B = npt.NDArray[np.int32]
Bool_B = npt.NDArray[np.bool_]
Bool_BF = npt.NDArray[np.bool_]

# A label is written on the wire as it came in, so its Python type is kept.
Label = bool | int | float | str


class TopicPartition(NamedTuple):
    """One partition of one topic; sorts by topic, then partition, as the merge breaks ties."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


class Reason(IntEnum):
    """Why an event was rejected. The member's name in lower case is the metric label and header value.

    >>> Reason.INVALID_UTF8.label
    'invalid_utf8'
    """

    ACCEPTED = 0
    TOMBSTONE = 1  # a null value
    EMPTY = 2  # a value of no bytes, or of white space only
    OVERSIZED = 3  # more bytes than event.message_bytes_max
    INVALID_UTF8 = 4
    INVALID_JSON = 5  # not one JSON document
    TRAILING_DATA = 6  # a second document, or other bytes, behind the first
    NESTING_TOO_DEEP = 7  # deeper than the parser follows
    NOT_AN_OBJECT = 8  # valid JSON, but no object
    WRONG_TYPE = 9  # a feature of another type than the contract says
    NON_FINITE = 10  # NaN, an infinity, or a number that float64 cannot hold
    MISSING_FEATURE = 11  # only under event.missing = "reject"
    BAD_LABEL = 12  # a label of another type, or of a class that the contract does not know
    MISSING_ID = 13
    BAD_ID = 14
    MISSING_TIME = 15
    BAD_TIME = 16
    NON_FINITE_LEARNING = 17  # a model was no longer finite after it had learned the event; undone
    LEARNER_FAILED = 18  # a model raised on the event; undone; only under stream.on_learner_error = "reject"
    # Only under [labels]: another event of this id still waits for its label, or is remembered.
    DUPLICATE_ID = 19
    # Of messages with event.format = "arrow", as a whole:
    INVALID_ARROW = 20  # not one valid Arrow IPC stream
    WRONG_COLUMN_TYPE = 21  # a column of another type than the contract says
    TOO_MANY_EVENTS = 22  # more than event.message_events_max

    @property
    def label(self) -> str:
        return self.name.lower()


# One row a message, in the order in which the connector read them. `topic` indexes the source's
# sorted topics. A null value is a tombstone. Large offsets: a batch of big messages passes 2 GiB.
RAW_SCHEMA = pa.schema(
    [
        pa.field("topic", pa.int16(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp_ms", pa.int64(), nullable=False),
        pa.field("key", pa.large_binary()),
        pa.field("value", pa.large_binary()),
    ]
)

# Where a message holds many events (event.format = "arrow"), an event batch has two more columns: the event's
# place in its message, from 0 on (-1: the message was rejected as a whole), and whether the message ends with it.
ROW = "row"
LAST = "last"
WHOLE = -1  # in place of a row: the message was rejected as a whole

# All numeric features are one column, a matrix row by row: what works on whole events finds each in a few cache lines,
# and what cuts, joins and orders batches has one column to move, not one a feature.
NUMERIC = "numeric"
NUMERIC_PREFIX = "numeric/"  # where one of them has a name of its own
CATEGORICAL_PREFIX = "categorical/"

# Where batches of several partitions were merged, one column stands for those of the features, which lie as they were
# read: it refers to the rows of a struct of them (a dictionary).
REFERRED = "features"


_RAW_OF_MANY = (
    *(field for field in RAW_SCHEMA if field.name != "value"),
    pa.field("value", pa.dictionary(pa.int32(), pa.large_binary())),
    pa.field(ROW, pa.int32(), nullable=False),
    pa.field(LAST, pa.bool_(), nullable=False),
)


def event_schema(
    numeric: tuple[str, ...], categorical: tuple[str, ...], *, real_label: bool, many: bool = False
) -> pa.Schema:
    """Return the schema of a decoded batch: ``RAW_SCHEMA`` and the typed columns.

    Where a message holds ``many`` events, each event's ``value`` refers to its message (a dictionary), and
    ``ROW`` and ``LAST`` follow.

    Columns after the raw ones: ``time_us`` (int64, microseconds since 1970 in UTC: event time, or the
    record's timestamp where the contract names no time or the row is rejected); where there are numeric
    features, ``numeric`` with a float64 for each, in their order (NaN: missing; see ``numeric_matrix``); one string
    column a categorical feature (null: missing); ``label`` (float64 for regression, else a JSON token such as
    ``true``, ``1`` or ``"AA"``; null: none); ``id`` (a JSON token; null: none configured); ``reason`` (``Reason``)
    and ``detail`` (null where accepted). All other typed columns of a rejected row are null or NaN.

    >>> event_schema(("distance",), ("carrier",), real_label=False).names[6:]
    ['time_us', 'numeric', 'categorical/carrier', 'label', 'id', 'reason', 'detail']
    """
    return pa.schema(
        [
            *(_RAW_OF_MANY if many else RAW_SCHEMA),
            pa.field("time_us", pa.int64(), nullable=False),
            *([pa.field(NUMERIC, pa.list_(pa.float64(), len(numeric)), nullable=False)] if numeric else []),
            *(pa.field(CATEGORICAL_PREFIX + name, pa.large_string()) for name in categorical),
            pa.field("label", pa.float64() if real_label else pa.large_string()),
            pa.field("id", pa.large_string()),
            pa.field("reason", pa.uint8(), nullable=False),
            pa.field("detail", pa.large_string()),
        ]
    )


def numeric_column(numeric_BF: Float_BF) -> pa.FixedSizeListArray:
    """Return a matrix as the ``numeric`` column of an event batch; of one that is C-contiguous without a copy.

    >>> numeric_column(np.array([[1.0, np.nan], [2.0, 3.0]])).to_pylist()
    [[1.0, nan], [2.0, 3.0]]
    """
    return pa.FixedSizeListArray.from_arrays(pa.array(numeric_BF.reshape(-1)), numeric_BF.shape[1])


def absent(field: pa.Field, rows: int) -> pa.Array:
    """Return the column of an event batch where none of these rows has a value.

    >>> absent(pa.field(NUMERIC, pa.list_(pa.float64(), 1)), 2).to_pylist()
    [[nan], [nan]]
    """
    if field.name == NUMERIC:
        return numeric_column(np.full((rows, field.type.list_size), np.nan))
    return pa.nulls(rows, field.type)


def numeric_matrix(column: pa.FixedSizeListArray) -> Float_BF:
    """Return the ``numeric`` column of an event batch as a matrix, C-contiguous, read-only, without a copy.

    >>> numeric_matrix(numeric_column(np.array([[1.0, np.nan], [2.0, 3.0]])).slice(1)).tolist()
    [[2.0, 3.0]]
    """
    numbers, width = column.values, column.type.list_size  # of the whole column, also where this is a slice
    assert not numbers.null_count, "a missing number is NaN"
    start, stop = (numbers.offset + width * row for row in (column.offset, column.offset + len(column)))
    return np.frombuffer(numbers.buffers()[1], np.float64)[start:stop].reshape(-1, width)


# What a missing categorical is called: a category of its own, which no JSON document can spell by accident.
MISSING_CATEGORY = "\x00missing"

# What every category is called that a feature shows after the first event.categories_max of them.
OTHER_CATEGORY = "\x00other"

# What stands in place of a class index: the event has no label, or one class more than is allowed.
NO_LABEL = -1
TOO_MANY = -2


@dataclass(frozen=True, slots=True)
class Categorical:
    """One categorical feature of a batch, dictionary-encoded: ``values[codes_B[i]]`` is event i's."""

    name: str
    codes_B: Code_B
    values: tuple[str, ...]  # local to the batch; MISSING_CATEGORY stands for a missing value


@dataclass(frozen=True, slots=True)
class Features:
    """What a learner may look at: the features of accepted events, missing ones already filled in."""

    numeric_names: tuple[str, ...]
    numeric_BF: Float_BF  # C-contiguous, finite
    missing_BF: Bool_BF  # where numeric_BF was filled in by policy
    categorical: tuple[Categorical, ...]

    def __len__(self) -> int:
        return len(self.numeric_BF)

    def rows(self, start: int, stop: int) -> Features:
        """Return events ``start:stop`` as views."""
        return Features(
            self.numeric_names,
            self.numeric_BF[start:stop],
            self.missing_BF[start:stop],
            tuple(Categorical(c.name, c.codes_B[start:stop], c.values) for c in self.categorical),
        )


@dataclass(frozen=True, slots=True)
class Examples:
    """Accepted events in shard order, with what is known of their labels.

    For classification and anomaly ``target_B`` holds an index into ``classes`` (a float64 for
    regression); where ``labelled_B`` is False it means nothing. ``classes`` is append-only over a
    shard's life: an index once given never changes its meaning. ``classes`` already holds every class
    of this batch, so a learner must not take a class to be known before it has learned from it.

    ``undone_B`` says where the same event was learned before, with another class than its own: the index of that
    class (NO_LABEL: of no such event; None: there is none in the batch). Such an example is learned with the weight
    that undoes this in expectation (docs/labels.md). Only learners that were checked for it are given any.

    ``asked_B`` says of which events the prediction will be looked at (None: of all). Of the others a learner may say
    nothing, or anything, if that is cheaper; what it learns depends on it in nothing.
    """

    features: Features
    target_B: Code_B | Float_B
    labelled_B: Bool_B
    classes: tuple[Label, ...]
    undone_B: Code_B | None = None
    asked_B: Bool_B | None = None

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, start: int, stop: int) -> Examples:
        """Return events ``start:stop`` as views."""
        return Examples(
            self.features.rows(start, stop),
            self.target_B[start:stop],
            self.labelled_B[start:stop],
            self.classes,
            None if self.undone_B is None else self.undone_B[start:stop],
            None if self.asked_B is None else self.asked_B[start:stop],
        )


@dataclass(frozen=True, slots=True)
class Predictions:
    """What one model said of a batch, each event before the model learned from it.

    Classification fills ``class_B`` (index into the batch's classes, -1: the model had nothing to say)
    and, where the model gives them, ``probability_BC`` (NaN: no share for that class, counted as 0).
    Regression and anomaly fill ``value_B`` (NaN: nothing said).
    """

    version_B: Int_B  # events that the model had learned when it predicted
    class_B: Code_B | None = None
    probability_BC: Float_BC | None = None
    value_B: Float_B | None = None

    def __len__(self) -> int:
        return len(self.version_B)

    def rows(self, row_B: Bool_B) -> Predictions:
        """Return what was said of these events."""
        rows = np.flatnonzero(row_B)  # once, and not for each column
        columns = (self.version_B, self.class_B, self.probability_BC, self.value_B)
        return Predictions(*(None if column is None else column.take(rows, axis=0) for column in columns))  # type: ignore[arg-type]
