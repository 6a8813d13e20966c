"""The world's own model: a hash chain over what it learned, in the order in which it learned it.

Any loss, repeat or change of order shows in the digest, and so in every prediction after it. It also keeps
the order itself, so that an oracle can say what is wrong and not only that something is. Imported by the
production factory of Python models, as ``chain_learner:make``.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

DIGEST_BYTES = 8
_LINK = struct.Struct("<3d?")
_PLACE = struct.Struct("<BH")

Place = tuple[int, int]  # partition and offset


class Chain:
    """River's interface over a hash chain. ``x`` holds ``p``, ``o`` (partition, offset) and ``a``."""

    def __init__(self) -> None:
        self._digest = bytes(DIGEST_BYTES)
        self._learned = bytearray()

    def predict_proba_one(self, x: dict[str, float]) -> dict[bool, float]:
        """Return a share that depends on everything that was learned before."""
        share = int.from_bytes(self._digest[:6], "little") / 2**48
        return {False: 1.0 - share, True: share}

    def learn_one(self, x: dict[str, float], y: bool) -> None:
        link = _LINK.pack(x["p"], x["o"], x["a"], y)
        self._digest = hashlib.blake2b(self._digest + link, digest_size=DIGEST_BYTES).digest()
        self._learned += _PLACE.pack(int(x["p"]), int(x["o"]))

    def is_finite(self) -> bool:
        return True

    def snapshot(self) -> bytes:
        return self._digest + bytes(self._learned)

    def restore(self, state: bytes) -> None:
        self._digest, self._learned = state[:DIGEST_BYTES], bytearray(state[DIGEST_BYTES:])


def make() -> Chain:
    """Return a chain that has learned nothing."""
    return Chain()


def order_of(state: Sequence[int]) -> list[Place]:
    """Return the places in a snapshot's bytes, in the order in which they were learned.

    >>> chain = make()
    >>> chain.learn_one({"p": 1.0, "o": 7.0, "a": 0.5}, True)
    >>> order_of(chain.snapshot())
    [(1, 7)]
    """
    return list(_PLACE.iter_unpack(bytes(state)[DIGEST_BYTES:]))
