"""What the network sees: columns standardized on the stream, hashed categories, counted mini-batches.

Upholds `replay_equals_run`: statistics move once a counted mini-batch, over an array whose shape does
not depend on how events were polled; a category's bucket depends on its text alone, on no table that
grew in some order and on no PYTHONHASHSEED. No tensors; ``torch_blocks`` makes some of it.

Shape letters: B events, F numeric features, K categorical features, I indices of events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamlearn.events import Bool_B, Bool_BF, Features, Float_BF
from streamlearn.learners.torch_kernels import add_up, standardize

Float_F = npt.NDArray[np.float64]
Bucket_BK = npt.NDArray[np.int64]
Index_I = npt.NDArray[np.intp]

# Which events of a batch: a slice where they are neighbours, which costs no copy.
Place = slice | Index_I

# Standardized values are held within this many deviations. A feature may jump by any finite amount
# before the statistics know of it; unbounded, one such event overflows float32 in the first layer.
DEVIATIONS_MAX = 10.0

# Bounds the memory of the hash cache (about 200 bytes a text), not what can be hashed.
HASHED_TEXTS_MAX = 1 << 17


@lru_cache(maxsize=HASHED_TEXTS_MAX)
def stable_hash(feature: str, value: str) -> int:
    """Return a 64-bit hash of a category that is the same in every process, release and machine.

    >>> stable_hash("carrier", "AA") == stable_hash("carrier", "AA") != stable_hash("origin", "AA")
    True
    >>> stable_hash("carrier", "AA")
    10125480319481046913
    """
    # JSON text may hold lone surrogates, which strict UTF-8 refuses.
    text = f"{len(feature)}:{feature}{value}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


def place_of(event_I: Index_I) -> Place:
    """Return a slice for increasing indices that are neighbours, else the indices.

    >>> import numpy as np
    >>> place_of(np.array([3, 4, 5])), place_of(np.array([3, 5])), place_of(np.array([], np.intp))
    (slice(3, 6, None), array([3, 5]), slice(0, 0, None))
    """
    if len(event_I) == 0:
        return slice(0, 0)
    first, last = int(event_I[0]), int(event_I[-1])
    return slice(first, last + 1) if last - first + 1 == len(event_I) else event_I


class Stretch(NamedTuple):
    """Neighbouring events between which no step is made."""

    labelled_I: Index_I
    unlabelled_I: Index_I
    fills: bool  # the last labelled one fills the mini-batch


def stretches(labelled_B: Bool_B, filled: int, batch_events: int) -> Iterator[Stretch]:
    """Cut a batch of events behind each one that fills a mini-batch, of which ``filled`` rows are taken.

    >>> import numpy as np
    >>> labelled_B = np.array([True, False, True, True, False])
    >>> [(s.labelled_I.tolist(), s.unlabelled_I.tolist(), s.fills) for s in stretches(labelled_B, 1, 3)]
    [([0, 2], [1], True), ([3], [4], False)]
    """
    labelled_I, unlabelled_I = np.flatnonzero(labelled_B), np.flatnonzero(~labelled_B)
    start = taken = passed = 0
    while start < len(labelled_B):
        room = batch_events - filled
        events_I = labelled_I[taken : taken + room]
        fills = len(events_I) == room
        stop = int(events_I[-1]) + 1 if fills else len(labelled_B)
        past = int(np.searchsorted(unlabelled_I, stop)) if len(unlabelled_I) else 0
        yield Stretch(events_I, unlabelled_I[passed:past], fills)
        start, taken, passed, filled = stop, taken + len(events_I), past, 0


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of B events, as they came: nothing is standardized yet."""

    numeric_BF: Float_BF
    missing_BF: Bool_BF  # of width 0 where the network has no missing indicators
    bucket_BK: Bucket_BK  # each feature in its own range of buckets

    def __len__(self) -> int:
        return len(self.numeric_BF)

    @classmethod
    def of(cls, features: Features, buckets: int, *, missing_indicator: bool) -> Inputs:
        """Encode a batch; text is hashed once a distinct value, not once an event.

        >>> import numpy as np
        >>> from streamlearn.events import Categorical
        >>> numeric_BF, missing_BF = np.zeros((3, 1)), np.zeros((3, 1), np.bool_)
        >>> carrier = Categorical("carrier", np.array([0, 1, 0], np.int32), ("AA", "UA"))
        >>> inputs = Inputs.of(Features(("x",), numeric_BF, missing_BF, (carrier,)), 100, missing_indicator=False)
        >>> inputs.bucket_BK[:, 0].tolist(), inputs.missing_BF.shape
        ([13, 60, 13], (3, 0))
        """
        bucket_BK = np.empty((len(features), len(features.categorical)), np.int64)
        for k, column in enumerate(features.categorical):
            bucket_of_code = np.array(
                [stable_hash(column.name, value) % buckets for value in column.values], np.int64
            )
            bucket_BK[:, k] = bucket_of_code[column.codes_B] + k * buckets
        missing_BF = features.missing_BF if missing_indicator else features.missing_BF[:, :0]
        return cls(features.numeric_BF, missing_BF, bucket_BK)

    def at(self, place: Place) -> Inputs:
        """Return these events; views where ``place`` is a slice."""
        return Inputs(self.numeric_BF[place], self.missing_BF[place], self.bucket_BK[place])


@dataclass(frozen=True)
class Statistics:
    """Count, mean and sum of squared deviations of F columns, float64.

    >>> import numpy as np
    >>> first = Statistics.none(1).merged(np.array([[1.0], [3.0]]))
    >>> both = first.merged(np.array([[5.0], [7.0]]))
    >>> both.count, both.mean_F.tolist(), both.deviation_F.tolist()
    (4, [4.0], [2.23606797749979])
    """

    count: int
    mean_F: Float_F
    squares_F: Float_F

    @classmethod
    def none(cls, width: int) -> Statistics:
        """Return the statistics of no events: mean 0, deviation 1."""
        return cls(0, np.zeros(width), np.zeros(width))

    @cached_property
    def deviation_F(self) -> Float_F:  # noqa: N802 (a shape letter)
        """The population standard deviation; 1 for a column that never varied, which so stays at 0."""
        variance_F = self.squares_F / max(self.count, 1)
        return np.sqrt(np.where(variance_F > 0, variance_F, 1.0))

    def merged(self, x_BF: Float_BF) -> Statistics:
        """Return the statistics with B more rows (Chan, Golub and LeVeque 1979).

        Finite rows can still overflow a sum of squares: see ``finite``.
        """
        count = self.count + len(x_BF)
        mean_F, squares_F = np.empty(x_BF.shape[1]), np.empty(x_BF.shape[1])
        add_up(x_BF, mean_F, squares_F)
        with np.errstate(over="ignore", invalid="ignore"):
            delta_F = mean_F - self.mean_F
            return Statistics(
                count,
                self.mean_F + delta_F * (len(x_BF) / count),
                self.squares_F + squares_F + np.square(delta_F) * (self.count * len(x_BF) / count),
            )

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.mean_F).all() and np.isfinite(self.squares_F).all())

    def standardize(self, x_BF: Float_BF, out_BF: npt.NDArray[np.float32]) -> None:
        """Write (x - mean) / deviation, held within ``DEVIATIONS_MAX``, as float32 into ``out_BF``.

        >>> import numpy as np
        >>> out_BF = np.empty((2, 1), np.float32)
        >>> Statistics(4, np.array([5.0]), np.array([16.0])).standardize(np.array([[7.0], [1e308]]), out_BF)
        >>> out_BF.tolist()
        [[1.0], [10.0]]
        """
        standardize(x_BF, self.mean_F, self.deviation_F, DEVIATIONS_MAX, out_BF)


class MiniBatch:
    """The labelled events that wait for the next optimizer step: a fixed number of rows, filled in order."""

    def __init__(self, events: int, numeric: int, missing: int, categorical: int) -> None:
        self.numeric_BF = np.zeros((events, numeric))
        self.missing_BF = np.zeros((events, missing), np.bool_)
        self.bucket_BK = np.zeros((events, categorical), np.int64)
        self.target_B = np.zeros(events)
        self.filled = 0

    @property
    def room(self) -> int:
        """Events that are still to come before it is full."""
        return len(self.target_B) - self.filled

    @property
    def inputs(self) -> Inputs:
        """The filled rows, as views."""
        return Inputs(self.numeric_BF, self.missing_BF, self.bucket_BK).at(slice(self.filled))

    def append(self, inputs: Inputs, target_B: npt.NDArray[np.number]) -> None:
        """Take a copy of these events."""
        assert len(inputs) == len(target_B) <= self.room, "a mini-batch never overflows"
        rows = slice(self.filled, self.filled + len(inputs))
        self.numeric_BF[rows] = inputs.numeric_BF
        self.missing_BF[rows] = inputs.missing_BF
        self.bucket_BK[rows] = inputs.bucket_BK
        self.target_B[rows] = target_B
        self.filled = rows.stop

    def clear(self) -> None:
        """Begin the next one."""
        self.filled = 0
