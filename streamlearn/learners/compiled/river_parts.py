"""A River pipeline's parts, by where they stand and by what River calls their state."""

from __future__ import annotations

from typing import Any

from streamlearn.learners.compiled import kernels_optimizers
from streamlearn.learners.compiled.plan_transformers import Path

Feature = str | int  # a key of River's dicts


def part_at(model: Any, path: Path) -> Any:
    """The part of a River object that a path leads to.

    >>> from river import linear_model, preprocessing
    >>> pipeline = preprocessing.StandardScaler() | linear_model.LinearRegression()
    >>> part_at(pipeline, ("steps", "StandardScaler")).with_std
    True
    """
    for attribute, name in zip(path[::2], path[1::2], strict=True):
        model = getattr(model, attribute)[name]
    return model


# River's names of an optimizer's own state.
OPTIMIZER_STATES: dict[int, tuple[str, str]] = {
    kernels_optimizers.SGD: ("", ""),
    kernels_optimizers.MOMENTUM: ("s", ""),
    kernels_optimizers.ADA_GRAD: ("g2", ""),
    kernels_optimizers.RMS_PROP: ("g2", ""),
    kernels_optimizers.ADAM: ("m", "v"),
    kernels_optimizers.FTRL: ("z", "n"),
}
