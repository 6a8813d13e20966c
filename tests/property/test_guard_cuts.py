"""Which events are undone, and what is learned of the others, does not depend on how events are cut."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from shard_for_tests import LINEAR, batch, config, letters, make, models_digest, rows, run, said

from streamlearn.checkpoints.digest import state_digest

EVENTS = 80
BOTH = (
    LINEAR
    + """
[[models]]
name = "mlp"
learner = "torch"
hidden = [4]
batch_events = 16
device = "cpu"
"""
)


@settings(max_examples=12, deadline=None)
@given(
    poisoned=st.sets(st.integers(8, EVENTS - 1), max_size=6),
    sizes=st.lists(st.integers(1, EVENTS), min_size=1, max_size=6),
    saves=st.sets(st.integers(0, 10)),
)
def test_replay_equals_run(poisoned: set[int], sizes: list[int], saves: set[int]) -> None:
    settings_ = config("regression", BOTH)
    events = rows(EVENTS, poisoned)
    whole, parts, clean = make(settings_), make(settings_), make(settings_)
    expected = run(whole, batch(events, settings_), (EVENTS,))
    undone = {place for place, _, _ in letters(expected)}
    assert undone == {place for place in poisoned if events[place]["y"] is not None}
    outcomes, start, turn = [], 0, 0
    while start < EVENTS:
        size = sizes[turn % len(sizes)]
        outcomes += parts.advance(batch(events[start : start + size], settings_, start))
        start, turn = start + size, turn + 1
        if turn in saves:  # a checkpoint, or a worker that goes on from one
            saved = parts.snapshot({})
            parts = make(settings_)
            parts.restore(saved)
    assert letters(outcomes) == letters(expected)
    assert said(outcomes) == said(expected)
    assert state_digest(parts.snapshot({})) == state_digest(whole.snapshot({}))
    for place in undone:
        events[place] |= {"a": "text"}
    assert said(run(clean, batch(events, settings_), (EVENTS,))) == said(expected)
    assert models_digest(clean) == models_digest(whole)
