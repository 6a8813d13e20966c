"""The last happenings, for who looks at the daemon: what the log says above debug, kept in memory.

A happening has the log line's name and fields, secrets masked. The ring is bounded in lines and in the size of
each. Drift alarms are left out: the console has a place of its own for them, and a stream that drifts would push
everything else out.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from structlog.typing import FilteringBoundLogger

from streamlearn.logs import mask_secrets

HAPPENINGS_KEPT = 60
TEXT_MAX = 400  # characters of one field
LEFT_OUT = frozenset({"drift_alarm"})


@dataclass(frozen=True, slots=True)
class Happening:
    at_seconds: float  # seconds since 1970
    level: str  # info | warning | error
    name: str
    fields: Mapping[str, Any]  # JSON types


class LastHappenings:
    """A bounded ring of happenings. Threads may share it.

    >>> happenings = LastHappenings(clock=lambda: 1.0)
    >>> happenings.note("warning", "broker_lost", {"detail": "gone", "sasl_password": "hunter2"})
    >>> happenings.last()
    (Happening(at_seconds=1.0, level='warning', name='broker_lost', fields={'detail': 'gone', 'sasl_password': '**********'}),)
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._ring: deque[Happening] = deque(maxlen=HAPPENINGS_KEPT)
        self._engine_whys: dict[str, str] = {}  # holds for the daemon's life, so no ring may forget it
        self._lock = Lock()

    def note(self, level: str, name: str, fields: Mapping[str, Any]) -> None:
        """Keep one."""
        if name in LEFT_OUT:
            return
        masked = mask_secrets(None, level, {key: _short(value) for key, value in fields.items()})
        with self._lock:
            self._ring.append(Happening(self._clock(), level, name, masked))
            if name == "model_ready" and "why" in masked:
                self._engine_whys[masked["model"]] = masked["why"]

    def last(self) -> tuple[Happening, ...]:
        """Return them, oldest first."""
        with self._lock:
            return tuple(self._ring)

    def engine_whys(self) -> dict[str, str]:
        """Return why a model's engine is not the compiled one, by model, where that was an option."""
        with self._lock:
            return dict(self._engine_whys)


class TappedLogger:
    """Hands lines on to a logger, and those above debug to ``happenings`` too, whatever the logger lets through."""

    def __init__(self, log: FilteringBoundLogger, happenings: LastHappenings) -> None:
        self._log = log
        self._happenings = happenings

    def debug(self, name: str, **fields: Any) -> None:
        self._log.debug(name, **fields)

    def info(self, name: str, **fields: Any) -> None:
        self._happenings.note("info", name, fields)
        self._log.info(name, **fields)

    def warning(self, name: str, **fields: Any) -> None:
        self._happenings.note("warning", name, fields)
        self._log.warning(name, **fields)

    def error(self, name: str, **fields: Any) -> None:
        self._happenings.note("error", name, fields)
        self._log.error(name, **fields)


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= TEXT_MAX else value[:TEXT_MAX] + "…"
    if isinstance(value, list | tuple):
        more = [f"and {len(value) - 20} more"] if len(value) > 20 else []
        return [*map(_short, value[:20]), *more]
    return value if isinstance(value, bool | int | float | None) else str(value)[:TEXT_MAX]
