"""``streamlearn replay``."""

from __future__ import annotations

from rich.console import Console

from streamlearn.commands.output import print_json
from streamlearn.config import Config
from streamlearn.environment import Environment
from streamlearn.replay import ReplayOptions, replay


def print_replayed(config: Config, options: ReplayOptions, *, as_json: bool) -> None:
    """Rebuild a shard and print what it is. Raises StreamlearnError, also when the digests differ."""
    rebuilt = replay(config, options, Environment())
    if as_json:
        print_json(rebuilt)
        return
    console = Console(highlight=False)
    console.print(f"[bold]{rebuilt['shard']}[/bold] {rebuilt['state_digest']}", soft_wrap=True)
    learned, rejected = rebuilt["events_learned"], rebuilt["events_rejected"]
    console.print(f"  {learned:,} learned, {rejected:,} rejected, in {rebuilt['seconds']} s")
    if rebuilt["checkpoint_digest"] is not None:
        console.print("  the newest checkpoint has the same digest")
    if rebuilt["path"] is not None:
        console.print(f"  written to {rebuilt['path']}", soft_wrap=True)
