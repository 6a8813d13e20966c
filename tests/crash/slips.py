"""Faults that are planted into workers, so that it is seen that the suite finds what it is there to find.

Each is a slip that an implementation of restarts has been caught at: what was sent is sent again, an event is passed
over. ``install`` puts one in its place, for the rest of this process.
"""

from __future__ import annotations

from typing import Any, Literal

Slip = Literal["sends again", "passes over"]


def install(slip: Slip) -> None:
    """Plant a slip that only a restart shows."""
    from streamlearn.belt import holdings, loop

    match slip:
        case "sends again":  # what the last committed transaction covered is not muted in the replay
            emission_of = loop.emission_of
            loop.emission_of = lambda *arguments, **named: emission_of(*arguments, **{**named, "covered": {}})
        case "passes over":  # the first event behind a checkpoint is not read
            place = holdings.place

            def further(reader: Any, partitions: Any, known: dict[Any, int], *others: Any) -> Any:
                return place(reader, partitions, {each: at + 1 for each, at in known.items()}, *others)

            holdings.place = further
