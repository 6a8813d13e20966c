"""``[evaluate]`` and ``[drift]``: how models are judged and watched."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

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
    expected_run_events: int = Field(
        default=1_000_000,
        ge=1000,
        le=10**9,
        description="The budget: so many events bring one false alarm on average, all signals together.",
    )
    every_events: int = Field(
        default=4,
        ge=1,
        le=1000,
        description="Every so-many-th event is watched: fewer cost less, and a change must be larger to be noticed.",
    )
    window_events: int = Field(
        default=10_000,
        ge=500,
        le=10_000_000,
        description="Events of the window that is compared with the reference window when it is full, in 50 "
        "blocks; events may depend on those within a block. Also how long alarms on one model's error are one.",
    )
    watch: tuple[Literal["inputs", "outputs", "errors"], ...] = Field(
        default=("inputs", "outputs", "errors"),
        description="What windows are compared of: the features, what models say, their errors and calibration.",
    )
    ignore: tuple[str, ...] = Field(
        default=(),
        description="Features that are not watched: those that always move, such as the hour or a counter.",
    )
    after_alarm: Literal["renew", "keep"] = Field(
        default="renew",
        description="What becomes of the reference of what moved: a new one is taken, so that the next alarm is "
        "of another change, or it is kept, and there is an alarm a window until it is as before.",
    )
    detectors: tuple[Literal["adwin", "page_hinkley"], ...] = Field(
        default=("adwin",), description="Detectors that watch each model's error, event by event."
    )
    adwin_delta: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="ADWIN's confidence parameter. Unset: what keeps it within the budget.",
    )
    page_hinkley_delta: float = Field(default=0.005, ge=0, description="Page-Hinkley's tolerated change.")
    page_hinkley_threshold: float = Field(
        default=50.0,
        gt=0,
        description="Page-Hinkley's threshold (lambda), in the unit of the error: it knows of no budget.",
    )

    @model_validator(mode="after")
    def _windows_have_blocks(self) -> Self:
        if self.window_events < 500 * self.every_events:
            raise ValueError(
                f"drift.window_events = {self.window_events} has fewer than 500 events of which every "
                f"{self.every_events}th is watched: it needs {500 * self.every_events}, or a smaller drift.every_events"
            )
        return self

    def watches_feature(self, name: str) -> bool:
        """Whether this feature is one of the watched inputs."""
        return "inputs" in self.watch and name not in self.ignore
