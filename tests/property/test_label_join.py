"""The join does what the plain simulation does, wherever batches are cut and the process dies."""

from __future__ import annotations

import uuid
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from label_oracle import Oracle, Row, Rules
from labels_for_tests import Book, Shown, batch, config, make

from streamlearn.belt.labels.shard import JoiningShard
from streamlearn.checkpoints.digest import state_digest
from streamlearn.checkpoints.format import decode, encode
from streamlearn.checkpoints.places import open_place
from streamlearn.checkpoints.segments import ShardSegments
from streamlearn.events import Reason

TIMES = st.integers(0, 40)
IDS = st.sampled_from([f"id{number}" for number in range(8)])
ROWS = st.lists(
    st.builds(
        Row,
        IDS,
        TIMES,
        st.none() | st.booleans(),
        st.booleans().filter(lambda rejected: not rejected) | st.just(False) | st.booleans(),
    ),
    max_size=60,
)


@st.composite
def in_time(draw: Any) -> list[Row]:
    """Rows in about the order of their times, with ids enough that many meet and some come again."""
    rows = draw(ROWS)
    if draw(st.booleans()):
        rows = sorted(rows, key=lambda row: row.time // 4)
    return list(rows)


DROPS = {"default": st.none(), "on_late_label": st.sampled_from(["ignore", "learn"])}
DEFAULTS = {"default": st.booleans(), "on_late_label": st.sampled_from(["ignore", "learn", "correct"])}
RULES = st.sampled_from([DROPS, DEFAULTS]).flatmap(
    lambda ends: st.builds(
        Rules,
        wait=st.integers(1, 15),
        remember=st.integers(0, 15),
        early_wait=st.integers(0, 15),
        early_max=st.integers(0, 3),
        learns_corrections=st.booleans(),
        **ends,
    )
)
CUTS = st.lists(
    st.tuples(st.integers(1, 25), st.sampled_from(["go on", "go on", "checkpoint", "crash"])), max_size=12
)


def expected(rows: list[Row], rules: Rules) -> tuple[Oracle, list[Shown], list[tuple[int, bool]]]:
    """What the oracle says, in the words of the books: examples shown, and (version, label) judged."""
    oracle = Oracle(rules).take(rows)
    kept = [
        place
        for place, row in enumerate(rows)
        if not row.is_label and not row.rejected and place not in oracle.rejected
    ]
    shown, versions, judged, learned = [], {}, [], 0
    for what, number, label in oracle.done:
        place = kept[number]
        undone = rules.default if what == "correct" else None
        shown.append((float(place), f"p{place % 3}", label, undone))
        if what == "predict":
            versions[number] = learned
        else:
            learned += 1
        if what == "judge":
            assert label is not None
            judged.append((versions[number], label))
    return oracle, shown, judged


def check(shard: JoiningShard, book: Book, oracle: Oracle, shown: Any, judged: Any) -> None:
    assert book.shown == shown
    assert [(version, bool(label)) for version, _, _, label in book.judged] == judged
    counters = {name: count for name, count in shard.counters.items() if count}
    learned = sum(label is not None for _, _, label, _ in shown)
    rejected = oracle.counts["events_rejected"] + oracle.counts["labels_rejected"]
    known = {name: count for name, count in oracle.counts.items() if name != "events_rejected" and count}
    known |= {
        "events_learned": learned,
        "events_unlabelled": len(shown) - learned,
        "events_rejected": rejected,
    }
    assert counters == {name: count for name, count in known.items() if count}
    # learned_once: everything that was read has one name.
    assert shard.events_pending == shard.join.pending == oracle.pending
    assert len(shard.join.early) == len(oracle.early)


@given(in_time(), RULES, CUTS)
@settings(max_examples=100, deadline=None)
def test_the_join_is_the_plain_simulation(rows: list[Row], rules: Rules, cuts: list[tuple[int, str]]) -> None:
    """`replay_equals_run`, `predict_before_learn`, `learned_once`: in any pieces, through crashes."""
    oracle, shown, judged = expected(rows, rules)
    policy = config(rules)
    events = batch(rows)
    whole, book_of_whole = make(policy, book := Book()), book
    duplicates = []
    for outcome in whole.advance(events):
        duplicates += outcome.events.filter(
            outcome.events.column("reason").to_numpy() == Reason.DUPLICATE_ID
        ).num_rows * [1]
    check(whole, book_of_whole, oracle, shown, judged)
    assert len(duplicates) == len(oracle.rejected)

    place, folder = open_place("memory://")[0], f"/labels/{uuid.uuid4().hex}"
    book = Book()
    segments = ShardSegments(place, folder)
    shard = make(policy, book, segments=segments)
    saved, at, start = shard.snapshot({}), 0, 0
    for size, then in [*cuts, (1000, "go on")]:
        for _ in shard.advance(events.slice(start, size)):
            pass
        start += min(size, events.num_rows - start)
        if then == "checkpoint":
            state = shard.snapshot({})
            segments.make_durable(state.segments)
            segments.prune(state.segments_from, {*state.segments, *saved.segments})
            saved, at = decode(b"".join(encode(state))), start
        elif then == "crash" and saved.parts:
            segments = ShardSegments(place, folder)
            shard = make(policy, book, segments=segments)
            shard.restore(saved)
            start = at
    for _ in shard.advance(events.slice(start)):
        pass
    check(shard, book, oracle, shown, judged)
    assert state_digest(shard.snapshot({})) == state_digest(whole.snapshot({}))
    assert book.judged == book_of_whole.judged
