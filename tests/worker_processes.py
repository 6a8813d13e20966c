"""The run over several processes (pytest-xdist): which tests stay together, what begins first, what all tell.

Tests that share a fixture of their module stay in one process, or each would set it up again; and so do those
that start many daemons at once, or they would be in each other's way. Slow ones begin first, so that no process
ends with a long one alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

_TOLD = pytest.StashKey[dict[str, list[str]]]()
_KEY = "told"
_MANY_DAEMONS = "many daemons"  # the group of all tests of these files
_START_MANY = frozenset({"test_crash_equivalence.py", "test_many_rebalances.py", "test_rebalances.py"})


def tell(config: pytest.Config, title: str, lines: Sequence[str]) -> None:
    """Have lines shown at the end of the run under a title; a line that another process told too, once."""
    told = config.stash.setdefault(_TOLD, {}).setdefault(title, [])
    told += [line for line in lines if line not in told]


def arrange(items: list[pytest.Item]) -> None:
    """Mark what stays together, and put the slow first. The same in every process."""
    for item in items:
        if item.path.name in _START_MANY:
            item.add_marker(pytest.mark.xdist_group(_MANY_DAEMONS))
        elif not _is_slow(item) or _shares_a_module_fixture(item):
            item.add_marker(pytest.mark.xdist_group(item.path.name))
    slow = {_group(item) for item in items if _is_slow(item)}
    items.sort(key=lambda item: (_group(item) != _MANY_DAEMONS, _group(item) not in slow))


def hand_over(config: pytest.Config) -> None:
    """In a process of several: give what was told to the one that prints."""
    if hasattr(config, "workeroutput"):
        config.workeroutput[_KEY] = config.stash.get(_TOLD, {})


def take_over(config: pytest.Config, node: Any) -> None:
    """In the process that prints: take what another, which has ended, was told."""
    for title, lines in getattr(node, "workeroutput", {}).get(_KEY, {}).items():
        tell(config, title, lines)


def show(config: pytest.Config, reporter: pytest.TerminalReporter) -> None:
    for title, lines in config.stash.get(_TOLD, {}).items():
        reporter.section(title)
        for line in lines:
            reporter.line(line)


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


def _group(item: pytest.Item) -> str:
    mark = item.get_closest_marker("xdist_group")
    return item.nodeid if mark is None else mark.args[0]


def _shares_a_module_fixture(item: pytest.Item) -> bool:
    fixtures = getattr(item, "_fixtureinfo", None)
    defined = [] if fixtures is None else fixtures.name2fixturedefs.values()
    return any(each.scope == "module" for definitions in defined for each in definitions)
