"""From a River object that has learned to a compiled state, which goes on with the same numbers.

What River's dicts hold only because they were asked (a scaler's zero for a feature that it never learned) is
left behind: it says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, assert_never

import numpy as np
from river.utils import VectorDict

from streamlearn.events import Float_B
from streamlearn.learners.compiled import kernels_linear, kernels_passive
from streamlearn.learners.compiled.kernels_bayes import BayesState
from streamlearn.learners.compiled.kernels_linear import LinearState
from streamlearn.learners.compiled.kernels_optimizers import Optimizer
from streamlearn.learners.compiled.kernels_passive import PassiveState
from streamlearn.learners.compiled.kernels_softmax import SoftmaxState
from streamlearn.learners.compiled.layout import CENTER, HASHED, MIN_MAX, ONE_HOT, STANDARD
from streamlearn.learners.compiled.plan import CompiledProgram
from streamlearn.learners.compiled.plan_models import Bayes, Linear, Passive, Softmax
from streamlearn.learners.compiled.plan_transformers import Scaler
from streamlearn.learners.compiled.refusal import CannotLower
from streamlearn.learners.compiled.river_parts import OPTIMIZER_STATES, Feature, part_at
from streamlearn.learners.compiled.state import State
from streamlearn.learners.compiled.vocabulary import Key


def read(program: CompiledProgram, model: Any) -> State:
    """Return the state of a River object of the program's shape.

    Raises
    ------
    CannotLower
        It has learned features that the events do not have.
    """
    state = State(program)
    for block, encoder in enumerate(program.encoders):
        if encoder.kind == ONE_HOT:
            part = part_at(model, encoder.path)
            made = {
                f"{name}_{value}": (name, value) for name, values in part.values.items() for value in values
            }
            for key in part._zero_dict:
                if key not in encoder.shadowed:
                    state.vocabulary.add(Key(block, key, *made[key]))
    seen = _Weights(program, state)
    part = part_at(model, program.model.path)
    # Every key first: places are given before arrays are sized by them.
    for key in _keys_of(program, part):
        seen.index_of(key)
    # What a number's key hides never reaches the model, so its scalers' state is nothing.
    hidden = {key for encoder in program.encoders for key in encoder.shadowed}
    learned = {
        scaler: [
            key
            for key in _learned_keys(part_at(model, scaler.path), scaler)
            if key in scaler.names or key not in hidden
        ]
        for scaler in program.scalers
    }
    for scaler, keys in learned.items():
        for key in keys:
            if key not in scaler.names:
                seen.place_of(key)
    labels = list(_labels_of(program, part))
    state.labels = labels
    state.reserve(len(state.vocabulary), len(labels))
    for scaler, keys in learned.items():
        _read_scaler(part_at(model, scaler.path), scaler, keys, state, seen)
    _read_model(part, program, state, seen)
    return state


class _Weights:
    """Which weight a key of River's dicts stands for."""

    def __init__(self, program: CompiledProgram, state: State) -> None:
        self._program = program
        self._state = state
        self._input_of = {name: index for index, name in enumerate(program.inputs)}

    def index_of(self, key: Feature) -> int:
        """The weight's index. Raises CannotLower for a key that no event can have."""
        if isinstance(key, str) and key in self._input_of:
            return self._input_of[key]
        return len(self._input_of) + self.place_of(key)

    def place_of(self, key: Feature) -> int:
        """The place of an encoded feature, a new one where it is only known from a model's or scaler's dict."""
        vocabulary = self._state.vocabulary
        for block, encoder in enumerate(self._program.encoders):
            if place := vocabulary.place_of(block, key):
                return place
            if encoder.kind == HASHED and isinstance(key, int):
                return vocabulary.add(Key(block, key, "", ""))
            if encoder.kind != ONE_HOT and isinstance(key, str):
                for name in encoder.names:
                    if key.startswith(f"{name}_"):
                        return vocabulary.add(Key(block, key, name, key.removeprefix(f"{name}_")))
        raise CannotLower(f"it has learned the feature {key!r}, which the events do not have")


def _learned_keys(part: Any, scaler: Scaler) -> list[Feature]:
    """The keys that a scaler has learned; what it was only asked about is in its dicts as well."""
    if scaler.kind in (STANDARD, CENTER):
        return [key for key, n in part.counts.items() if n > 0]
    if scaler.kind == MIN_MAX:
        return [key for key, smallest in part.min.items() if smallest.get() <= part.max[key].get()]
    return [key for key, largest in part.abs_max.items() if largest.get() > 0.0]


def _read_scaler(part: Any, scaler: Scaler, keys: Iterable[Feature], state: State, weights: _Weights) -> None:
    cell_of = {name: j for j, name in enumerate(scaler.names, start=scaler.cell)}
    for key in keys:
        n, low, high = 1.0, 0.0, 0.0
        if scaler.kind in (STANDARD, CENTER):
            n, low = float(part.counts[key]), float(part.means[key])
            high = float(part.vars[key]) if scaler.kind == STANDARD else 0.0
        elif scaler.kind == MIN_MAX:
            low, high = float(part.min[key].get()), float(part.max[key].get())
        else:
            low = float(part.abs_max[key].get())
        if isinstance(key, str) and key in cell_of:
            j = cell_of[key]
            state.cells.seen[j], state.cells.low[j], state.cells.high[j] = n, low, high
            state.cells.root[j] = np.sqrt(high) if scaler.kind == STANDARD else 0.0
        else:
            place = weights.place_of(key)
            state.rows.seen_RD[scaler.row, place] = n
            state.rows.low_RD[scaler.row, place] = low
            state.rows.high_RD[scaler.row, place] = high


def _keys_of(program: CompiledProgram, part: Any) -> Iterable[Feature]:
    """All keys that a model's dicts hold."""
    match program.model:
        case Linear():
            return list(part._weights.to_dict())
        case Passive():
            return list(part.weights)
        case Softmax():
            return [key for weights in part.weights.values() for key in weights] + [
                key for each in part.optimizers.values() for key in _all_keys(each)
            ]
        case Bayes():
            return [key for gaussians in part.gaussians.values() for key in gaussians]
        case _:
            assert_never(program.model)


def _all_keys(optimizer: Any) -> Iterable[Feature]:
    held = (getattr(optimizer, name, None) for names in OPTIMIZER_STATES.values() for name in names if name)
    return [key for each in held if isinstance(each, Mapping) for key in each]


def _labels_of(program: CompiledProgram, part: Any) -> Iterable[Any]:
    match program.model:
        case Softmax():
            return list(part.weights)
        case Bayes():
            return list(part.class_counts)
        case _:
            return []


def _read_model(part: Any, program: CompiledProgram, state: State, weights: _Weights) -> None:
    learned = state.model
    match program.model:
        case Linear():
            assert isinstance(learned, LinearState)
            for key, weight in part._weights.to_dict().items():
                learned.weight_N[weights.index_of(key)] = weight
                learned.present_N[weights.index_of(key)] = True
            learned.figures[kernels_linear.INTERCEPT] = part.intercept
            learned.figures[kernels_linear.ITERATIONS] = part.optimizer.n_iterations
            if program.model.parameters.l1:
                learned.figures[kernels_linear.PENALTY] = part.max_cum_l1
                _write(learned.penalty_N, part.cum_l1.to_dict(), weights)
            _read_optimizer(
                part.optimizer, program.model.parameters.optimizer, learned.first_N, learned.second_N, weights
            )
            learned.figures[kernels_linear.SPOILT] = not np.isfinite(learned.weight_N).all()
        case Passive():
            assert isinstance(learned, PassiveState)
            for key, weight in part.weights.items():
                learned.weight_N[weights.index_of(key)] = weight
                learned.present_N[weights.index_of(key)] = True
            learned.figures[kernels_passive.INTERCEPT] = part.intercept
            learned.figures[kernels_passive.SPOILT] = not np.isfinite(learned.weight_N).all()
        case Softmax():
            assert isinstance(learned, SoftmaxState)
            for rank, label in enumerate(state.labels):
                for key, weight in part.weights[label].items():
                    learned.weight_CN[rank, weights.index_of(key)] = weight
                    learned.present_CN[rank, weights.index_of(key)] = True
                own = part.optimizers[label]
                learned.iterations_C[rank] = own.n_iterations
                rows = learned.first_CN[rank], learned.second_CN[rank]
                _read_optimizer(own, program.model.parameters.optimizer, *rows, weights)
            learned.spoilt[0] = not np.isfinite(learned.weight_CN).all()
        case Bayes():
            assert isinstance(learned, BayesState)
            for rank, label in enumerate(state.labels):
                learned.events_C[rank] = part.class_counts[label]
                for key, gaussian in part.gaussians.get(label, {}).items():
                    n, spread = weights.index_of(key), gaussian._var
                    learned.seen_CN[rank, n] = spread.mean.n
                    learned.mean_CN[rank, n] = spread.mean._mean
                    learned.squares_CN[rank, n] = spread._S
        case _:
            assert_never(program.model)


def _read_optimizer(
    part: Any, optimizer: Optimizer, first_N: Float_B, second_N: Float_B, weights: _Weights
) -> None:
    for name, values_N in zip(OPTIMIZER_STATES[optimizer.kind], (first_N, second_N), strict=True):
        held = getattr(part, name) if name else None
        if held is not None:
            _write(values_N, held.to_dict() if isinstance(held, VectorDict) else held, weights)


def _write(values_N: Float_B, held: Mapping[Feature, float], weights: _Weights) -> None:
    for key, value in held.items():
        values_N[weights.index_of(key)] = value
