"""librdkafka's names, as kafka-python takes them."""

from __future__ import annotations

from typing import Any

import pytest
from kafka import KafkaConsumer

from streamlearn.config import KafkaSource
from streamlearn.connectors.kafka_python_settings import member_arguments, reader_arguments
from streamlearn.errors import ConfigError


def source(properties: dict[str, Any] | None = None) -> KafkaSource:
    return KafkaSource(bootstrap_servers="b:1, c:2", topics=("t",), group_id="g", properties=properties or {})


def test_its_defaults_are_not_trusted() -> None:
    reader = reader_arguments(source())
    assert reader["isolation_level"] == "read_committed"
    assert reader["auto_offset_reset"] == "none"
    for arguments in (reader, member_arguments(source())):
        assert arguments["enable_auto_commit"] is False
        assert arguments["allow_auto_create_topics"] is False
        assert arguments["bootstrap_servers"] == ["b:1", "c:2"]
        assert arguments.keys() <= KafkaConsumer.DEFAULT_CONFIG.keys()


def test_properties_are_translated_with_their_types() -> None:
    arguments = member_arguments(
        source(
            {
                "security.protocol": "sasl_ssl",
                "session.timeout.ms": 9000,
                "ssl.ca.location": "/ca.pem",
                "ssl.endpoint.identification.algorithm": "none",
                "check.crcs": False,
            }
        )
    )
    assert arguments["security_protocol"] == "SASL_SSL"
    assert arguments["session_timeout_ms"] == 9000
    assert arguments["ssl_cafile"] == "/ca.pem"
    assert arguments["ssl_check_hostname"] is False
    assert arguments["check_crcs"] is False


def test_what_it_does_not_know_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"group\.protocol") as caught:
        member_arguments(source({"group.protocol": "consumer"}))
    assert "confluent-kafka" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "value"),
    [("session.timeout.ms", "s3cret"), ("check.crcs", "s3cret"), ("partition.assignment.strategy", "s3cret")],
)
def test_a_bad_value_is_refused_without_showing_it(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        member_arguments(source({name: value}))
    assert name in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_what_a_guarantee_rests_on_is_refused_here_too() -> None:
    with pytest.raises(ConfigError, match=r"transactional\.id"):
        reader_arguments(source({"transactional.id": "x"}))


def test_properties_of_producers_are_left_to_the_producer() -> None:
    assert not any("linger" in argument for argument in reader_arguments(source({"linger.ms": 5})))
