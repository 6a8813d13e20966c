"""What a compiled model learned, as arrays: made fresh, grown as new features and classes come, cut to be saved.

The last letters of a field's name are its axes: R scalers over encoded features, D places (0 is nobody's), N
weights (numeric inputs, then places), C classes learned; see layout.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, assert_never

import numpy as np
import numpy.typing as npt

from streamlearn.events import Label
from streamlearn.learners.compiled.kernels_bayes import BayesState
from streamlearn.learners.compiled.kernels_linear import LinearState
from streamlearn.learners.compiled.kernels_passive import PassiveState
from streamlearn.learners.compiled.kernels_softmax import SoftmaxState
from streamlearn.learners.compiled.layout import CENTER, MIN_MAX, STANDARD, Cells, Chunk, Rows
from streamlearn.learners.compiled.plan import CompiledProgram
from streamlearn.learners.compiled.plan_models import Bayes, Linear, Passive, Softmax
from streamlearn.learners.compiled.vocabulary import Vocabulary
from streamlearn.learners.snapshot_memory import SnapshotMemory

ModelState = LinearState | PassiveState | SoftmaxState | BayesState

_Arrays = TypeVar("_Arrays", bound=Cells | Rows | ModelState)


class State:
    """All that a model learned, with room for more places and classes than were given yet."""

    def __init__(self, program: CompiledProgram) -> None:
        self._inputs = program.arrays.inputs
        self._cells_with_moments = _with_moments(program)
        self._rows_with_moments = np.isin(program.arrays.row_kind_R, (STANDARD, CENTER))
        self.cells = _fresh_cells(program)
        self.rows = _fresh_rows(program)
        self.model = _fresh_model(program)
        self.vocabulary = Vocabulary(program.encoders)
        self._memory = SnapshotMemory()
        self.labels: list[Label] = []  # in the order in which they were learned
        self.chunk: Chunk | None = None  # scratch: means nothing between batches

    def reserve(self, places: int, classes: int) -> None:
        """Make room for so many places and classes in all."""
        places_room, classes_room = _room(self.model, self._inputs)
        if places > places_room or classes > classes_room:
            # Room grows by doubling, so that growing costs a constant share of an event.
            places = max(places, 2 * places_room) if places > places_room else places_room
            classes = max(classes, 2 * classes_room) if classes > classes_room else classes_room
            sizes = self._sizes(places, classes)
            self.rows, self.model = _resized(self.rows, sizes), _resized(self.model, sizes)

    def cut(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of all arrays, without the room that is not in use."""
        sizes = self._sizes(len(self.vocabulary), len(self.labels))
        parts: list[Any] = [self.cells, self.rows, self.model]
        with self._memory.in_use():
            return {
                _key(part, name): self._memory.copied(_cut(name, array, sizes))
                for part in parts
                for name, array in part._asdict().items()
            }

    def fill(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take copies of what ``cut`` returned. Raises ValueError where they do not fit."""
        sizes = self._sizes(len(self.vocabulary), len(self.labels))
        self.cells = _filled(self.cells, arrays, sizes)
        self.rows = _filled(self.rows, arrays, sizes)
        self.model = _filled(self.model, arrays, sizes)

    def is_finite(self) -> bool:
        """Whether every weight, mean and moment is finite; a minimum or maximum may be none yet."""
        moments = [
            *(array[self._cells_with_moments] for array in (self.cells.low, self.cells.high)),
            *(array[self._rows_with_moments] for array in (self.rows.low_RD, self.rows.high_RD)),
        ]
        return all(bool(np.isfinite(array).all()) for array in [*self.model, *moments])

    def _sizes(self, places: int, classes: int) -> dict[str, int]:
        return {"D": places + 1, "N": self._inputs + 1 + places, "C": classes}


def _with_moments(program: CompiledProgram) -> npt.NDArray[np.bool_]:
    marked = np.zeros(program.cells, np.bool_)
    for scaler in program.scalers:
        if scaler.kind in (STANDARD, CENTER):
            marked[scaler.cell : scaler.cell + len(scaler.names)] = True
    return marked


def _fresh_cells(program: CompiledProgram) -> Cells:
    cells = Cells(*(np.zeros(program.cells) for _ in Cells._fields))
    for scaler in program.scalers:
        if scaler.kind == MIN_MAX:
            place = slice(scaler.cell, scaler.cell + len(scaler.names))
            cells.low[place], cells.high[place] = np.inf, -np.inf
    return cells


def _fresh_rows(program: CompiledProgram) -> Rows:
    kinds = program.arrays.row_kind_R
    rows = Rows(*(np.zeros((len(kinds), 1)) for _ in Rows._fields))
    rows.low_RD[kinds == MIN_MAX] = np.inf
    rows.high_RD[kinds == MIN_MAX] = -np.inf
    return rows


def _fresh_model(program: CompiledProgram) -> ModelState:
    inputs = program.arrays.inputs + 1
    match program.model:
        case Linear():
            return LinearState(
                weight_N=np.zeros(inputs),
                first_N=np.zeros(inputs),
                second_N=np.zeros(inputs),
                penalty_N=np.zeros(inputs),
                present_N=np.zeros(inputs, np.bool_),
                figures=np.zeros(4),
            )
        case Passive():
            return PassiveState(
                weight_N=np.zeros(inputs), present_N=np.zeros(inputs, np.bool_), figures=np.zeros(2)
            )
        case Softmax():
            return SoftmaxState(
                weight_CN=np.zeros((0, inputs)),
                first_CN=np.zeros((0, inputs)),
                second_CN=np.zeros((0, inputs)),
                present_CN=np.zeros((0, inputs), np.bool_),
                iterations_C=np.zeros(0),
                spoilt=np.zeros(1, np.bool_),
            )
        case Bayes():
            return BayesState(
                seen_CN=np.zeros((0, inputs)),
                mean_CN=np.zeros((0, inputs)),
                squares_CN=np.zeros((0, inputs)),
                events_C=np.zeros(0),
            )
        case _:
            assert_never(program.model)


def _room(model: ModelState, inputs: int) -> tuple[int, int]:
    """How many places and classes there is room for."""
    if isinstance(model, LinearState | PassiveState):
        return len(model.weight_N) - inputs - 1, 0
    widest = model.weight_CN if isinstance(model, SoftmaxState) else model.mean_CN
    return widest.shape[1] - inputs - 1, len(widest)


def _axes(name: str, array: npt.NDArray[Any]) -> str:
    """The axes that a field's name tells; none for a fixed size."""
    letters = name.rpartition("_")[2]
    return letters if letters.isupper() else "-" * array.ndim


def _resized(part: _Arrays, sizes: dict[str, int]) -> _Arrays:
    grown = {}
    for name, array in part._asdict().items():
        shape = tuple(
            max(sizes.get(axis, 0), size) for axis, size in zip(_axes(name, array), array.shape, strict=True)
        )
        if shape == array.shape:
            grown[name] = array
            continue
        # A fresh place looks like place 0, which for some scalers is not zero.
        fresh = np.zeros(shape, array.dtype)
        if name.endswith("_RD"):
            fresh[:] = array[:, :1]
        fresh[tuple(slice(size) for size in array.shape)] = array
        grown[name] = fresh
    return type(part)(**grown)


def _cut(name: str, array: npt.NDArray[Any], sizes: dict[str, int]) -> npt.NDArray[Any]:
    return array[tuple(slice(sizes.get(axis)) for axis in _axes(name, array))]


def _filled(part: _Arrays, arrays: Mapping[str, npt.NDArray[Any]], sizes: dict[str, int]) -> _Arrays:
    filled = {}
    for name, own in part._asdict().items():
        array = np.array(arrays.get(_key(part, name), ()), own.dtype, order="C")
        axes = _axes(name, own)
        shape = tuple(sizes.get(axis, size) for axis, size in zip(axes, own.shape, strict=True))
        if array.shape != shape:
            raise ValueError(f"{_key(part, name)} has shape {array.shape}, not {shape}")
        filled[name] = array
    return type(part)(**filled)


def _key(part: Any, name: str) -> str:
    return f"{type(part).__name__.lower()}.{name}"
