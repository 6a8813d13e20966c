"""``[evaluate]`` and ``[drift]``: how models are judged and watched."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from streamlearn.config.base import Section


class Evaluate(Section):
    window_events: int = Field(
        default=10_000, ge=10, le=10_000_000, description="Events of the sliding window of every metric."
    )
    fading_factor: float = Field(
        default=0.999,
        gt=0,
        lt=1,
        description="Of the fading metrics: each event weighs this much of the one after it.",
    )
    slices: tuple[str, ...] = Field(
        default=(),
        description="Categorical features by whose values scores are told, too: for whom a model is worse.",
    )
    slice_values_max: int = Field(
        default=20, ge=1, le=1000, description="Most values of a slice that are told; the rest is one."
    )
    verdict_error: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="The probability that any verdict of a stream (`better`, `worse`) is ever wrong, however "
        "often it is looked at.",
    )


class Drift(Section):
    detectors: tuple[Literal["adwin", "page_hinkley"], ...] = Field(
        default=("adwin", "page_hinkley"), description="Detectors that watch each model's error."
    )
    adwin_delta: float = Field(default=0.002, gt=0, lt=1, description="ADWIN's confidence parameter.")
    page_hinkley_delta: float = Field(default=0.005, ge=0, description="Page-Hinkley's tolerated change.")
    page_hinkley_threshold: float = Field(
        default=50.0, gt=0, description="Page-Hinkley's threshold (lambda)."
    )
