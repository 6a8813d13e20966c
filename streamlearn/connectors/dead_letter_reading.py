"""Dead letters read back from a local file: what was rejected, why, and the bytes as they were.

Upholds `reads_are_pure`: nothing is committed, moved or marked by reading. A letter may be there twice, since
letters are kept at least once where they go to a file; ``distinct`` keeps one of each.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterable, Iterator
from pathlib import Path

from streamlearn.connectors.dead_letter import HEADER_PREFIX
from streamlearn.contracts import DeadLetter
from streamlearn.errors import DeadLetterError


def distinct(letters: Iterable[DeadLetter]) -> Iterator[DeadLetter]:
    """Yield the first letter of each event; of a message of many, each of its events is one.

    >>> letter = DeadLetter("t", 0, 7, "tombstone", "", None, None)
    >>> len(list(distinct([letter, letter])))
    1
    """
    seen: set[tuple[str, int, int, int | None]] = set()
    for letter in letters:
        event = (letter.topic, letter.partition, letter.offset, letter.row)
        if event not in seen:
            seen.add(event)
            yield letter


def letters_in_file(path: Path) -> Iterator[DeadLetter]:
    """Yield the letters of a local file, oldest first. A last line that a crash tore is left out.

    Raises DeadLetterError when the file cannot be read, or a whole line of it is no dead letter.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield _of_line(json.loads(line))
                except (ValueError, KeyError, TypeError) as error:
                    if not line.endswith(b"\n"):
                        return
                    raise DeadLetterError(
                        f"line {number} of {path} is no dead letter: {error}",
                        remedy="is this the file of dead_letters.path? Take the line out, if someone edited it",
                    ) from error
    except OSError as error:
        raise DeadLetterError(
            f"the dead-letter file {path} cannot be read: {error.strerror}",
            remedy="correct dead_letters.path (it is relative to where the daemon runs); no file: nothing "
            "was rejected",
        ) from error


def _of_line(line: dict[str, object]) -> DeadLetter:
    def text(name: str) -> str:
        return str(line[HEADER_PREFIX + name])

    def data(name: str) -> bytes | None:
        value = line[name]
        return None if value is None else b64decode(str(value), validate=True)

    return DeadLetter(
        text("topic"),
        int(text("partition")),
        int(text("offset")),
        text("reason"),
        text("detail"),
        data("key_base64"),
        data("value_base64"),
        int(text("row")) if HEADER_PREFIX + "row" in line else None,
    )
