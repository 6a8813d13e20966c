"""``[predictions]``, ``[dead_letters]``, ``[checkpoint]`` and ``[http]``: what leaves the daemon, and what it keeps."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from streamlearn.config.base import Section


class PredictionsOut(Section):
    topic: str = Field(min_length=1, description="Topic to which predictions are written.")
    format: Literal["json", "arrow"] = Field(
        default="json",
        description="`json`: a record for each event and model, under the event's key. `arrow`: a record batch in "
        "an Arrow IPC stream for each model and partition of a micro-batch, under the model's name "
        "(docs/wire.md).",
    )
    delivery: Literal["exactly_once", "at_least_once"] = Field(
        default="at_least_once",
        description="`exactly_once`: predictions, dead letters and the group's offsets go out in Kafka "
        "transactions, and a `read_committed` reader sees each prediction once, whatever happens. "
        "`at_least_once`: repeats after a crash, each record with its source coordinates.",
    )
    commit_ms: int = Field(
        default=100,
        ge=1,
        le=60_000,
        description="`exactly_once` commits a transaction this often, in milliseconds: no reader sees a "
        "prediction before.",
    )
    transaction_timeout_seconds: float = Field(
        default=60.0,
        ge=1,
        le=900,
        description="After so long the broker aborts a transaction that was left open (brokers allow 15 "
        "minutes by default). A transaction spans `commit_ms` and one outage of the broker.",
    )

    @model_validator(mode="after")
    def _transactions_end_in_time(self) -> Self:
        if self.transaction_timeout_seconds * 1000 < 10 * self.commit_ms:
            raise ValueError(
                f"transaction_timeout_seconds = {self.transaction_timeout_seconds:g} must be at least ten times "
                f"commit_ms = {self.commit_ms}, or the broker aborts transactions that are at work"
            )
        return self


class DeadLetters(Section):
    topic: str | None = Field(default=None, description="Topic that keeps rejected bytes.")
    path: str = Field(
        default="dead-letters.jsonl", description="Local file that keeps rejected bytes when no topic is set."
    )


class Checkpoint(Section):
    path: str = Field(
        default="checkpoints",
        min_length=1,
        description="Folder, or an fsspec URL (`s3://bucket/folder`).",
    )
    every_seconds: float = Field(default=30.0, gt=0, description="A checkpoint at least this often.")
    every_events: int | None = Field(default=None, ge=1, description="And after this many events.")
    keep: int = Field(default=5, ge=2, le=1000, description="Checkpoints kept for each shard.")


class Http(Section):
    enabled: bool = Field(default=True, description="Serve /metrics, /healthz, /readyz and the live page.")
    host: str = Field(default="127.0.0.1", description="Address to bind to; loopback by default.")
    port: int = Field(default=9464, ge=0, le=65_535, description="Port; 0 takes a free one.")
    rejected_sample_bytes: int = Field(
        default=200,
        ge=0,
        le=4096,
        description="The page shows so many bytes of the last rejected event of each reason; 0 shows none. They may "
        "be personal data, and the console has no log-in.",
    )
