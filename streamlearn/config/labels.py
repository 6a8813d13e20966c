"""``[labels]``: labels that come on a topic of their own, later than their events (docs/labels.md)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from streamlearn.config.base import Section
from streamlearn.config.event import TimeFormat

UNITS_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION_SECONDS_MAX = 366 * 86400.0

_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds_of(value: Any) -> Any:
    """Return a duration such as ``"6h"`` or ``"1d12h"`` in seconds; what is no text, as it is.

    >>> seconds_of("6h"), seconds_of("1h30m"), seconds_of(2.5)
    (21600.0, 5400.0, 2.5)
    """
    if not isinstance(value, str):
        return value
    pieces = _PIECE.findall(value)
    if not pieces or "".join(number + unit for number, unit in pieces) != value:
        raise ValueError(
            f'{value!r} is no duration: write "90s", "45m", "6h" or "7d", or a number of seconds'
        )
    return sum(float(number) * UNITS_SECONDS[unit] for number, unit in pieces)


Duration = Annotated[float, BeforeValidator(seconds_of), Field(ge=0, le=DURATION_SECONDS_MAX)]


class Labels(Section):
    topic: str = Field(
        default="labels",
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="Topic of the labels, on the same broker as the events; for local files, what they are "
        "called as a topic.",
    )
    paths: tuple[str, ...] = Field(
        default=(),
        description="With `[source.files]`: JSON-lines files or glob patterns of the labels; each file is one "
        "partition, in sorted order.",
    )
    format: Literal["json"] = Field(default="json", description="How a label message is written.")
    id: str = Field(
        min_length=1,
        description="Field of a label message that names its event by the event's id (`event.id`).",
    )
    label: str = Field(min_length=1, description="Field of a label message that holds the label.")
    time: str | None = Field(
        default=None,
        description="Field that holds when the label came to be known. Unset: the record's timestamp.",
    )
    time_format: TimeFormat = Field(
        default="iso8601",
        description="How that time is written. ISO 8601 without an offset is taken as UTC.",
    )
    wait: Duration = Field(
        description='How long an event waits for its label, in event time: `"6h"`, `"45m"`, `"7d"`, or seconds.'
    )
    on_expiry: bool | int | float | str = Field(
        default="drop",
        description="What becomes of an event whose label did not come in time: `drop`, or the label that it is "
        "learned with then (no click is a negative).",
    )
    on_late_label: Literal["ignore", "learn", "correct"] = Field(
        default="ignore",
        description="A label that comes after `wait`, while its event is remembered: `ignore` it, or `learn` it; or "
        "`correct`: learn it with the weight that undoes in expectation that the event was learned with "
        "`on_expiry`. Binary task; for models that take weights.",
    )
    on_correction: Literal["ignore", "learn"] = Field(
        default="ignore",
        description="Another label for an event that has one: `ignore` it, or `learn` from it as well.",
    )
    remember: Duration | None = Field(
        default=None,
        description="How long an event is remembered after its wait, so that late labels, duplicates and "
        "corrections are known for what they are. Unset: as long as `wait`.",
    )
    early_wait: Duration | None = Field(
        default=None,
        description="How long a label waits for an event that comes after it. Unset: as long as `wait`.",
    )
    early_max: int = Field(
        default=100_000,
        ge=0,
        le=10_000_000,
        description="Most labels that wait for their events; of more, the oldest is an orphan.",
    )
    pending_bytes_max: int = Field(
        default=16 * 1024**3,
        ge=1024,
        description="Bytes of kept events of one shard, on disk and in memory; beyond it, reading events pauses "
        "(labels go on), and /readyz says so.",
    )

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        if self.on_late_label == "correct" and self.default_label is None:
            raise ValueError(
                'on_late_label = "correct" undoes the label of on_expiry, and on_expiry = "drop" teaches none: set '
                'on_expiry to a label, or use "learn"'
            )
        if self.wait <= 0:
            raise ValueError(
                "wait must be more than nothing: an event whose label comes with it needs no [labels]"
            )
        if self.id == self.label:
            raise ValueError(f"the field {self.id!r} is named both as labels.id and as labels.label")
        return self

    @property
    def remember_seconds(self) -> float:
        return self.wait if self.remember is None else self.remember

    @property
    def early_seconds(self) -> float:
        return self.wait if self.early_wait is None else self.early_wait

    @property
    def default_label(self) -> bool | int | float | str | None:
        """What an event is learned with when its label did not come; ``None``: it is not."""
        return None if self.on_expiry == "drop" else self.on_expiry
