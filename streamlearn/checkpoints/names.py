"""How the files of a shard are named, and in which order they count.

    <path>/<stream>/<shard>/<epoch, 8 digits>.claim
    <path>/<stream>/<shard>/<epoch, 8 digits>-<sequence, 16 digits>.checkpoint
    <path>/<stream>/<shard>/<epoch>-<sequence>.checkpoint.corrupt        set aside: it did not verify
    <path>/<stream>/<shard>/<first row, 16 digits>-<SHA-256>.segment     events that wait for labels

Checkpoints count by (epoch, sequence). Those written before there were epochs, ``<sequence>.checkpoint``,
are of epoch 0.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

SUFFIX = ".checkpoint"
CORRUPT_SUFFIX = ".corrupt"
CLAIM_SUFFIX = ".claim"
_CHECKPOINT = re.compile(r"(?:(\d{8,})-)?(\d{16})\.checkpoint((?:\.\d+)?\.corrupt)?")
_SEGMENT = re.compile(r"(\d{16})-([0-9a-f]{64})\.segment")
_CLAIM = re.compile(r"(\d{8,})\.claim")


class Version(NamedTuple):
    """Which checkpoint of a shard a file is; sorts by age."""

    epoch: int
    sequence: int


def checkpoint_name(version: Version) -> str:
    """Return the name of a checkpoint's file.

    >>> checkpoint_name(Version(3, 41))
    '00000003-0000000000000041.checkpoint'
    """
    return f"{version.epoch:08d}-{version.sequence:016d}{SUFFIX}"


def version_of(name: str) -> Version | None:
    """Return which checkpoint a file is, also one set aside; ``None`` where it is no checkpoint.

    >>> version_of("00000003-0000000000000041.checkpoint.2.corrupt")
    Version(epoch=3, sequence=41)
    >>> version_of("0000000000000041.checkpoint"), version_of("00000003.claim")
    (Version(epoch=0, sequence=41), None)
    """
    found = _CHECKPOINT.fullmatch(name)
    return None if found is None else Version(int(found[1] or 0), int(found[2]))


def first_row_of(name: str) -> int | None:
    """Return the first row of a segment; ``None`` where a file is none.

    >>> first_row_of(f"0000000000016384-{64 * 'a'}.segment"), first_row_of("00000003.claim")
    (16384, None)
    """
    found = _SEGMENT.fullmatch(name)
    return None if found is None else int(found[1])


def checksum_of(name: str) -> str:
    """Return the SHA-256 that a segment's name says, in hexadecimal."""
    found = _SEGMENT.fullmatch(name)
    assert found is not None, f"{name} names no segment"
    return found[2]


def is_set_aside(name: str) -> bool:
    """Whether a checkpoint's file is one that did not verify."""
    return name.endswith(CORRUPT_SUFFIX)


def claim_name(epoch: int) -> str:
    """Return the name of a claim's file.

    >>> claim_name(3)
    '00000003.claim'
    """
    return f"{epoch:08d}{CLAIM_SUFFIX}"


def claimed_epoch(name: str) -> int | None:
    """Return the epoch that a file claims; ``None`` where it is no claim.

    >>> claimed_epoch("00000003.claim"), claimed_epoch("00000003-0000000000000041.checkpoint")
    (3, None)
    """
    found = _CLAIM.fullmatch(name)
    return None if found is None else int(found[1])


def folder_name(name: str) -> str:
    """Return a stream's or shard's name as one that every file system and object store takes.

    >>> folder_name("flights"), folder_name("late flights[3]"), folder_name("../x")
    ('flights', 'late%20flights(3)', '%2E.%2Fx')
    """
    quoted = quote(name, safe="[]").replace("[", "(").replace("]", ")")  # brackets are patterns to fsspec
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted


def shard_name(folder: str) -> str:
    """Return the name that ``folder_name`` was given.

    >>> shard_name(folder_name("late (flights)[3]"))
    'late (flights)[3]'
    """
    return unquote(folder.replace("(", "[").replace(")", "]"))
