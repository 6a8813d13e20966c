"""``streamlearn dead-letters ls | resend``: what was rejected and why, and the way back into the stream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamlearn.commands.output import print_json
from streamlearn.config import Config
from streamlearn.connectors.dead_letter_reading import distinct, letters_in_file
from streamlearn.contracts import DeadLetter
from streamlearn.errors import ConfigError

SAMPLE_BYTES = 200


@dataclass(slots=True)
class _Found:
    """The letters of one reason."""

    count: int = 0
    newest: DeadLetter | None = None

    def as_json(self, reason: str) -> dict[str, Any]:
        assert self.newest is not None
        newest = self.newest
        return {
            "reason": reason,
            "count": self.count,
            "newest": {
                "topic": newest.topic,
                "partition": newest.partition,
                "offset": newest.offset,
                "row": newest.row,
                "detail": newest.detail,
                "value": sample_of(newest.value),
            },
        }


def sample_of(value: bytes | None) -> str | None:
    r"""Return the beginning of a value for a person, with what is no text or moves a cursor written out.

    >>> print(sample_of(b'{"a": \x1b[2J\xff'))
    {"a": \x1b[2J\xff
    """
    if value is None:
        return None
    text = value[:SAMPLE_BYTES].decode("utf-8", "backslashreplace")
    shown = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    return shown + ("..." if len(value) > SAMPLE_BYTES else "")


def print_letters(config: Config, reason: str | None, *, as_json: bool) -> None:
    """Print how many events were rejected for which reason, and the newest of each. Raises StreamlearnError."""
    found: dict[str, _Found] = {}
    for letter in _letters(config, reason):
        of_reason = found.setdefault(letter.reason, _Found())
        of_reason.count += 1
        of_reason.newest = letter
    rows = [each.as_json(reason) for reason, each in sorted(found.items(), key=lambda item: -item[1].count)]
    if as_json:
        print_json({"stream": config.stream.name, "kept_in": _place(config), "reasons": rows})
        return
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("reason", "events", "newest", "why", "bytes"):
        table.add_column(column, overflow="fold")
    for row in rows:
        newest = row["newest"]
        at = f"{newest['topic']}[{newest['partition']}] {newest['offset']}"
        at += "" if newest["row"] is None else f" row {newest['row']}"
        value = "(tombstone)" if newest["value"] is None else newest["value"]
        table.add_row(*map(Text, (row["reason"], f"{row['count']:,}", at, newest["detail"], value)))
    total = sum(row["count"] for row in rows)
    console.print(f"{config.stream.name}: {total:,} events rejected, kept in {_place(config)}", markup=False)
    if rows:
        console.print(table)


def resend(config: Config, reason: str | None, *, dry_run: bool) -> dict[str, Any]:
    """Write the bytes of rejected events to the topics that they came from, at their ends.

    Each is a new event to the stream, with key and bytes as they were; of a message of many events, what was
    rejected in it is a message by itself. The letters stay where they are, so what is sent twice is learned
    twice: it is for once, after what was wrong has been mended.

    Raises
    ------
    ConfigError
        The source is local files: there is no topic to send to.
    StreamlearnError
        The letters cannot be read, or the broker does not take what is sent.
    """
    source = config.source.kafka
    if source is None:
        raise ConfigError(
            "dead letters of local files cannot be sent anywhere",
            remedy="mend the files themselves: `streamlearn dead-letters ls` says which lines",
        )
    from streamlearn.connectors.admin import Record, produce_lines

    began = time.monotonic()
    by_topic: dict[str, list[Record]] = {}
    for letter in distinct(_letters(config, reason)):
        record = Record(letter.value, letter.key, letter.partition)
        by_topic.setdefault(letter.topic, []).append(record)
    if not dry_run:
        for topic, records in by_topic.items():
            produce_lines(source.bootstrap_servers, topic, records, properties=source.plain_properties())
    return {
        "stream": config.stream.name,
        "sent": 0 if dry_run else sum(map(len, by_topic.values())),
        "topics": {topic: len(records) for topic, records in by_topic.items()},
        "dry_run": dry_run,
        "seconds": round(time.monotonic() - began, 3),
    }


def _letters(config: Config, reason: str | None) -> Iterator[DeadLetter]:
    topic, source = config.dead_letters.topic, config.source.kafka
    if topic is not None and source is not None:
        from streamlearn.connectors.kafka_letters import letters_in_topic

        letters = letters_in_topic(source, topic)
    else:
        letters = letters_in_file(Path(config.dead_letters.path))
    return (letter for letter in letters if reason is None or letter.reason == reason)


def _place(config: Config) -> str:
    letters = config.dead_letters
    return f"the topic {letters.topic}" if letters.topic is not None else letters.path
