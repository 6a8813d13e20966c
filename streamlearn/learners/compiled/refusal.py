"""Why a River object is not compiled: a reason for people, and how the compiler's rooms say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Refusal:
    """A pipeline that runs on the generic engine, and why.

    >>> str(Refusal("HoeffdingTreeClassifier is not compiled"))
    'HoeffdingTreeClassifier is not compiled'
    """

    reason: str

    def __str__(self) -> str:
        return self.reason


class CannotLower(Exception):
    """Carries a reason from the depth of a pipeline up to ``lower``, which returns it as a ``Refusal``."""


def name_of(part: Any) -> str:
    """What a River object is called in a reason.

    >>> name_of(Refusal("x"))
    'Refusal'
    """
    return type(part).__name__
