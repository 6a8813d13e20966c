"""Fixtures for all tests: an Apache Kafka (see ``kafka_for_tests``), and waiting for a condition."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

# The test folders are no packages; their helpers beside this file are imported by plain name.
sys.path.insert(0, str(Path(__file__).parent))

import waiting
from chromium_for_tests import Chromium, find_chromium
from kafka_for_tests import KafkaForTests, NoKafka, kafka_for_tests

from streamlearn.environment import Environment

_LINES = pytest.StashKey[list[str]]()
_CHROMIUM_LINES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LINES] = []
    config.stash[_CHROMIUM_LINES] = []
    # kafka-python reads its own schemas so when it is imported, under Python 3.11 and 3.12.
    config.addinivalue_line("filterwarnings", "ignore:(open|read)_text is deprecated:DeprecationWarning")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for title, key in (("Apache Kafka", _LINES), ("Chromium", _CHROMIUM_LINES)):
        if config.stash[key]:
            terminalreporter.section(title)
            for line in config.stash[key]:
                terminalreporter.line(line)


@pytest.fixture(scope="session")
def without_kafka(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Ends the test that calls it, for want of a Kafka: skipped on a laptop, failed where ``CI=true``.

    Either way the reason is shown at the end of the run.
    """

    def end(reason: str) -> None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"no Apache Kafka, and CI=true:\n{reason}", pytrace=False)
        line = f"NO APACHE KAFKA, so tests that need it were SKIPPED:\n{reason}"
        if line not in pytestconfig.stash[_LINES]:
            pytestconfig.stash[_LINES].append(line)
        pytest.skip("no Apache Kafka")

    return end


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config, without_kafka: Callable[[str], None]) -> Iterator[KafkaForTests]:
    """An Apache Kafka, one for the whole run."""
    lines = pytestconfig.stash[_LINES]
    with ExitStack() as stack:
        try:
            kafka = stack.enter_context(kafka_for_tests(Environment(), lines.append))
        except NoKafka as error:
            without_kafka(str(error))
            raise
        lines.append(f"the tests ran on {kafka.bootstrap_servers}, from {kafka.origin}")
        yield kafka


@pytest.fixture(scope="session")
def chromium(pytestconfig: pytest.Config) -> Iterator[Chromium]:
    """A browser, one for the whole run; without one, tests are skipped on a laptop and fail where ``CI=true``."""
    binary = find_chromium()
    if binary is None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail("no Chromium on the path, and CI=true: apt-get install chromium", pytrace=False)
        line = "NO CHROMIUM on the path, so tests of the live page were SKIPPED: apt-get install chromium"
        pytestconfig.stash[_CHROMIUM_LINES] = [line]
        pytest.skip("no Chromium")
    with Chromium(binary) as browser:
        yield browser


@pytest.fixture(scope="session")
def eventually() -> Callable[..., object]:
    """``waiting.eventually``: the condition's first true value, or a failure at the deadline."""
    return waiting.eventually
