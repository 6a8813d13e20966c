"""Settings of the handles: what a guarantee rests on cannot be changed, what is the user's passes through."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from streamlearn.config import OWNED_PROPERTIES, KafkaSource
from streamlearn.connectors.kafka_errors import opened
from streamlearn.connectors.kafka_settings import (
    CONSUMER_ONLY,
    OWNED_BESIDE,
    PRODUCER_ONLY,
    client_settings,
    is_cooperative,
    member_settings,
    producer_settings,
    reader_settings,
)
from streamlearn.errors import ConfigError


def source(properties: dict[str, Any] | None = None, **fields: Any) -> KafkaSource:
    return KafkaSource(
        bootstrap_servers="127.0.0.1:9", topics=("t",), group_id="g", properties=properties or {}, **fields
    )


def test_nothing_commits_resets_or_creates_by_itself() -> None:
    for settings in (reader_settings(source()), member_settings(source())):
        assert settings["enable.auto.commit"] is False
        assert settings["enable.auto.offset.store"] is False
        assert settings["allow.auto.create.topics"] is False
    assert reader_settings(source())["auto.offset.reset"] == "error"


@pytest.mark.parametrize("name", sorted(OWNED_BESIDE))
def test_what_a_guarantee_rests_on_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name.replace(".", r"\.")):
        client_settings("b:1", {name: "x"})


@pytest.mark.parametrize("name", sorted(OWNED_PROPERTIES))
def test_the_config_refuses_what_it_owns(name: str) -> None:
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        source({name: "x"})


def test_users_properties_win_over_defaults() -> None:
    settings = reader_settings(source({"isolation.level": "read_uncommitted", "fetch.wait.max.ms": 7}))
    assert settings["isolation.level"] == "read_uncommitted"
    assert settings["fetch.wait.max.ms"] == "7"


def test_each_handle_gets_only_what_means_something_to_it() -> None:
    mixed = source({"linger.ms": 50, "session.timeout.ms": 6000, "fetch.min.bytes": 2, "sasl.username": "a"})
    reader, member = reader_settings(mixed), member_settings(mixed)
    producer = producer_settings(mixed.bootstrap_servers, mixed.plain_properties())
    assert {"linger.ms"} & reader.keys() == set()
    assert {"session.timeout.ms", "sasl.username"} <= member.keys()
    assert "session.timeout.ms" not in reader
    assert {"linger.ms", "sasl.username"} <= producer.keys()
    assert not producer.keys() & CONSUMER_ONLY
    assert not (reader.keys() | member.keys()) & PRODUCER_ONLY


@pytest.mark.parametrize("buffer_bytes_max", [1024, 1024**2, 64 * 1024**2, 1024**3])
def test_the_buffer_bounds_queue_and_fetches(buffer_bytes_max: int) -> None:
    settings = reader_settings(source(buffer_bytes_max=buffer_bytes_max))
    queue = int(settings["queued.max.messages.kbytes"]) * 1024
    assert queue + int(settings["fetch.max.bytes"]) <= max(buffer_bytes_max, 2048)


def test_librdkafka_takes_all_of_it() -> None:
    for kind, settings in [
        (Consumer, reader_settings(source(buffer_bytes_max=1024))),
        (Consumer, member_settings(source())),
        (Consumer, member_settings(source({"group.protocol": "consumer"}))),
        (
            Consumer,
            member_settings(source({"partition.assignment.strategy": "range", "group.instance.id": "a"})),
        ),
        (Producer, producer_settings("127.0.0.1:9", {})),
    ]:
        opened(kind, settings).close()


def test_a_refused_property_is_named_and_its_value_is_not() -> None:
    with pytest.raises(ConfigError, match=r"fetch\.wait\.max\.ms") as caught:
        opened(Consumer, reader_settings(source({"fetch.wait.max.ms": "s3cret"})))
    assert "s3cret" not in str(caught.value)


def test_kip_848_gets_no_classic_setting() -> None:
    assert "partition.assignment.strategy" not in member_settings(source({"group.protocol": "consumer"}))


@pytest.mark.parametrize(
    ("properties", "cooperative"),
    [
        ({}, True),
        ({"partition.assignment.strategy": "roundrobin"}, False),
        ({"partition.assignment.strategy": "cooperative-sticky"}, True),
        ({"group.protocol": "consumer"}, True),
    ],
)
def test_how_partitions_are_given(properties: dict[str, str], cooperative: bool) -> None:
    assert is_cooperative(member_settings(source(properties))) is cooperative


def test_an_interval_that_is_no_number_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"max\.poll\.interval\.ms"):
        opened(Consumer, member_settings(source({"max.poll.interval.ms": "soon"})))


def test_a_revoke_may_not_outlast_the_poll_interval() -> None:
    with pytest.raises(ConfigError, match=r"max\.poll\.interval\.ms = 20000 .*revoke_budget_seconds = 20"):
        member_settings(source({"max.poll.interval.ms": 20_000}))
    assert member_settings(source({"max.poll.interval.ms": 20_000}, revoke_budget_seconds=10))
