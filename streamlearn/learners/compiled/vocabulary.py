"""Which place an encoded feature has, and a batch's categories as the kernels see them.

Places are given by the kernels, in the order in which events teach new keys, and never change their meaning
(`replay_equals_run`): what a batch's dictionary holds, and in which order, is no matter. Python runs once for
each different category of a batch, not once an event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from river._river_rust.feature_hashing import feature_hash

from streamlearn.events import Categorical, Code_B
from streamlearn.learners.compiled.layout import HASHED, Words
from streamlearn.learners.compiled.plan_transformers import Encoder


class Key(NamedTuple):
    """One encoded feature, as River's dict has it: ``carrier_AA``, or a bucket's number."""

    block: int
    key: str | int
    name: str  # of the categorical feature that it was first made from
    value: str


class Vocabulary:
    """All encoded features that were learned, by place."""

    def __init__(self, encoders: Sequence[Encoder]) -> None:
        self._encoders = encoders
        self.clear()

    def clear(self) -> None:
        """Forget all keys."""
        self._keys: list[Key] = []
        self._place_of: dict[tuple[int, str | int], int] = {}
        self._block_of_place = np.zeros(1, np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def keys(self) -> Sequence[Key]:
        """The keys in the order of their places, the first of which is 1."""
        return self._keys

    def place_of(self, block: int, key: str | int) -> int:
        """The place of a key; 0 where it was never learned."""
        return self._place_of.get((block, key), 0)

    def add(self, key: Key) -> int:
        """Give a key the next place, unless it has one; return its place."""
        if (place := self.place_of(key.block, key.key)) > 0:
            return place
        self._keys.append(key)
        place = self._place_of[key.block, key.key] = len(self._keys)
        if place >= len(self._block_of_place):
            self._block_of_place = np.resize(self._block_of_place, 2 * place + 16)
        self._block_of_place[place] = key.block
        return place

    def tokens(self, categorical: Sequence[Categorical], events: int) -> tuple[Code_B, Words, list[Key]]:
        """Return a batch's categories for the kernels, and its keys by their number within the batch.

        Parameters
        ----------
        categorical
            The batch's categorical features, in the order of the program's.
        events
            How many events the batch has.
        """
        inputs = sum(len(encoder.names) for encoder in self._encoders)
        token_BT = np.zeros((events, inputs), np.int32)
        batch = _BatchKeys()
        for block, encoder in enumerate(self._encoders):
            for i, (name, category) in enumerate(zip(encoder.names, encoder.categories, strict=True)):
                column = token_BT[:, encoder.first_input + i]
                begin = len(batch.key_of_token)
                if category < 0:
                    batch.add(block, name, "", *_hashed(encoder, name, 1.0))
                    column[:] = begin
                    continue
                for value in categorical[category].values:
                    batch.add(block, name, value, *_made(encoder, name, value))
                np.add(categorical[category].codes_B, begin, out=column)
        return token_BT, self._words(batch), batch.keys

    def take_in(self, words: Words, keys: Sequence[Key], learned: int) -> None:
        """Write down the keys that the kernels gave places to."""
        for number in words.key_of_new[:learned].tolist():
            place = self.add(keys[number])
            assert place == words.place_of_key[number], "places are given in one order"

    def _words(self, batch: _BatchKeys) -> Words:
        keys = len(batch.keys)
        place_of_key = np.array([self.place_of(key.block, key.key) for key in batch.keys], np.int64)
        places_max = len(self) + int(np.count_nonzero(place_of_key == 0))
        block_of_place = np.zeros(places_max + 1, np.int64)
        block_of_place[: len(self) + 1] = self._block_of_place[: len(self) + 1]
        return Words(
            key_of_token=np.array(batch.key_of_token, np.int64),
            sign_of_token=np.array(batch.sign_of_token, np.float64),
            place_of_key=place_of_key,
            block_of_place=block_of_place,
            key_of_new=np.zeros(keys, np.int64),
            entry_of_key=np.zeros(keys, np.int64),
            stamp_of_key=np.zeros(keys, np.int64),
            entry_of_place=np.zeros(places_max + 1, np.int64),
            counters=np.array([len(self), 0, 0], np.int64),
        )


class _BatchKeys:
    """Numbers a batch's keys as they come up."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.key_of_token: list[int] = []
        self.sign_of_token: list[float] = []
        self._number_of: dict[tuple[int, str | int], int] = {}

    def add(self, block: int, name: str, value: str, key: str | int | None, sign: float) -> None:
        self.sign_of_token.append(sign)
        if key is None:
            self.key_of_token.append(-1)
            return
        number = self._number_of.setdefault((block, key), len(self.keys))
        if number == len(self.keys):
            self.keys.append(Key(block, key, name, value))
        self.key_of_token.append(number)


def _made(encoder: Encoder, name: str, value: str) -> tuple[str | int | None, float]:
    """The key that an encoder makes of a category, None for one that is seen under no key; and its sign."""
    if encoder.kind == HASHED:
        return _hashed(encoder, name, value)
    key = f"{name}_{value}"
    return (None if key in encoder.shadowed else key), 1.0


def _hashed(encoder: Encoder, name: str, value: str | float) -> tuple[int, float]:
    """The bucket of a feature, and the sign of what it adds there. River's own function."""
    part: Any = encoder.part
    made: Mapping[int, float] = feature_hash({name: value}, part.n_features, part._seed, part.alternate_sign)
    ((bucket, sign),) = made.items()
    return bucket, float(sign)
