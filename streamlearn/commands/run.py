"""``streamlearn run``."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from streamlearn.commands.progress import Progress
from streamlearn.config import Config
from streamlearn.daemon import Daemon, stopping_on_signals
from streamlearn.environment import Environment
from streamlearn.logs import LogFormat, configure_logs
from streamlearn.telemetry import Telemetry


def run_stream(config: Config, *, until_end: bool, log_format: LogFormat, verbose: bool) -> dict[str, Any]:
    """Run the daemon in this process until it ends; return its summary. Raises StreamlearnError."""
    with Progress(Console(stderr=True), is_bounded=until_end) as progress:
        # Within, since log lines must go past what moves on the terminal.
        telemetry = Telemetry(log=configure_logs(log_format, verbose=verbose))
        daemon = Daemon(
            config, telemetry, until_end=until_end, environment=Environment(), on_status=progress.show
        )
        with stopping_on_signals(daemon.stop):
            return daemon.run()
