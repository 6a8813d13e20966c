"""What must hold after any number of rebalances, and how long each took, from what the outside can see.

A differences list is empty where all is well. The records come from a read_committed reader; who wrote them
comes from the batches in the log (record_batches.py).
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from chaos.rebalance_feed import is_bad
from chaos.rebalance_plan import Scope
from chaos.rebalance_worker import Disturbance, Holding
from chaos.record_batches import Batch

Logs = Mapping[int, Sequence[bytes]]
SHARE_ERROR = 1e-9  # of compiled kernels against River's own code
START = "start"  # before anything was done: the first workers join one after the other
Place = tuple[int, int]  # partition and offset of an event


class Said(NamedTuple):
    """One prediction record, in the order of the topic that it is in."""

    place: Place
    model: str
    version: int
    offset: int  # of the record
    at: float  # its timestamp, seconds since 1970
    share: float | None  # of true; None where a model that has learned nothing knows none


class Took(NamedTuple):
    """How long something stood still, and what was done to whom."""

    kind: str
    seconds: float


def said(records: Iterable[tuple[bytes, int, int]]) -> list[Said]:
    """Return records as they are compared, from their value, offset and timestamp in milliseconds."""
    found = []
    for value, offset, timestamp_ms in records:
        told = json.loads(value)
        place = (told["partition"], told["offset"])
        share = (told["probabilities"] or {}).get("true")
        found.append(Said(place, told["model"], told["version"], offset, timestamp_ms / 1000, share))
    return found


def lost_or_repeated(seen: Sequence[Said], logs: Logs, models: Collection[str]) -> list[str]:
    """Each valid event has one record of each model, and no other event has any (`learned_once`)."""
    expected = {
        (number, offset)
        for number, log in logs.items()
        for offset, value in enumerate(log)
        if not is_bad(value)
    }
    found = []
    for model in models:
        places = [each.place for each in seen if each.model == model]
        missing, strange = expected - set(places), set(places) - expected
        repeats = len(places) - len(set(places))
        if missing or strange or repeats:
            found.append(
                f"{model}: {len(missing)} of {len(expected)} lost, {repeats} twice, {len(strange)} of no event; "
                f"{sorted(missing)[:3]} {sorted(strange)[:3]}"
            )
    return found


def letters_lost_or_repeated(letters: Sequence[Place], logs: Logs) -> list[str]:
    """Each invalid event has one dead letter."""
    expected = [
        (number, offset) for number, log in logs.items() for offset, value in enumerate(log) if is_bad(value)
    ]
    if sorted(letters) == sorted(expected):
        return []
    return [f"dead letters: {len(letters)} of {len(set(letters))} events instead of {len(expected)}"]


def two_leaders_by_version(
    seen: Sequence[Said], scope: Scope, *, every_event_learns: bool = True
) -> list[str]:
    """In the order of commits, a shard's versions are 0, 1, 2, ...: each event found what the last one left.

    Where every event has its label, every record of a model is of a version of its own; where labels come later,
    none is of an older one than the record before. Within a partition the offsets increase as well
    (`offsets_increase`).
    """
    versions: dict[tuple[object, str], int] = {}
    offsets: dict[tuple[int, str], int] = {}
    for each in seen:
        shard = each.place[0] if scope == "partition" else None
        expected = versions.get((shard, each.model), 0)
        if each.version != expected and (every_event_learns or each.version < expected):
            return [f"{each} after version {expected - every_event_learns} of its shard"]
        versions[shard, each.model] = each.version + every_event_learns
        last = offsets.get((each.place[0], each.model), -1)
        if each.place[1] <= last:
            return [f"{each} after offset {last} of its partition"]
        offsets[each.place[0], each.model] = each.place[1]
    return []


def not_as_river_says(
    seen: Sequence[Said], scope: Scope, model: str, says: Callable[[Sequence[Place]], Sequence[float]]
) -> list[str]:
    """Each shard has said what one plain loop says that takes its events in the order of the commits.

    ``says``: from the events' places, in order, to their shares.
    """
    shards: dict[object, list[Said]] = {}
    for each in seen:
        if each.model == model:
            shards.setdefault(each.place[0] if scope == "partition" else None, []).append(each)
    found = []
    for told in shards.values():
        expected = says([each.place for each in told])
        wrong = [(each, e) for each, e in zip(told, expected, strict=True) if not _is_near(each.share, e)]
        found += [f"{len(wrong)} shares unlike River's, first {wrong[0]}"] if wrong else []
    return found


def _is_near(share: float | None, expected: float) -> bool:
    return share is not None and abs(share - expected) <= SHARE_ERROR


def two_leaders_by_producer(batches: Sequence[Batch]) -> list[str]:
    """Behind the first record of an owner there is none of the one before it, not even an aborted one."""
    epochs: dict[int, int] = {}
    for batch in batches:
        if batch.producer_epoch < epochs.get(batch.producer_id, 0):
            return [f"{batch} of a fenced owner behind epoch {epochs[batch.producer_id]}"]
        epochs[batch.producer_id] = batch.producer_epoch
    return []


def writers(seen: Sequence[Said], batches: Sequence[Batch]) -> list[tuple[int, int]]:
    """Return who wrote each record: producer id and epoch."""
    firsts = [batch.first_offset for batch in batches]
    found = [batches[bisect_right(firsts, each.offset) - 1] for each in seen]
    return [(batch.producer_id, batch.producer_epoch) for batch in found]


def shards_with_two_producers(
    seen: Sequence[Said], wrote: Sequence[tuple[int, int]], scope: Scope
) -> list[str]:
    """All owners of a shard write under one id, else nobody would fence anybody."""
    producers: dict[object, set[int]] = {}
    for each, (producer_id, _) in zip(seen, wrote, strict=True):
        producers.setdefault(each.place[0] if scope == "partition" else None, set()).add(producer_id)
    return [f"{shard}: producers {sorted(ids)}" for shard, ids in producers.items() if len(ids) > 1]


def pauses(holdings: Sequence[Holding], done: Sequence[Disturbance]) -> list[Took]:
    """Return for each hand-over how long nobody held the shard, and what brought it about.

    A holding ends when its worker lets go, or when it was killed or frozen.
    """
    return [Took(kind, seconds) for kind, seconds, _ in _hand_overs(holdings, done)]


def gaps(
    seen: Sequence[Said],
    wrote: Sequence[tuple[int, int]],
    holdings: Sequence[Holding],
    done: Sequence[Disturbance],
    shard_of: Mapping[int, str],
) -> list[Took]:
    """Return for each hand-over the time from the last record of the old owner to the first of the new.

    ``shard_of``: the shard of each partition. The records' own timestamps say when. Where a shard moved more
    than once in between, it counts for what moved it first.
    """
    found = []
    last: dict[int, tuple[int, float]] = {}  # by producer: epoch and time of its last record
    hand_overs = _hand_overs(holdings, done)
    for each, (producer_id, epoch) in zip(seen, wrote, strict=True):
        before = last.get(producer_id)
        if before is not None and before[0] != epoch:
            shard = shard_of[each.place[0]]
            moved = (
                kind for kind, _, held in hand_overs if held.shard == shard and held.opened_at > before[1]
            )
            found.append(Took(next(moved, START), each.at - before[1]))
        last[producer_id] = (epoch, each.at)
    return found


def _hand_overs(holdings: Sequence[Holding], done: Sequence[Disturbance]) -> list[tuple[str, float, Holding]]:
    found = []
    last: dict[str, Holding] = {}
    for held in sorted(holdings, key=lambda held: held.opened_at):
        before = last.get(held.shard)
        last[held.shard] = held
        if before is None:
            continue
        ended_at = _ended_at(before, held.opened_at, done)
        kinds = [each.kind for each in done if each.at <= ended_at]
        found.append((kinds[-1] if kinds else START, max(0.0, held.opened_at - ended_at), held))
    return found


def _ended_at(held: Holding, next_opened_at: float, done: Sequence[Disturbance]) -> float:
    ends = [
        each.at
        for each in done
        if each.worker == held.worker
        and each.kind in ("kill", "freeze")
        and held.opened_at <= each.at <= next_opened_at
    ]
    if held.closed_at is not None:
        ends.append(held.closed_at)
    return min(ends, default=next_opened_at)
