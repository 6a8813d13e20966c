"""``streamlearn checkpoints ls | show | verify``."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from streamlearn.checkpoints import inspect
from streamlearn.commands.output import print_json
from streamlearn.environment import Environment


def print_list(path: str, *, as_json: bool) -> None:
    """Print every checkpoint in a folder, oldest first in each shard."""
    rows = inspect.ls(path)
    if as_json:
        print_json(rows)
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("stream", "shard", "epoch", "sequence", "written", "bytes", "learned", "valid"):
        table.add_column(column)
    for row in rows:
        learned = "" if row["events_learned"] is None else f"{row['events_learned']:,}"
        valid = "yes" if row["valid"] else f"no: {row['error']}"
        version = (str(row["epoch"]), str(row["sequence"]))
        figures = (row["written_at"], f"{row['bytes']:,}", learned, valid)
        table.add_row(row["stream"] or "?", row["shard"], *version, *figures)
    Console().print(table)


def print_shown(path: str, stream: str | None, *, as_json: bool) -> None:
    """Print what the newest checkpoint of each shard holds. Raises CheckpointError."""
    shown = inspect.show(path, stream, key=Environment().checkpoint_key)
    if as_json:
        print_json(shown)
        return
    console = Console(highlight=False)
    console.print(f"[bold]{shown['stream']}[/bold], format {shown['format_version']}")
    for shard in shown["shards"]:
        console.print(f"\n[bold]{shard['shard']}[/bold] {shard['state_digest']}", soft_wrap=True)
        console.print(f"  {shard['events_learned']:,} learned, {shard['events_rejected']:,} rejected")
        for place in shard["next_offsets"]:
            console.print(
                f"  {place['topic']}[{place['partition']}] goes on at {place['next_offset']:,}", markup=False
            )
        for model in shard["models"]:
            console.print(
                f"  {model['name']}: {model['events_learned']:,} learned, {model['digest'][:16]}..."
            )


def print_verified(path: str, *, as_json: bool) -> bool:
    """Read every checkpoint whole and say which verify; return whether all do."""
    results = inspect.verify(path, key=Environment().checkpoint_key)
    if as_json:
        print_json(results)
    else:
        console = Console(highlight=False)
        for each in results:
            console.print(f"{each['path']}: {each['error'] or 'ok'}", markup=False, soft_wrap=True)
    return all(each["ok"] for each in results)
