"""The long suite runs on request, by ``make test-rebalances``; what it measured is told at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from chaos.rebalance_report import Report, table
from worker_processes import tell

collect_ignore = [] if os.environ.get("REBALANCES") else ["test_many_rebalances.py"]


@pytest.fixture(scope="session")
def reports(pytestconfig: pytest.Config) -> Iterator[list[Report]]:
    """What is put here is shown as a table at the end of the run."""
    reports: list[Report] = []
    yield reports
    if reports:
        tell(pytestconfig, "rebalances, seconds", table(reports))
