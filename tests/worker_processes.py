"""The run over several processes (pytest-xdist), a file of tests each: what begins first, what all tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

_TOLD = pytest.StashKey[dict[str, list[str]]]()
_KEY = "told"
# The first goes to one process, the second to another, and so on in turn: so that no process ends with a long one
# alone, and that those that start many daemons at once do not meet.
_LONGEST = ("test_crash_equivalence.py", "test_daemon.py", "test_rebalances.py")


def tell(config: pytest.Config, title: str, lines: Sequence[str]) -> None:
    """Have lines shown at the end of the run under a title; a line that another process told too, once."""
    told = config.stash.setdefault(_TOLD, {}).setdefault(title, [])
    told += [line for line in lines if line not in told]


def arrange(items: list[pytest.Item]) -> None:
    """Put files of long tests first, the same in every process; in a file nothing moves."""
    slow = {item.path for item in items if item.get_closest_marker("slow") is not None}

    def place(item: pytest.Item) -> int:
        if item.path.name in _LONGEST:
            return _LONGEST.index(item.path.name)
        return len(_LONGEST) + (item.path not in slow)

    items.sort(key=place)


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
