"""Where log lines go: to stderr, for people or as JSON, with secrets masked.

stdout is never written to: under ``--json`` it belongs to one document. Lines of other libraries
(uvicorn, Python's own warnings) take the same way and the same form.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

LogFormat = Literal["auto", "console", "json"]

_SECRET_KEY = re.compile(r"password|passphrase|secret|token|credential|api_?key|hmac", re.IGNORECASE)
# What stands before the @ of a URL: `s3://key:secret@bucket`.
_URL_CREDENTIALS = re.compile(r"([a-z][a-z0-9+.-]*://)[^/\s@]+@", re.IGNORECASE)
_MASK = "**********"


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, told apart from handlers that somebody else put on the root logger."""


def configure_logs(
    log_format: LogFormat = "auto", *, verbose: bool = False, stream: TextIO | None = None
) -> FilteringBoundLogger:
    """Set logging up for this process, and return the logger to hand to ``Telemetry``.

    Parameters
    ----------
    log_format
        ``console``: for people, in colour on a terminal; ``json``: one object a line; ``auto``: console
        on a terminal, else JSON.
    verbose
        Show debug lines of streamlearn and informational ones of libraries. Otherwise a daemon in its
        steady state writes nothing.
    stream
        Where lines go; stderr unless a test says otherwise.

    May be called again: the last call holds.

    >>> log = configure_logs("json", stream=sys.stdout)
    >>> log.info("broker_lost", detail="gone", sasl_password="hunter2")
    {"detail": "gone", "sasl_password": "**********", "event": "broker_lost", "level": "info", "timestamp": "..."}
    >>> unconfigure_logs()
    """
    stream = sys.stderr if stream is None else stream
    terminal = stream.isatty()
    if log_format == "auto":
        log_format = "console" if terminal else "json"
    level = logging.DEBUG if verbose else logging.INFO
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_secrets,
    ]
    renderer: list[Processor]
    if log_format == "json":
        renderer = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # Rich tracebacks would print local variables, and with them secrets.
        plain = structlog.dev.plain_traceback
        renderer = [structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=plain)]

    handler = _Handler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers = [*_others(root), handler]
    root.setLevel(logging.INFO if verbose else logging.WARNING)
    logging.getLogger("streamlearn").setLevel(level)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    log: FilteringBoundLogger = structlog.get_logger("streamlearn").bind()
    return log


def unconfigure_logs() -> None:
    """Take back what ``configure_logs`` did, for tests."""
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root = logging.getLogger()
    root.handlers = _others(root)
    root.setLevel(logging.WARNING)
    logging.getLogger("streamlearn").setLevel(logging.NOTSET)


def _others(logger: logging.Logger) -> list[logging.Handler]:
    return [handler for handler in logger.handlers if not isinstance(handler, _Handler)]


def mask_secrets(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """Mask values whose key speaks of a secret, and the credentials in URLs, at any depth.

    >>> mask_secrets(None, "info", {"event": "x", "path": "s3://key:secret@bucket/a", "sasl.password": "p"})
    {'event': 'x', 'path': 's3://**********@bucket/a', 'sasl.password': '**********'}
    """
    for key, value in line.items():
        line[key] = _masked(key, value)
    return line


def _masked(key: str, value: Any) -> Any:
    if _SECRET_KEY.search(key):
        return _MASK
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, dict):
        return {name: _masked(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_masked("", inner) for inner in value]
    return value


def without_credentials(text: str) -> str:
    """Mask what stands before the @ of URLs.

    >>> without_credentials("s3://key:secret@bucket/checkpoints")
    's3://**********@bucket/checkpoints'
    """
    return _URL_CREDENTIALS.sub(rf"\g<1>{_MASK}@", text)
