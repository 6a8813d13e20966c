"""librdkafka's errors as ours: what is typed, what is waited for, what the operator should do.

One table for reader, member, sinks and admin, so that the same trouble reads the same everywhere.
"""

from __future__ import annotations

from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from streamlearn.connectors.kafka_settings import Settings
from streamlearn.errors import BrokerUnavailable, ConfigError, SourceError, TopicMissing

Handle = TypeVar("Handle", Consumer, Producer, AdminClient)

# The broker is away, or busy with itself; librdkafka retries these and recovers by itself.
UNAVAILABLE = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._DESTROY_BROKER,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._TRANSPORT,
        KafkaError._WAIT_CACHE,
        KafkaError._WAIT_COORD,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
    }
)
MISSING = frozenset(
    {
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)
OUT_OF_LOG = frozenset(
    {
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError._LOG_TRUNCATION,
        KafkaError.OFFSET_OUT_OF_RANGE,
    }
)
_REMEDIES = {
    KafkaError._AUTHENTICATION: "check sasl.* and ssl.* in source.kafka.properties",
    KafkaError.SASL_AUTHENTICATION_FAILED: "check sasl.* in source.kafka.properties",
    KafkaError._SSL: "check ssl.* in source.kafka.properties and the broker's certificate",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "give this user Describe and Read on the topics that it reads, "
    "Describe and Write on those that it writes",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "give this user Describe and Read on the group source.kafka.group_id",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "give this user IdempotentWrite on the cluster (brokers before 2.8)",
    KafkaError.FENCED_INSTANCE_ID: "another worker runs with the same group.instance.id: give each its own",
    KafkaError.UNRELEASED_INSTANCE_ID: "another worker holds this group.instance.id: stop it, or wait for its "
    "session to expire",
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: "all workers of the group need the same "
    "partition.assignment.strategy; stop the others, or use another source.kafka.group_id",
    KafkaError.GROUP_MAX_SIZE_REACHED: "the broker's group.max.size is reached: stop a worker or raise it",
    KafkaError.UNSUPPORTED_VERSION: "the broker is too old for what was asked; group.protocol = consumer needs "
    "Kafka 4.0",
    KafkaError.INVALID_SESSION_TIMEOUT: "set session.timeout.ms between the broker's "
    "group.min.session.timeout.ms and group.max.session.timeout.ms",
}


def error_of(exception: KafkaException) -> KafkaError:
    """Return the error that a ``KafkaException`` carries."""
    error = exception.args[0]
    assert isinstance(error, KafkaError), f"librdkafka's error, not {error!r}"
    return error


def source_error(error: KafkaError, doing: str) -> SourceError:
    """Return the typed error for what librdkafka said while ``doing`` something.

    >>> error = source_error(KafkaError(KafkaError._ALL_BROKERS_DOWN), "asking for the watermarks of t[0]")
    >>> type(error).__name__
    'BrokerUnavailable'
    """
    what = f"{doing}: {error.str()} ({error.name()})"
    code = error.code()
    if code in UNAVAILABLE:
        return BrokerUnavailable(
            what, remedy="check source.kafka.bootstrap_servers, and that the broker runs and can be reached"
        )
    if code in MISSING:
        return TopicMissing(what, remedy="create the topic, or correct its name in the config")
    remedy = _REMEDIES.get(code, "look the error up in Kafka's protocol guide, and at the broker's log")
    return SourceError(what, remedy=remedy)


def opened(kind: type[Handle], settings: Settings, **callbacks: Any) -> Handle:
    """Return a new client handle.

    Raises
    ------
    ConfigError
        When librdkafka refuses a setting. The message names the setting and never its value.
    """
    configuration: dict[str, Any] = {**settings, **callbacks}
    try:
        return kind(configuration)
    except KafkaException as exception:
        raise ConfigError(
            f"source.kafka.properties: {error_of(exception).str()}",
            remedy="see librdkafka's CONFIGURATION.md for the names and the values that it takes",
        ) from exception
