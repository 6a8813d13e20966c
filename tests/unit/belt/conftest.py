"""What holds for every test of the belt."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _both_ways_to_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worlds are small: let all but the smallest merges go the way of large ones, so that both are gone."""
    monkeypatch.setattr("streamlearn.belt.merge.MOVED_ROWS_MAX", 3)
