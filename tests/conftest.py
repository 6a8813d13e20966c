"""Fixtures for all tests: an Apache Kafka (see ``kafka_for_tests``), and waiting for a condition."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

# The test folders are no packages; their helpers beside this file are imported by plain name.
sys.path.insert(0, str(Path(__file__).parent))

import waiting
import worker_processes
from chromium_for_tests import Chromium, find_chromium
from kafka_for_tests import KafkaForTests, NoKafka, kafka_for_tests
from worker_processes import tell

from streamlearn.connectors.local_broker import LocalBroker
from streamlearn.environment import Environment
from streamlearn.errors import LocalBrokerError

_KAFKA, _CHROMIUM = "Apache Kafka", "Chromium"


def pytest_configure(config: pytest.Config) -> None:
    # kafka-python reads its own schemas so when it is imported, under Python 3.11 and 3.12.
    config.addinivalue_line("filterwarnings", "ignore:(open|read)_text is deprecated:DeprecationWarning")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        worker_processes.arrange(items)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    worker_processes.take_over(node.config, node)


def pytest_sessionfinish(session: pytest.Session) -> None:
    worker_processes.hand_over(session.config)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    worker_processes.show(config, terminalreporter)


@pytest.fixture(scope="session")
def without_kafka(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Ends the test that calls it, for want of a Kafka: skipped on a laptop, failed where ``CI=true``.

    Either way the reason is shown at the end of the run.
    """

    def end(reason: str) -> None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"no Apache Kafka, and CI=true:\n{reason}", pytrace=False)
        tell(pytestconfig, _KAFKA, [f"NO APACHE KAFKA, so tests that need it were SKIPPED:\n{reason}"])
        pytest.skip("no Apache Kafka")

    return end


@pytest.fixture
def broker(tmp_path: Path, without_kafka: Callable[[str], None]) -> Iterator[LocalBroker]:
    """A broker of its own, that may be stopped and started."""
    broker = LocalBroker(data=tmp_path / "broker", heap_megabytes=384)
    try:
        broker.start()
    except LocalBrokerError as error:
        without_kafka(str(error))
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config, without_kafka: Callable[[str], None]) -> Iterator[KafkaForTests]:
    """An Apache Kafka, one for each process of the run."""
    with ExitStack() as stack:
        try:
            kafka = stack.enter_context(
                kafka_for_tests(Environment(), lambda line: tell(pytestconfig, _KAFKA, [line]))
            )
        except NoKafka as error:
            without_kafka(str(error))
            raise
        tell(pytestconfig, _KAFKA, [f"the tests ran on {kafka.bootstrap_servers}, from {kafka.origin}"])
        yield kafka


@pytest.fixture(scope="session")
def chromium(pytestconfig: pytest.Config) -> Iterator[Chromium]:
    """A browser, one for each process of the run; without one, tests are skipped on a laptop and fail where ``CI=true``."""
    binary = find_chromium()
    if binary is None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail("no Chromium on the path, and CI=true: apt-get install chromium", pytrace=False)
        line = "NO CHROMIUM on the path, so tests of the live page were SKIPPED: apt-get install chromium"
        tell(pytestconfig, _CHROMIUM, [line])
        pytest.skip("no Chromium")
    with Chromium(binary) as browser:
        yield browser


@pytest.fixture(scope="session")
def eventually() -> Callable[..., object]:
    """``waiting.eventually``: the condition's first true value, or a failure at the deadline."""
    return waiting.eventually
