"""``[source.kafka]`` and ``[source.files]``: where events come from."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from streamlearn.config.base import Name, Section

# Properties on which a guarantee rests; a config that changed them would break it silently.
OWNED_PROPERTIES = {
    "bootstrap.servers": "it is source.kafka.bootstrap_servers",
    "group.id": "it is source.kafka.group_id",
    "enable.auto.commit": "the belt commits after the checkpoint is durable (publish_before_commit)",
    "enable.auto.offset.store": "the belt commits after the checkpoint is durable (publish_before_commit)",
    "auto.offset.reset": "a reset hides lost events (offsets_increase); see source.kafka.start and on_gap",
    "enable.partition.eof": "the time-ordered merge needs it",
}


class KafkaSource(Section):
    bootstrap_servers: str = Field(min_length=1, description="`host:port`, comma-separated.")
    topics: tuple[str, ...] = Field(min_length=1, description="Topics to read; names, no patterns.")
    group_id: str = Field(min_length=1, description="Consumer group of all workers of this stream.")
    start: Literal["earliest", "latest"] | datetime = Field(
        default="earliest",
        description="Where to start in a partition that no checkpoint knows: `earliest`, `latest`, "
        "or a timestamp such as `2026-01-31T00:00:00Z` (the first record at or after it).",
    )
    client: Literal["confluent-kafka", "kafka-python"] = Field(
        default="confluent-kafka", description="Kafka client library. `kafka-python` is slower by far."
    )
    on_gap: Literal["stop", "skip"] = Field(
        default="stop",
        description="When a checkpoint points outside the log (retention, truncation): stop with an "
        "error, or skip to the nearest offset and count what was missed.",
    )
    poll_events: int = Field(
        default=16_384,
        ge=1,
        le=100_000,
        description="Most messages that one poll takes; fewer where they are large. Changes no result.",
    )
    buffer_bytes_max: int = Field(
        default=64 * 1024 * 1024,
        ge=1024,
        description="Bytes of messages read ahead of the belt; beyond it, reading pauses.",
    )
    revoke_budget_seconds: float = Field(
        default=20.0,
        gt=0,
        le=280,
        description="How long a rebalance waits for the belt to publish and release a partition.",
    )
    properties: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Settings passed to librdkafka as they are (TLS, SASL, fetch sizes).",
    )

    @field_validator("topics")
    @classmethod
    def _topics_are_names(cls, topics: tuple[str, ...]) -> tuple[str, ...]:
        for topic in topics:
            if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic):
                raise ValueError(f"{topic!r} is no topic name: letters, digits, '.', '_' and '-' only")
        if len(set(topics)) != len(topics):
            raise ValueError("a topic is named twice")
        return tuple(sorted(topics))

    @field_validator("properties", mode="before")
    @classmethod
    def _properties_as_text(cls, properties: Any) -> Any:
        if not isinstance(properties, dict):
            return properties
        return {
            key: str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in properties.items()
        }

    @field_validator("properties")
    @classmethod
    def _properties_that_are_ours(cls, properties: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for key in properties:
            if key in OWNED_PROPERTIES:
                raise ValueError(f"{key!r} cannot be set here: {OWNED_PROPERTIES[key]}")
        return properties

    def plain_properties(self) -> dict[str, str]:
        """Return the passed-through settings with their secrets in clear, for the client alone."""
        return {key: value.get_secret_value() for key, value in self.properties.items()}


class FilesSource(Section):
    paths: tuple[str, ...] = Field(
        min_length=1,
        description="JSON-lines files or glob patterns; each file is one partition, in sorted order.",
    )
    topic: Name = Field(default="files", description="What the files are called as a topic.")
    poll_events: int = Field(default=16_384, ge=1, le=100_000, description="Most lines one poll takes.")
    buffer_bytes_max: int = Field(
        default=64 * 1024 * 1024, ge=1024, description="Bytes of lines read ahead of the belt."
    )


class Source(Section):
    kafka: KafkaSource | None = Field(default=None, description="Read from Kafka.")
    files: FilesSource | None = Field(default=None, description="Read local files, without Kafka.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.kafka is None) == (self.files is None):
            raise ValueError("name exactly one source: [source.kafka] or [source.files]")
        return self

    @property
    def chosen(self) -> KafkaSource | FilesSource:
        """The one that is named."""
        source = self.kafka or self.files
        assert source is not None
        return source
