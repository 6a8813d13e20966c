"""How far a bounded run is: one line that moves, on a terminal; nothing where there is none."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from streamlearn.console.status import Status

BAR_WIDTH = 30


class Progress:
    """Shows progress on ``console``. Use as a context manager.

    While it is at work, lines for ``sys.stderr`` are written above it.
    """

    def __init__(self, console: Console, *, is_bounded: bool) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._is_live = is_bounded and console.is_terminal

    def __enter__(self) -> Progress:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, status: Status) -> None:
        """Show how far this picture is."""
        if self._is_live:
            self._live.update(progress(status), refresh=True)


def progress(status: Status) -> RenderableType:
    """Return the line: share done, events read and remaining, rate, time left."""
    read, remaining = status.events_read, status.remaining_events
    line = Table.grid(padding=(0, 1))
    if remaining is None:
        line.add_row(f"{status.stream}:", "starting" if not read else f"{read:,} read")
        return line
    line.add_row(
        f"{status.stream}:",
        ProgressBar(total=max(1, read + remaining), completed=read, width=BAR_WIDTH),
        f"{read:,} read, {remaining:,} remaining, {status.events_per_second:,.0f} events/s,",
        time_left(remaining, status.events_per_second),
    )
    return line


def time_left(remaining: int, per_second: float) -> str:
    """Return when it will be done, at this rate.

    >>> time_left(9000, 100.0), time_left(5, 0.0), time_left(0, 0.0)
    ('ETA 1:30', 'ETA unknown', 'done')
    """
    if not remaining:
        return "done"
    if per_second < 1:
        return "ETA unknown"
    minutes, seconds = divmod(round(remaining / per_second), 60)
    hours, minutes = divmod(minutes, 60)
    return f"ETA {hours}:{minutes:02}:{seconds:02}" if hours else f"ETA {minutes}:{seconds:02}"
