"""kafka-python's errors as ours, for its reader and its member alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafka.errors import (
    AuthorizationError,
    BrokerResponseError,
    KafkaConfigurationError,
    KafkaError,
    LogTruncationError,
    NoOffsetForPartitionError,
    RetriableError,
    UnknownTopicOrPartitionError,
)

from streamlearn.errors import BrokerUnavailable, ConfigError, SourceError, TopicMissing

# Everything else that kafka-python raises is about connections and time.
REFUSALS = (BrokerResponseError, LogTruncationError, NoOffsetForPartitionError)


@contextmanager
def typed_errors(doing: str) -> Iterator[None]:
    """Turn kafka-python's errors into ours; ``doing`` says what was tried.

    >>> with typed_errors("asking"):
    ...     raise UnknownTopicOrPartitionError()
    Traceback (most recent call last):
    streamlearn.errors.TopicMissing: asking: ...
    """
    try:
        yield
    except KafkaConfigurationError as error:
        raise ConfigError(
            f"source.kafka.properties: {error}", remedy="correct the property that it names"
        ) from error
    except UnknownTopicOrPartitionError as error:
        raise TopicMissing(
            f"{doing}: {error!r}", remedy="create the topic, or correct its name in the config"
        ) from error
    except AuthorizationError as error:
        raise SourceError(
            f"{doing}: {error!r}",
            remedy="give this user Describe and Read on the topics and on the group source.kafka.group_id",
        ) from error
    except KafkaError as error:
        if isinstance(error, REFUSALS) and not isinstance(error, RetriableError):
            raise SourceError(
                f"{doing}: {error!r}", remedy="look the error up in Kafka's protocol guide"
            ) from error
        raise BrokerUnavailable(
            f"{doing}: {error!r}",
            remedy="check source.kafka.bootstrap_servers, and that the broker runs and can be reached",
        ) from error
