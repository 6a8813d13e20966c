"""The same settings for kafka-python: ``properties`` are written as librdkafka names them, once, for both.

Upholds what kafka_settings.py upholds; kafka-python's defaults differ (read_uncommitted, automatic
commits and topics, resets), so each is set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kafka import KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.errors import KafkaError

from streamlearn.config import KafkaSource
from streamlearn.connectors.kafka_python_client import ClosingClient
from streamlearn.connectors.kafka_settings import (
    FETCHES_IN_BUFFER,
    PARTITION_FETCH_BYTES_MAX,
    PRODUCER_ONLY,
    client_settings,
)
from streamlearn.errors import ConfigError

Arguments = dict[str, Any]

_ASSIGNORS = {
    "cooperative-sticky": CooperativeStickyAssignor,
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
}


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return text.lower() == "true"


def _assignors(text: str) -> list[type]:
    return [_ASSIGNORS[name.strip()] for name in text.split(",")]


def _checks_host(text: str) -> bool:
    return text.lower() != "none"


# librdkafka's name -> kafka-python's, and how the text is read.
_TRANSLATION: dict[str, tuple[str, Callable[[str], Any]]] = {
    "check.crcs": ("check_crcs", _boolean),
    "client.id": ("client_id", str),
    "client.rack": ("client_rack", str),
    "connections.max.idle.ms": ("connections_max_idle_ms", int),
    "fetch.max.bytes": ("fetch_max_bytes", int),
    "fetch.message.max.bytes": ("max_partition_fetch_bytes", int),
    "fetch.min.bytes": ("fetch_min_bytes", int),
    "fetch.wait.max.ms": ("fetch_max_wait_ms", int),
    "group.instance.id": ("group_instance_id", str),
    "heartbeat.interval.ms": ("heartbeat_interval_ms", int),
    "isolation.level": ("isolation_level", str),
    "max.partition.fetch.bytes": ("max_partition_fetch_bytes", int),
    "max.poll.interval.ms": ("max_poll_interval_ms", int),
    "metadata.max.age.ms": ("metadata_max_age_ms", int),
    "partition.assignment.strategy": ("partition_assignment_strategy", _assignors),
    "reconnect.backoff.max.ms": ("reconnect_backoff_max_ms", int),
    "reconnect.backoff.ms": ("reconnect_backoff_ms", int),
    "retry.backoff.ms": ("retry_backoff_ms", int),
    "sasl.kerberos.service.name": ("sasl_kerberos_service_name", str),
    "sasl.mechanism": ("sasl_mechanism", str),
    "sasl.mechanisms": ("sasl_mechanism", str),
    "sasl.password": ("sasl_plain_password", str),
    "sasl.username": ("sasl_plain_username", str),
    "security.protocol": ("security_protocol", str.upper),
    "session.timeout.ms": ("session_timeout_ms", int),
    "socket.timeout.ms": ("request_timeout_ms", int),
    "ssl.ca.location": ("ssl_cafile", str),
    "ssl.certificate.location": ("ssl_certfile", str),
    "ssl.cipher.suites": ("ssl_ciphers", str),
    "ssl.crl.location": ("ssl_crlfile", str),
    "ssl.endpoint.identification.algorithm": ("ssl_check_hostname", _checks_host),
    "ssl.key.location": ("ssl_keyfile", str),
    "ssl.key.password": ("ssl_password", str),
}


def reader_arguments(source: KafkaSource) -> Arguments:
    """Return the arguments of the ``KafkaConsumer`` that reads.

    >>> source = KafkaSource(bootstrap_servers="b:1", topics=("t",), group_id="g",
    ...                      properties={"sasl.mechanisms": "PLAIN", "linger.ms": 5})
    >>> arguments = reader_arguments(source)
    >>> arguments["isolation_level"], arguments["auto_offset_reset"], arguments["sasl_mechanism"]
    ('read_committed', 'none', 'PLAIN')
    """
    fetch_bytes = source.buffer_bytes_max // FETCHES_IN_BUFFER
    return {
        "isolation_level": "read_committed",
        "fetch_max_wait_ms": 100,
        "fetch_max_bytes": fetch_bytes,
        "max_partition_fetch_bytes": min(PARTITION_FETCH_BYTES_MAX, fetch_bytes),
        **_common(source),
        "group_id": None,
        "group_instance_id": None,
        "auto_offset_reset": "none",
    }


def member_arguments(source: KafkaSource) -> Arguments:
    """Return the arguments of the ``KafkaConsumer`` that is in the group, and never reads.

    >>> member_arguments(KafkaSource(bootstrap_servers="b:1", topics=("t",), group_id="g"))["group_id"]
    'g'
    """
    return {
        "partition_assignment_strategy": [CooperativeStickyAssignor],
        **_common(source),
        "group_id": source.group_id,
        # Its partitions are paused at their ends: never a reset, never a message.
        "auto_offset_reset": "latest",
    }


def open_consumer(arguments: Arguments) -> KafkaConsumer:
    """Return a new ``KafkaConsumer``; it asks a broker before it returns.

    Raises what kafka-python raises, and leaves nothing open then.
    """
    clients: list[ClosingClient] = []

    def make_client(**settings: Any) -> ClosingClient:
        clients.append(ClosingClient(**settings))
        return clients[-1]

    try:
        return KafkaConsumer(**arguments, kafka_client=make_client)
    except KafkaError:
        for client in clients:
            client.close()
        raise


def _common(source: KafkaSource) -> Arguments:
    properties = source.plain_properties()
    client_settings(source.bootstrap_servers, properties)  # refuses what a guarantee rests on
    return {
        "client_id": "streamlearn",
        "reconnect_backoff_max_ms": 2000,
        "bootstrap_timeout_ms": 10_000,
        "metrics_enabled": False,
        **_translated(properties),
        "bootstrap_servers": [server.strip() for server in source.bootstrap_servers.split(",")],
        "enable_auto_commit": False,
        "allow_auto_create_topics": False,
    }


def _translated(properties: Mapping[str, str]) -> Arguments:
    arguments: Arguments = {}
    for name, text in properties.items():
        if name in PRODUCER_ONLY:
            continue  # predictions and dead letters go out by librdkafka, whatever reads
        if name not in _TRANSLATION:
            raise ConfigError(
                f"source.kafka.properties: {name!r} means nothing to kafka-python",
                remedy=f'remove {name!r}, or set source.kafka.client = "confluent-kafka"',
            )
        argument, read = _TRANSLATION[name]
        try:
            arguments[argument] = read(text)
        except (KeyError, ValueError) as error:
            # The value may be a secret: it is not shown.
            raise ConfigError(
                f"source.kafka.properties: {name!r} has a value that kafka-python does not take",
                remedy="see librdkafka's CONFIGURATION.md for what it may be",
            ) from error
    return arguments
