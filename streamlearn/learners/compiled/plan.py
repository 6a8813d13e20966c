"""From a River object to a program: what the kernels run, or why they cannot.

A program is lowered from the object that River itself would run, after River built it. So defaults, nesting and
the order of features are River's own. Whatever the compiler does not know to the last number is refused, and
runs on the generic engine, unchanged: another class, a subclass, a rolling window, a random initializer.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from river import base, compose

from streamlearn.config import Task
from streamlearn.learners.compiled.layout import Program
from streamlearn.learners.compiled.plan_models import Model, ignores_zeros, lower_model
from streamlearn.learners.compiled.plan_transformers import (
    Encoded,
    Encoder,
    Inputs,
    Lowering,
    Number,
    Scaler,
    Text,
)
from streamlearn.learners.compiled.refusal import CannotLower, Refusal, name_of


@dataclass(frozen=True, slots=True)
class CompiledProgram:
    """A lowered pipeline.

    Parameters
    ----------
    template
        The River object, which is copied to export a state. Not to be changed.
    task, numeric, categorical, missing_indicator
        What it was lowered for.
    inputs
        Names of the model's numeric inputs, in River's order; encoded ones come to be known as they are learned.
    """

    template: Any
    task: Task
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    missing_indicator: bool
    inputs: tuple[str, ...]
    scalers: tuple[Scaler, ...]
    encoders: tuple[Encoder, ...]
    cells: int
    arrays: Program
    model: Model

    @property
    def shape(self) -> str:
        """What a snapshot must have in common with a program to be restored by it."""
        parts = (
            self.numeric,
            self.categorical,
            self.missing_indicator,
            self.inputs,
            [(scaler.kind, scaler.names, scaler.row) for scaler in self.scalers],
            [(encoder.kind, encoder.names) for encoder in self.encoders],
            type(self.model).__name__,
        )
        return repr(parts)


def lower(
    model: Any,
    task: Task,
    numeric: Sequence[str],
    categorical: Sequence[str],
    *,
    missing_indicator: bool = False,
) -> CompiledProgram | Refusal:
    """Lower a River model or pipeline, as ``RiverLearner`` would feed it.

    Parameters
    ----------
    model
        The River object. It is neither changed nor kept.
    task
        The stream's task; the model must fit it (``river_build.check_task``).
    numeric, categorical
        Names of the events' features, in their order.
    missing_indicator
        Whether each numeric feature has a 0/1 feature ``<name>_missing`` beside it.

    Returns
    -------
    The program, or the reason why there is none.

    >>> from river import linear_model, preprocessing, tree
    >>> pipeline = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    >>> lower(pipeline, "binary", ["distance", "hour"], []).inputs
    ('distance', 'hour')
    >>> print(lower(tree.HoeffdingTreeClassifier(), "binary", ["distance"], []))
    HoeffdingTreeClassifier is not compiled
    """
    try:
        return _lower(model, task, tuple(numeric), tuple(categorical), missing_indicator)
    except CannotLower as refused:
        return Refusal(str(refused))


def _lower(
    model: Any, task: Task, numeric: tuple[str, ...], categorical: tuple[str, ...], missing_indicator: bool
) -> CompiledProgram:
    if task == "anomaly":
        raise CannotLower("anomaly detectors are not compiled")
    is_pipeline = type(model) is compose.Pipeline
    steps: list[tuple[str, Any]] = list(model.steps.items()) if is_pipeline else [("", model)]
    lowering = Lowering(_event_inputs(numeric, categorical, missing_indicator))
    x = lowering.event
    for name, step in steps[:-1]:
        if not isinstance(step, base.Transformer):
            raise CannotLower(f"{name_of(step)} is not compiled")
        x = lowering.lower(step, x, ("steps", name))
    lowered = lower_model(steps[-1][1], ("steps", steps[-1][0]) if is_pipeline else ())
    texts = [name for name, source in x.items() if isinstance(source, Text)]
    if texts:
        raise CannotLower(f"{name_of(steps[-1][1])} is given the text of {texts[0]!r}, which River refuses")
    arrays, inputs = _arrays(lowering, x, lowered, len(numeric), missing_indicator)
    return CompiledProgram(
        template=copy.deepcopy(model),
        task=task,
        numeric=numeric,
        categorical=categorical,
        missing_indicator=missing_indicator,
        inputs=inputs,
        scalers=tuple(lowering.scalers),
        encoders=tuple(lowering.encoders),
        cells=lowering.cells,
        arrays=arrays,
        model=lowered,
    )


def _event_inputs(numeric: tuple[str, ...], categorical: tuple[str, ...], missing_indicator: bool) -> Inputs:
    """What an event holds, in the order of ``event_calls.feature_names``."""
    names = [*numeric]
    if missing_indicator:
        names += [f"{name}_missing" for name in numeric]
    event: Inputs = {name: Number(index, whole=index >= len(numeric)) for index, name in enumerate(names)}
    event |= {name: Text(index) for index, name in enumerate(categorical)}
    if len(event) < len(names) + len(categorical):
        raise CannotLower("two features have one name")
    return event


def _arrays(
    lowering: Lowering, x: Inputs, model: Model, features: int, missing_indicator: bool
) -> tuple[Program, tuple[str, ...]]:
    """Put the model's inputs in one row, and the whole plan into arrays."""
    items = list(x.items())
    encoded = [place for place, (_, source) in enumerate(items) if isinstance(source, Encoded)]
    first, last = (encoded[0], encoded[-1]) if encoded else (len(items), len(items))
    numbers = {key: source for key, source in items if isinstance(source, Number)}
    model_from = lowering.in_one_row([source.value for source in numbers.values()])
    index_of = {key: index for index, key in enumerate(numbers)}
    region: list[int] = []
    chain: list[int] = []
    chain_ends: dict[int, tuple[int, int]] = {}
    for key, source in items[first : last + 1]:
        if isinstance(source, Encoded):
            region.append(-1 - source.block)
            begin = len(chain)
            chain += source.chain
            chain_ends[source.block] = (begin, len(chain))
        else:
            region.append(index_of[key])
    blocks = []
    for b, encoder in enumerate(lowering.encoders):
        begin, end = chain_ends[b]
        skips = encoder.has_zeros and begin == end and ignores_zeros(model)
        blocks.append([encoder.kind, int(skips), encoder.first_input, encoder.last_input, begin, end])
    inputs = len(numbers)
    program = Program(
        stage_SX=np.array(lowering.stages, np.int64).reshape(-1, 6),
        gather=np.array(lowering.gather, np.int64),
        block_KX=np.array(blocks, np.int64).reshape(-1, 6),
        input_T=np.array([v for encoder in lowering.encoders for v in encoder.values], np.int64),
        chain=np.array(chain, np.int64),
        row_kind_R=np.array([s.kind for s in lowering.scalers if s.row >= 0], np.int64),
        region=np.array(region, np.int64),
        with_indicators=int(missing_indicator),
        values=lowering.values,
        model_from=model_from,
        inputs=inputs,
        prefix=min(first, inputs),
        suffix=inputs - max(len(items) - 1 - last, 0),
    )
    assert not encoded or program.prefix + sum(r >= 0 for r in region) == program.suffix
    return program, tuple(str(name) for name in numbers)
