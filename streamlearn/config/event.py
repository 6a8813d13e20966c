"""``[event]``: the contract of one message."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from streamlearn.config.base import Section

TimeFormat = Literal["iso8601", "epoch_seconds", "epoch_milliseconds", "epoch_microseconds"]


class Event(Section):
    format: Literal["json", "arrow"] = Field(
        default="json",
        description="How a message is written: `json`, one event as a JSON object; `arrow`, many events as one "
        "record batch in an Arrow IPC stream (docs/wire.md).",
    )
    label: str | None = Field(
        default=None, description="Field that holds the label; absent or null: none yet."
    )
    classes: tuple[bool | int | str, ...] | None = Field(
        default=None,
        description="The label's classes. Unset: binary takes true/false or 0/1, multiclass learns them "
        "from the stream, in the order in which they first appear.",
    )
    classes_max: int = Field(
        default=1000,
        ge=2,
        le=100_000,
        description="Most classes learned from the stream; one more is rejected.",
    )
    time: str | None = Field(
        default=None, description="Field that holds the event time. Unset: the record's timestamp."
    )
    time_format: TimeFormat = Field(
        default="iso8601",
        description="How the event time is written. ISO 8601 without an offset is taken as UTC.",
    )
    id: str | None = Field(default=None, description="Field that holds the event's id (text or integer).")
    numeric: tuple[str, ...] = Field(default=(), description="Numeric features: numbers or booleans.")
    categorical: tuple[str, ...] = Field(
        default=(), description="Categorical features: text, integers or booleans."
    )
    missing: Literal["mean", "zero", "reject"] = Field(
        default="mean",
        description="A missing numeric feature becomes the running mean of the stream, or zero, or the "
        "event is rejected. A missing categorical is a category of its own (or rejected).",
    )
    categories_max: int = Field(
        default=100_000,
        ge=1,
        description="Most categories of one feature that models see; those that come later are one to them.",
    )
    message_bytes_max: int = Field(
        default=1024 * 1024, ge=2, le=1024**3, description="A longer message is rejected, in bytes."
    )
    message_events_max: int = Field(
        default=100_000,
        ge=1,
        le=10_000_000,
        description="`arrow`: a message of more events is rejected. A message is learned as a whole, between two "
        "looks at the clock.",
    )
    unfolded_bytes_max: int = Field(
        default=64 * 1024 * 1024,
        ge=1024,
        le=1024**3,
        description="`arrow`: a message that takes more bytes in memory, once its compressed buffers and its "
        "dictionaries are unfolded, is rejected.",
    )

    @model_validator(mode="after")
    def _fields_have_one_role(self) -> Self:
        features = [*self.numeric, *self.categorical]
        for name in features:
            if features.count(name) > 1:
                raise ValueError(f"the feature {name!r} is named twice")
        # An id or a time may be a feature as well; a label never may.
        if self.label is not None and self.label in (self.id, self.time, *features):
            raise ValueError(
                f"the field {self.label!r} is named both as label and as something that predicts it"
            )
        if not self.numeric and not self.categorical:
            raise ValueError("name at least one feature: numeric = [...] or categorical = [...]")
        if self.classes is not None and len(set(map(repr, self.classes))) < 2:
            raise ValueError("classes needs at least two different values")
        return self
