"""Every socket that kafka-python opened is closed when its client is."""

from __future__ import annotations

import gc
import logging
import socket
import warnings

import pytest
from kafka import KafkaConsumer
from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient
from waiting import eventually

from streamlearn.connectors.kafka_python_client import ClosingClient
from streamlearn.connectors.kafka_python_settings import open_consumer


def forgotten_by(client_class: type[KafkaNetClient], port: int) -> list[str]:
    """Begin to connect, close the client before the connection is used, and name the sockets left open."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        client = client_class(bootstrap_servers=[f"127.0.0.1:{port}"])
        client.maybe_connect(client.cluster.bootstrap_brokers()[0].node_id)
        client.poll(timeout_ms=0)
        client.close()
        del client
        gc.collect()
    return [str(each.message) for each in caught]


@pytest.fixture(autouse=True)
def _no_records(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "kafka")  # a record holds a traceback, and that the socket


@pytest.fixture
def refusing_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_kafka_python_itself_still_forgets_some(refusing_port: int) -> None:
    assert forgotten_by(KafkaNetClient, refusing_port), "it forgets none now: ClosingClient can go"


def test_a_refused_connection_is_not_forgotten(refusing_port: int) -> None:
    assert forgotten_by(ClosingClient, refusing_port) == []


def test_a_connection_is_closed_that_nobody_answers(refusing_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert forgotten_by(ClosingClient, port) == []
        # What was opened was closed: the listener sees the end of it.
        listener.settimeout(10)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)
            eventually(lambda: connection.recv(65536) == b"", 10, why="the end of the connection")


def test_a_consumer_that_cannot_be_made_leaves_nothing_open(refusing_port: int) -> None:
    with pytest.raises(KafkaError):
        open_consumer({"bootstrap_servers": [f"127.0.0.1:{refusing_port}"], "bootstrap_timeout_ms": 300})
    gc.collect()  # a forgotten socket would warn, which is an error


def test_consumers_take_it() -> None:
    assert KafkaConsumer.DEFAULT_CONFIG["kafka_client"] is KafkaNetClient
