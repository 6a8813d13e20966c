"""The names and values that go with a dead letter, in Kafka headers and in a local file alike."""

from __future__ import annotations

from streamlearn.contracts import DeadLetter

HEADER_PREFIX = "streamlearn."


def dead_letter_headers(letter: DeadLetter, stream: str) -> list[tuple[str, str]]:
    """Return name and value of each header, in the order of DESIGN.md's contract.

    >>> dict(dead_letter_headers(DeadLetter("t", 0, 7, "tombstone", "", None, None), "flights"))
    {'streamlearn.reason': 'tombstone', 'streamlearn.detail': '', 'streamlearn.topic': 't',
     'streamlearn.partition': '0', 'streamlearn.offset': '7', 'streamlearn.stream': 'flights'}
    """
    return [
        (HEADER_PREFIX + "reason", letter.reason),
        (HEADER_PREFIX + "detail", letter.detail),
        (HEADER_PREFIX + "topic", letter.topic),
        (HEADER_PREFIX + "partition", str(letter.partition)),
        (HEADER_PREFIX + "offset", str(letter.offset)),
        (HEADER_PREFIX + "stream", stream),
        *([] if letter.row is None else [(HEADER_PREFIX + "row", str(letter.row))]),
    ]
