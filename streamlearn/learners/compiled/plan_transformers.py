"""Lowering of transformers: which value each key of River's dict stands for, step by step.

What River does with dicts of an event is done here once with the dicts of the plan: the same keys, in the same
order, with the same overriding, so that the kernels need no keys at all.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from river import compose, preprocessing

from streamlearn.learners.compiled.layout import (
    CENTER,
    GATHER,
    HASHED,
    MAX_ABS,
    MIN_MAX,
    ONE_HOT,
    ONE_HOT_DROPPING_ZEROS,
    STANDARD,
)
from streamlearn.learners.compiled.refusal import CannotLower, name_of

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Number:
    """A value of the event. ``whole``: River holds an int, not a float."""

    value: int
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A categorical feature."""

    category: int


@dataclass(frozen=True, slots=True)
class Encoded:
    """All that one encoder makes, and the scalers (rows) that it went through since."""

    block: int
    chain: tuple[int, ...] = ()


# A River dict of the plan: a feature's name, or an encoder's number, and where it comes from.
Inputs = dict[str | int, Number | Text | Encoded]


@dataclass(frozen=True, slots=True)
class Scaler:
    """One scaler of the pipeline: its cells for numbers, and its row for encoded features (-1: none)."""

    path: Path
    kind: int
    names: tuple[str, ...]
    cell: int
    row: int


@dataclass(slots=True)
class Encoder:
    """One encoder of the pipeline, and what it is given."""

    path: Path
    part: Any
    kind: int
    names: tuple[str, ...]
    categories: tuple[int, ...]  # -1: a number
    values: tuple[int, ...]  # -1: a category
    first_input: int
    shadowed: set[str] = field(default_factory=set)  # keys under which a numeric input is seen instead

    @property
    def last_input(self) -> int:
        return self.first_input + len(self.names)

    @property
    def has_zeros(self) -> bool:
        return self.kind == ONE_HOT

    def may_make(self, key: str) -> bool:
        """Whether it could give a category this key."""
        return self.kind != HASHED and any(key.startswith(f"{name}_") for name in self.names)


class Lowering:
    """Takes transformers in the order in which River runs them, and grows the program."""

    def __init__(self, event: Inputs) -> None:
        self.event = event
        self.values = sum(isinstance(source, Number) for source in event.values())
        self.stages: list[list[int]] = []
        self.gather: list[int] = []
        self.scalers: list[Scaler] = []
        self.encoders: list[Encoder] = []
        self.cells = 0
        self._rows = 0
        self._encoder_inputs = 0

    def lower(self, part: Any, x: Inputs, path: Path) -> Inputs:
        """Return what a transformer makes of ``x``. Raises CannotLower."""
        kind = type(part)
        if kind is compose.TransformerUnion:
            return self._union(part, x, path)
        if kind is compose.Pipeline:
            raise CannotLower(
                "a pipeline stands within a pipeline, where River learns from what it has not transformed"
            )
        if kind in (compose.Select, compose.Discard, compose.SelectType):
            return _selected(part, x)
        if kind is preprocessing.OneHotEncoder:
            return self._one_hot(part, x, path)
        if kind is preprocessing.FeatureHasher:
            return self._hashed(part, x, path)
        if kind in _SCALERS:
            return self._scaled(part, x, path)
        raise CannotLower(f"{name_of(part)} is not compiled")

    def in_one_row(self, values: list[int]) -> int:
        """Return where these values stand side by side; gathers them where they do not."""
        if not values or values == list(range(values[0], values[0] + len(values))):
            return values[0] if values else 0
        self.stages.append([GATHER, 0, len(values), self.values, 0, len(self.gather)])
        self.gather += values
        self.values += len(values)
        return self.values - len(values)

    # ------------------------------------------------------------------------------------------- inside

    def _union(self, union: Any, x: Inputs, path: Path) -> Inputs:
        made = []
        # They learn in this order, and nothing of one depends on another.
        for name, part in union.transformers.items():
            below, inner = (*path, "transformers", name), x
            if type(part) is compose.Pipeline:
                for step_name, step in part.steps.items():
                    inner = self.lower(step, inner, (*below, "steps", step_name))
            else:
                inner = self.lower(part, x, below)
            made.append(inner)
        result: Inputs = {}
        # The first one's keys win, and the last one's come first.
        for each in reversed(made):
            self._check_collisions(result, each)
            result.update(each)
        return result

    def _check_collisions(self, result: Inputs, added: Inputs) -> None:
        ours = [self.encoders[key] for key in result if isinstance(key, int)]
        theirs = [self.encoders[key] for key in added if isinstance(key, int)]
        if any(one is other for one in ours for other in theirs):
            raise CannotLower("a TransformerUnion takes what an encoder makes twice")
        for one in ours:
            for other in theirs:
                if one.kind == HASHED and other.kind == HASHED:
                    raise CannotLower("the buckets of two FeatureHashers fall together")
                if any(
                    one.may_make(f"{name}_") or other.may_make(f"{own}_")
                    for name in other.names
                    for own in one.names
                ):
                    raise CannotLower("two OneHotEncoders can make one and the same key")
            # What is added wins: the number is seen, and never the category.
            one.shadowed |= {key for key in added if isinstance(key, str) and one.may_make(key)}
        for other in theirs:
            for key in result:
                if isinstance(key, str) and other.may_make(key):
                    raise CannotLower(f"a category could take the place of the feature {key!r}")

    def _one_hot(self, part: Any, x: Inputs, path: Path) -> Inputs:
        if part.categories is not None:
            raise CannotLower("OneHotEncoder(categories=...) is not compiled")
        if part.drop_first:
            raise CannotLower("OneHotEncoder(drop_first=true) is not compiled")
        for name, source in x.items():
            if not isinstance(source, Text):
                raise CannotLower(f"OneHotEncoder is given {_told(name)}, which is no categorical feature")
        return self._block(part, x, path, ONE_HOT_DROPPING_ZEROS if part.drop_zeros else ONE_HOT)

    def _hashed(self, part: Any, x: Inputs, path: Path) -> Inputs:
        if any(isinstance(source, Encoded) for source in x.values()):
            raise CannotLower("FeatureHasher is given what another encoder makes")
        return self._block(part, x, path, HASHED)

    def _block(self, part: Any, x: Inputs, path: Path, kind: int) -> Inputs:
        sources = list(x.values())
        self.encoders.append(
            Encoder(
                path,
                part,
                kind,
                names=tuple(str(name) for name in x),
                categories=tuple(s.category if isinstance(s, Text) else -1 for s in sources),
                values=tuple(s.value if isinstance(s, Number) else -1 for s in sources),
                first_input=self._encoder_inputs,
            )
        )
        self._encoder_inputs += len(x)
        block = len(self.encoders) - 1
        return {block: Encoded(block)}

    def _scaled(self, part: Any, x: Inputs, path: Path) -> Inputs:
        if part.window_size is not None:
            raise CannotLower(f"{name_of(part)}(window_size=...) is not compiled")
        kind = _SCALERS[type(part)]
        if kind == STANDARD and not part.with_std:
            kind = CENTER
        numbers = {str(name): source for name, source in x.items() if isinstance(source, Number)}
        row = -1
        if any(isinstance(source, Encoded) for source in x.values()):
            row, self._rows = self._rows, self._rows + 1
        origin = self.in_one_row([source.value for source in numbers.values()])
        outputs = itertools.count(self.values)
        scaled: Inputs = {}
        for name, source in x.items():
            if isinstance(source, Text):
                raise CannotLower(f"{name_of(part)} is given the text of {name!r}, which River refuses")
            if isinstance(source, Encoded):
                scaled[name] = Encoded(source.block, (*source.chain, row))
            else:
                scaled[name] = Number(next(outputs))
        self.stages.append([kind, origin, len(numbers), self.values, self.cells, 0])
        self.scalers.append(Scaler(path, kind, tuple(numbers), self.cells, row))
        self.values += len(numbers)
        self.cells += len(numbers)
        return scaled


def _selected(part: Any, x: Inputs) -> Inputs:
    if any(isinstance(source, Encoded) for source in x.values()):
        raise CannotLower(f"{name_of(part)} chooses from what an encoder makes")
    if type(part) is compose.Discard:
        discarded = set(part.keys)
        return {name: source for name, source in x.items() if name not in discarded}
    if type(part) is compose.Select:
        keys: list[Any] = list(part.keys)
        unknown = [key for key in keys if key not in x]
        if unknown:
            raise CannotLower(f"Select names {unknown[0]!r}, which the events do not have")
        return {key: x[key] for key in keys}
    return {name: source for name, source in x.items() if isinstance(_specimen(source), tuple(part.types))}


def _specimen(source: Number | Text | Encoded) -> float | int | str:
    if isinstance(source, Number):
        return 0 if source.whole else 0.0
    return ""


def _told(name: str | int) -> str:
    return "what another encoder makes" if isinstance(name, int) else repr(name)


_SCALERS: dict[type, int] = {
    preprocessing.StandardScaler: STANDARD,
    preprocessing.MinMaxScaler: MIN_MAX,
    preprocessing.MaxAbsScaler: MAX_ABS,
}
