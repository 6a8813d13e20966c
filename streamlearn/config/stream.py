"""``[stream]``: what the stream is, in which order it is learned, and when it stops."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from streamlearn.config.base import Name, Section, Task


class Stream(Section):
    name: Name = Field(description="Names the stream in checkpoints, metrics and predictions.")
    task: Task = Field(description="What the label is: two classes, many, a number, or (mostly) none.")
    scope: Literal["stream", "partition"] = Field(
        default="stream",
        description="`stream`: one model over all partitions, merged in time order. "
        "`partition`: one model for each partition, which scales over workers.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=4_294_967_295,
        description="Seeds every random draw of the models, and Python's hash seed.",
    )
    idle_wait_ms: int = Field(
        default=1000,
        ge=0,
        le=600_000,
        description="How long the time-ordered merge waits, in milliseconds, for a partition "
        "of which it does not know whether it has more.",
    )
    micro_batch_events: int = Field(
        default=32_768,  # with half of them, what a step costs however few rows it takes is some twentieth
        ge=1,
        le=1_000_000,
        description="Most events that one step of the belt takes up, beside as many labels under `[labels]`. "
        "Changes no result.",
    )
    on_learner_error: Literal["stop", "reject"] = Field(
        default="stop",
        description="When a model raises on an event: stop, or undo the event, reject it and go on. An event "
        "after which a model is no longer finite is always undone and rejected.",
    )
    rejected_ratio_max: float = Field(
        default=0.99,
        gt=0,
        le=1,
        description="More rejected events than this share of the last 10,000 stop the stream: what comes in "
        "is not what the config describes. 1: never.",
    )
    stall_seconds: float = Field(
        default=60.0,
        gt=0,
        description="A partition that has work and does not move for so long is stuck: told, and not ready.",
    )
