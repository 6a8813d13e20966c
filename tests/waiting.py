"""Waiting for a condition with a deadline: what tests do in place of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def eventually(
    condition: Callable[[], Found], deadline_seconds: float = 15.0, *, why: str | None = None
) -> Found:
    """Return the condition's first true value; fail when there is none by the deadline.

    >>> answers = iter([0, 0, 7])
    >>> eventually(lambda: next(answers))
    7
    >>> eventually(lambda: [], 0.01, why="a list that is never filled")
    Traceback (most recent call last):
    AssertionError: not within 0.01 s: a list that is never filled; the last answer was []
    """
    deadline = time.monotonic() + deadline_seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            named = why or getattr(condition, "__qualname__", repr(condition))
            raise AssertionError(
                f"not within {deadline_seconds:g} s: {named}; the last answer was {answer!r}"
            )
        time.sleep(0.02)
