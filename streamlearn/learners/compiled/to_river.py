"""From a compiled state to a working River object, which goes on as if it had learned there itself.

Every number is kept, and River's types with it.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, assert_never

from river import optim, stats
from river.utils import VectorDict

from streamlearn.events import Bool_B, Float_B
from streamlearn.learners.compiled import kernels_linear, kernels_optimizers, kernels_passive
from streamlearn.learners.compiled.kernels_bayes import BayesState
from streamlearn.learners.compiled.kernels_linear import LinearState
from streamlearn.learners.compiled.kernels_optimizers import Optimizer
from streamlearn.learners.compiled.kernels_passive import PassiveState
from streamlearn.learners.compiled.kernels_softmax import SoftmaxState
from streamlearn.learners.compiled.layout import CENTER, MIN_MAX, ONE_HOT, STANDARD
from streamlearn.learners.compiled.plan import CompiledProgram
from streamlearn.learners.compiled.plan_models import Bayes, Linear, Passive, Softmax
from streamlearn.learners.compiled.plan_transformers import Scaler
from streamlearn.learners.compiled.river_parts import OPTIMIZER_STATES, Feature, part_at
from streamlearn.learners.compiled.state import State


def export(program: CompiledProgram, state: State) -> Any:
    """Return a new River object that has learned what a state holds."""
    model = copy.deepcopy(program.template)
    for scaler in program.scalers:
        _export_scaler(part_at(model, scaler.path), scaler, state)
    for block, encoder in enumerate(program.encoders):
        if encoder.kind == ONE_HOT:
            keys = [key for key in state.vocabulary.keys if key.block == block]
            part = part_at(model, encoder.path)
            part.values = defaultdict(set)
            part._zero_dict = {key.key: 0 for key in keys}
            for key in keys:
                part.values[key.name].add(key.value)
    _export_model(part_at(model, program.model.path), program, state)
    return model


def _names(program: CompiledProgram, state: State) -> list[Feature | None]:
    """River's key for each weight; None for the place that is nobody's."""
    return [*program.inputs, None, *(key.key for key in state.vocabulary.keys)]


def _export_scaler(part: Any, scaler: Scaler, state: State) -> None:
    learned = [
        (key, float(n), float(low), float(high)) for key, n, low, high in _cells(scaler, state) if n > 0
    ]
    if scaler.kind in (STANDARD, CENTER):
        part.counts = Counter({key: int(n) for key, n, _, _ in learned})
        part.means = defaultdict(float, {key: low for key, _, low, _ in learned})
        part.vars = defaultdict(float)
        if scaler.kind == STANDARD:
            part.vars.update({key: high for key, _, _, high in learned})
    elif scaler.kind == MIN_MAX:
        part.min = defaultdict(stats.Min, {key: _having(stats.Min(), min=low) for key, _, low, _ in learned})
        part.max = defaultdict(
            stats.Max, {key: _having(stats.Max(), max=high) for key, _, _, high in learned}
        )
    else:
        largest = {key: _having(stats.AbsMax(), abs_max=low) for key, _, low, _ in learned}
        part.abs_max = defaultdict(stats.AbsMax, largest)


def _cells(scaler: Scaler, state: State) -> Iterable[tuple[Feature, float, float, float]]:
    cells, rows = state.cells, state.rows
    for j, name in enumerate(scaler.names, start=scaler.cell):
        yield name, cells.seen[j], cells.low[j], cells.high[j]
    if scaler.row >= 0:
        r = scaler.row
        for place, key in enumerate(state.vocabulary.keys, start=1):
            yield key.key, rows.seen_RD[r, place], rows.low_RD[r, place], rows.high_RD[r, place]


def _having(statistic: Any, **attributes: float) -> Any:
    for name, value in attributes.items():
        setattr(statistic, name, value)
    return statistic


def _export_model(part: Any, program: CompiledProgram, state: State) -> None:
    names, learned = _names(program, state), state.model
    match program.model:
        case Linear():
            assert isinstance(learned, LinearState)
            _export_linear(part, program.model, learned, names)
        case Passive():
            assert isinstance(learned, PassiveState)
            part.weights = defaultdict(float, _as_dict(names, learned.weight_N, learned.present_N))
            part.intercept = float(learned.figures[kernels_passive.INTERCEPT])
        case Softmax():
            assert isinstance(learned, SoftmaxState)
            _export_softmax(part, program.model, learned, names, state)
        case Bayes():
            assert isinstance(learned, BayesState)
            _export_bayes(part, learned, names, state)
        case _:
            assert_never(program.model)


def _export_linear(part: Any, model: Linear, learned: LinearState, names: list[Feature | None]) -> None:
    part._weights = VectorDict(_as_dict(names, learned.weight_N, learned.present_N))
    part.intercept = float(learned.figures[kernels_linear.INTERCEPT])
    if model.parameters.l1:
        part.max_cum_l1 = float(learned.figures[kernels_linear.PENALTY])
        penalties = _as_dict(names, learned.penalty_N, learned.present_N)
        part.cum_l1 = VectorDict(penalties, optim.initializers.Zeros())
    iterations = int(learned.figures[kernels_linear.ITERATIONS])
    first = _as_dict(names, learned.first_N, learned.present_N)
    second = _as_dict(names, learned.second_N, learned.present_N)
    _export_optimizer(part.optimizer, model.parameters.optimizer, iterations, first, second)


def _export_optimizer(
    part: Any,
    optimizer: Optimizer,
    iterations: int,
    first: dict[Feature, float],
    second: dict[Feature, float],
) -> None:
    part.n_iterations = iterations
    # Under generalized linear models River keeps these two in Rust's vectors.
    make: Callable[[dict[Feature, float]], Any] = partial(defaultdict, float)
    if not optimizer.squares_in_python:
        make = VectorDict
    first_name, second_name = OPTIMIZER_STATES[optimizer.kind]
    if first_name:
        starts_as_none = optimizer.kind in (kernels_optimizers.ADAM, kernels_optimizers.RMS_PROP)
        in_use = iterations > 0 or not starts_as_none
        if not starts_as_none:
            make = partial(defaultdict, float)
        setattr(part, first_name, make(first) if in_use else None)
        if second_name:
            setattr(part, second_name, make(second) if in_use else None)


def _export_softmax(
    part: Any, model: Softmax, learned: SoftmaxState, names: list[Feature | None], state: State
) -> None:
    part.weights = defaultdict(partial(defaultdict, float))
    part.optimizers = defaultdict(partial(copy.deepcopy, part.optimizer))
    for rank, label in enumerate(state.labels):
        present_N = learned.present_CN[rank]
        part.weights[label].update(_as_dict(names, learned.weight_CN[rank], present_N))
        first = _as_dict(names, learned.first_CN[rank], present_N)
        second = _as_dict(names, learned.second_CN[rank], present_N)
        iterations = int(learned.iterations_C[rank])
        _export_optimizer(part.optimizers[label], model.parameters.optimizer, iterations, first, second)


def _export_bayes(part: Any, learned: BayesState, names: list[Feature | None], state: State) -> None:
    part.class_counts = Counter()
    part.gaussians = defaultdict(partial(defaultdict, part._make_gaussian))
    for rank, label in enumerate(state.labels):
        part.class_counts[label] = int(learned.events_C[rank])
        for n, name in enumerate(names):
            if name is not None and learned.seen_CN[rank, n] > 0:
                spread = part.gaussians[label][name]._var
                spread.mean.n = float(learned.seen_CN[rank, n])
                spread.mean._mean = float(learned.mean_CN[rank, n])
                spread._S = float(learned.squares_CN[rank, n])


def _as_dict(names: list[Feature | None], values_N: Float_B, present_N: Bool_B) -> dict[Feature, float]:
    return {name: float(values_N[n]) for n, name in enumerate(names) if name is not None and present_N[n]}
