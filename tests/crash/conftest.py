"""Helpers beside this file are imported by plain name; what the crash suite counted is told at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from crash_tally import Tally
from zygote import Zygote

_TALLIES = pytest.StashKey[list[Tally]]()


@pytest.fixture(scope="session")
def tallies(pytestconfig: pytest.Config) -> list[Tally]:
    """What is put here is printed as a table when all tests have run."""
    return pytestconfig.stash.setdefault(_TALLIES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for tally in config.stash.get(_TALLIES, []):
        terminalreporter.section("kills")
        for line in tally.table():
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def zygotes() -> Iterator[dict[int, Zygote]]:
    """One for each ``stream.seed`` of the suite: the daemon runs under its own seed as PYTHONHASHSEED."""
    with Zygote(0) as zero, Zygote(1) as one:
        yield {0: zero, 1: one}
