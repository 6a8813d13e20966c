"""What the demo shows on the terminal while it runs: one picture that moves."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streamlearn.commands.progress import time_left
from streamlearn.commands.summary import model_table
from streamlearn.console.status import DriftAlarm, ModelStatus, Status


class Screen:
    """A live picture of the belt, on a terminal; lines now and then where there is none.

    Use as a context manager. ``quiet`` shows nothing.
    """

    def __init__(self, console: Console, events: int, *, quiet: bool) -> None:
        self._console = console
        self._events = events
        self._quiet = quiet
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._is_live = console.is_terminal and not quiet

    def __enter__(self) -> Screen:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def found_page(self, url: str) -> None:
        """Say where the live page is."""
        if not self._quiet:
            self._console.print(f"live page: {url}   metrics: {url}/metrics", highlight=False)
            self._console.print(
                "  it ends with the demo: --rate 5000 gives more time to watch, --stay keeps it", style="dim"
            )

    def show(self, status: Status) -> None:
        """Show this picture."""
        if self._is_live:
            self._live.update(picture(status, self._events, self._console.width), refresh=True)
        elif not self._quiet:
            self._console.print(line(status, self._events), highlight=False)


def picture(status: Status, events: int, width: int) -> RenderableType:
    """Return the picture: progress, figures, models against baselines, the last alarms."""
    share = Table.grid(padding=(0, 1))
    share.add_row(
        ProgressBar(total=events, completed=status.events_read, width=40),
        f"{status.events_read:,} of {events:,} events",
        f"[bold]{status.events_per_second:,.0f}[/bold] events/s",
        time_left(max(0, events - status.events_read), status.events_per_second),
        _day(status),
    )
    lag = sum(partition.lag_events or 0 for partition in status.partitions)
    rejected = f"{status.events_rejected:,} rejected"
    figures = Text.assemble(
        ("lag ", "dim"), f"{lag:,}   ",
        ("learned ", "dim"), f"{status.events_learned:,}   ",
        ("", "dim"), f"{rejected}   ",
        ("drift alarms ", "dim"), f"{status.drift_alarms_total}   ",
        ("checkpoints ", "dim"), f"{_checkpoints(status)}",
    )  # fmt: skip
    return Group(share, figures, Text(), _models(status, width), *_alarms(status))


def _models(status: Status, width: int) -> Table:
    rows = [
        {"name": m.name, "engine": m.engine, "events_learned": m.events_learned, "metrics": m.cumulative}
        for m in (*status.models, *status.baselines)
    ]
    recent = {
        m.name: m.sliding["accuracy"] for m in (*status.models, *status.baselines) if "accuracy" in m.sliding
    }
    return model_table(rows, width, {f"accuracy, last {status.window_events:,}": recent})


def _alarms(status: Status) -> list[Text]:
    return [
        Text(f"drift: {_what(alarm)} at {_time(alarm.event_time_seconds)}", style="yellow")
        for alarm in status.drift_alarms[-3:]
    ]


def _what(alarm: DriftAlarm) -> str:
    return " ".join(filter(None, (alarm.model, alarm.signal, alarm.detail)))


def _checkpoints(status: Status) -> str:
    return (
        ", ".join(f"#{each.sequence} ({each.size_bytes / 1024:,.0f} KiB)" for each in status.checkpoints)
        or "-"
    )


def line(status: Status, events: int) -> str:
    """Return the picture as one line, for where there is no terminal."""
    best = max(status.models, key=_accuracy, default=None)
    scores = "" if best is None else f"; {best.name} accuracy {_number(best.cumulative.get('accuracy'))}"
    return f"{status.events_read:,} of {events:,} events, {status.events_per_second:,.0f}/s{scores}"


def _accuracy(model: ModelStatus) -> float:
    return model.cumulative.get("accuracy", 0.0)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _day(status: Status) -> str:
    return "" if status.event_time_seconds is None else _time(status.event_time_seconds)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
