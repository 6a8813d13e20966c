"""Label tokens to class indices, compiled: for the few short tokens that most streams have.

Shape letters: B events of a batch, T tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamlearn.belt.scan_intrinsics import load_byte, load_int
from streamlearn.events import Code_B
from streamlearn.native import kernel

TOKENS_MAX = 8  # are looked through one by one
TOKEN_BYTES_MAX = 7  # of more, no word holds a token and its length


class KnownTokens:
    """The index of each token that is known; makes no new one.

    >>> codes_B = np.empty(3, np.int32)
    >>> KnownTokens({"false": 0, "true": 1}).codes(pa.array(["true", "false", "true"], pa.large_string()), codes_B)
    True
    >>> codes_B.tolist()
    [1, 0, 1]
    """

    def __init__(self, index_of: Mapping[str, int]) -> None:
        words = {
            _word(token): index
            for token, index in index_of.items()
            if len(token.encode(errors="surrogatepass")) <= TOKEN_BYTES_MAX
        }
        known = list(words.items())[:TOKENS_MAX]
        self._words_T = np.array([word for word, _ in known], np.int64)
        self._index_T = np.array([index for _, index in known], np.int32)

    def codes(self, labels: pa.LargeStringArray, codes_B: Code_B) -> bool:
        """Set the index of each label, of which none is null; return False at the first that is not known."""
        if not len(labels):
            return True
        _, offsets, data = labels.buffers()
        bytes_at = 0 if data is None else data.address
        return code_tokens(
            offsets.address + 8 * labels.offset, bytes_at, self._words_T, self._index_T, codes_B
        )


def _word(token: str) -> int:
    """Return a token's bytes in a word, and their number above them."""
    encoded = token.encode(errors="surrogatepass")
    return int.from_bytes(encoded, "little") | len(encoded) << 56


@kernel
def code_tokens(
    offsets: int,
    data: int,
    words_T: npt.NDArray[np.int64],
    index_T: npt.NDArray[np.int32],
    codes_B: Code_B,
) -> bool:
    """Set the index of each text; return False at the first that is none of the tokens."""
    place = 0  # of the last one, which is tried first
    for row in range(len(codes_B)):
        start = load_int(offsets + 8 * row)
        length = load_int(offsets + 8 * row + 8) - start
        if length > TOKEN_BYTES_MAX:
            return False
        word = length << 56
        for byte in range(length):
            word |= load_byte(data + start + byte) << (8 * byte)
        if place >= len(words_T) or words_T[place] != word:
            place = 0
            while place < len(words_T) and words_T[place] != word:
                place += 1
            if place == len(words_T):
                return False
        codes_B[row] = index_T[place]
    return True
