"""Where a simulated worker reaches out of itself: each call is a point at which anything may happen.

A worker can die before any call (nothing after that reaches the world, not even what its ``finally`` blocks
try), and the rest of the world can go on in the middle of its step, which is what a frozen process is. What
dies after a call dies before its next one: nobody can tell these apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from disk import Dead

T = TypeVar("T")


class Wire:
    """The calls of one incarnation of a worker, in their order."""

    def __init__(self) -> None:
        self.points = 0
        self.cut = False
        self._at: dict[int, Callable[[], None]] = {}

    def at_point(self, distance: int, happens: Callable[[], None]) -> None:
        """Have something happen so many calls from now (1: the next one)."""
        self._at[self.points + distance] = happens

    def disarm(self) -> None:
        """Let nothing more happen of what was to happen."""
        self._at.clear()

    def die(self) -> None:
        """Let nothing through from now on."""
        self.cut = True

    def call(self, reach_out: Callable[[], T]) -> T:
        """Do what reaches out of the worker. Raises Dead where that is no more."""
        self.point()
        return reach_out()

    def point(self) -> None:
        """Have happen what is to happen before the next call."""
        if self.cut:
            raise Dead
        self.points += 1
        happens = self._at.pop(self.points, None)
        if happens is not None:
            happens()
        if self.cut:
            raise Dead
