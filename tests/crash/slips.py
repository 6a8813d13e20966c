"""Faults that are planted into workers, so that it is seen that the suite finds what it is there to find.

Each is a slip that an implementation of restarts has been caught at: what was sent is sent again, an event is passed
over. ``install`` puts one in its place, for the rest of this process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

Slip = Literal["sends again", "passes over"]


def install(slip: Slip) -> None:
    """Plant a slip that only a restart shows."""
    from streamlearn.belt import holdings, loop

    match slip:
        case "sends again":  # what the last committed transaction covered is not muted in the replay
            loop.emission_of = _forgetful(loop.emission_of)
        case "passes over":  # the first event behind a checkpoint is not read
            place = holdings.place

            def further(*arguments: Any) -> Any:
                known = arguments[2]
                return place(
                    *arguments[:2], {each: offset + 1 for each, offset in known.items()}, *arguments[3:]
                )

            holdings.place = further


def _forgetful(emission_of: Callable[..., Any]) -> Callable[..., Any]:
    def emission(*arguments: Any, **named: Any) -> Any:
        return emission_of(*arguments, **{**named, "covered": {}})

    return emission
