"""The environment variables that this process reads: all of them, each documented, none read elsewhere.

A config file may refer to further ones by ``${NAME}``; that is ``config_file``'s business. Nothing
here is read at import time, so a test passes an ``Environment`` of its own.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Environment(BaseSettings):
    """What the environment says; a variable that is empty counts as not set.

    >>> Environment(streamlearn_cache=Path("/var/cache/streamlearn")).cache_folder.as_posix()
    '/var/cache/streamlearn'
    >>> Environment(streamlearn_cache=None, xdg_cache_home=Path("/tmp/x")).cache_folder.as_posix()
    '/tmp/x/streamlearn'
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    kafka_home: Path | None = Field(
        default=None,
        description="An installed Apache Kafka (4.0 or newer): the local broker runs the jars in its `libs`.",
    )
    java_home: Path | None = Field(
        default=None, description="A Java runtime (17 or newer) for the local broker, tried first."
    )
    streamlearn_cache: Path | None = Field(
        default=None,
        description="Where downloads are kept. Unset: `streamlearn` below XDG_CACHE_HOME or ~/.cache.",
    )
    xdg_cache_home: Path | None = Field(
        default=None, description="The user's cache folder (XDG Base Directory Specification)."
    )
    streamlearn_bootstrap_servers: str | None = Field(
        default=None,
        description="A Kafka that runs already, as `host:port`; the tests and the demo use it and start none.",
    )
    streamlearn_kafka_image: str = Field(
        default="apache/kafka:4.2.2",
        description="Container image that the tests start Kafka from, where a Docker engine runs.",
    )
    streamlearn_checkpoint_key: SecretStr | None = Field(
        default=None, description="Signs checkpoint files, and is asked of every file that is read."
    )

    @property
    def cache_folder(self) -> Path:
        """The folder for downloads; it need not exist yet."""
        if self.streamlearn_cache is not None:
            return self.streamlearn_cache.expanduser()
        if self.xdg_cache_home is not None:
            return self.xdg_cache_home / "streamlearn"
        return Path.home() / ".cache" / "streamlearn"

    @property
    def checkpoint_key(self) -> bytes | None:
        """The key that signs checkpoints; None: they are not signed."""
        key = self.streamlearn_checkpoint_key
        return None if key is None else key.get_secret_value().encode()
