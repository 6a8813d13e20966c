"""What a shard asks of its stations: each holds state, and all of it goes into a snapshot.

Upholds `offsets_travel_with_state` by type: what a shard is made of can be saved and restored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamlearn.contracts import Snapshot
from streamlearn.events import Categorical, Code_B, Examples, Features, Float_B, Int_B, Label, Predictions

# Over which events a metric is: all, the newest so many, or all with the older ones weighing less.
WindowName = Literal["cumulative", "sliding", "fading"]

Code_BK = npt.NDArray[np.int32]


class Station(Protocol):
    """A part of a shard that holds state."""

    def snapshot(self) -> Snapshot: ...

    def restore(self, snapshot: Snapshot) -> None: ...


class Classes(Station, Protocol):
    @property
    def classes(self) -> tuple[Label, ...]: ...

    @property
    def tokens(self) -> tuple[str, ...]: ...

    def settles_at(self, labels: pa.Array) -> int | None: ...

    def encode(self, labels: pa.Array) -> Code_B: ...


class FeatureStation(Station, Protocol):
    @property
    def numeric_names(self) -> tuple[str, ...]: ...

    def build(self, events: pa.RecordBatch, row_B: Int_B = ...) -> Features: ...


class CategoryStation(Station, Protocol):
    @property
    def sizes(self) -> Mapping[str, int]: ...

    def bound(self, features: Features) -> tuple[Features, Mapping[str, int]]: ...

    def encode(self, features: Features) -> Code_BK: ...

    def decode(self, codes_BK: Code_BK) -> tuple[Categorical, ...]: ...


class InputStation(Station, Protocol):
    def note(self, events: pa.RecordBatch) -> None: ...


class LabelStation(Station, Protocol):
    """What waits for its labels."""

    @property
    def segment_names(self) -> tuple[str, ...]: ...

    @property
    def segments_from(self) -> int: ...


@runtime_checkable
class SkipsSteps(Protocol):
    """A learner that refuses steps that are not finite, and counts them."""

    @property
    def batches_skipped(self) -> int: ...


class Judge(Station, Protocol):
    def update(self, predictions: Predictions, examples: Examples) -> None: ...

    def metrics(self, window: WindowName) -> dict[str, float]: ...


class Found(Protocol):
    """What a monitor noticed, and at which of the errors that it was given."""

    @property
    def detector(self) -> str: ...

    @property
    def index(self) -> int: ...


class Monitor(Station, Protocol):
    def update(self, errors_B: Float_B) -> Sequence[Found]: ...


class Changed(Protocol):
    """A signal that is no longer what it was, and the row of the event with which that was noticed."""

    @property
    def signal(self) -> str: ...

    @property
    def index(self) -> int: ...

    @property
    def detail(self) -> str: ...


class Watching(Station, Protocol):
    """Watches what goes into models and what comes out."""

    def inputs(self, features: Features) -> Sequence[Changed]: ...

    def said(self, model: str, said: Predictions, class_tokens: Sequence[str]) -> Sequence[Changed]: ...

    def judged(
        self, model: str, rows_J: Int_B, errors_J: Float_B, said: Predictions, examples: Examples
    ) -> Sequence[Changed]: ...


class Scores(Station, Protocol):
    """What is said of learners beside their metrics."""

    def update(
        self,
        said: Mapping[str, Predictions],
        errors: Mapping[str, tuple[Int_B, Float_B]],
        examples: Examples,
    ) -> None: ...
