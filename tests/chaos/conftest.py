"""The long suite runs on request, by ``make test-rebalances``; what it measured is told at the end."""

from __future__ import annotations

import os

import pytest
from chaos.rebalance_report import Report, table

collect_ignore = [] if os.environ.get("REBALANCES") else ["test_many_rebalances.py"]

_REPORTS = pytest.StashKey[list[Report]]()


@pytest.fixture(scope="session")
def reports(pytestconfig: pytest.Config) -> list[Report]:
    """What is put here is printed as a table when all tests have run."""
    return pytestconfig.stash.setdefault(_REPORTS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reports = config.stash.get(_REPORTS, [])
    if reports:
        terminalreporter.section("rebalances, seconds")
        for line in table(reports):
            terminalreporter.line(line)
