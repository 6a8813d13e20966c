"""Helpers beside this file are imported by plain name; what the crash suite counted is told at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from crash_tally import Tally
from worker_processes import tell
from zygote import Zygote


@pytest.fixture(scope="session")
def tallies(pytestconfig: pytest.Config) -> Iterator[list[Tally]]:
    """What is put here is shown as a table at the end of the run."""
    tallies: list[Tally] = []
    yield tallies
    for tally in tallies:
        tell(pytestconfig, "kills", tally.table())


@pytest.fixture(scope="session")
def zygotes() -> Iterator[dict[int, Zygote]]:
    """One for each ``stream.seed`` of the suite: the daemon runs under its own seed as PYTHONHASHSEED."""
    with Zygote(0) as zero, Zygote(1) as one:
        yield {0: zero, 1: one}
