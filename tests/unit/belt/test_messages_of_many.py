"""A message of many events is the unit: of merging, of micro-batches, of what is sent, of a crash."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from belt_world import World, events
from memory_source import Row
from memory_transactions import MemoryTransactions

from streamlearn.belt.messages.arrow import message_of
from streamlearn.checkpoints.inspect import show

ARROW = ["event.format=arrow", "checkpoint.every_events=90", "checkpoint.every_seconds=1000"]
PREDICTIONS = ["predictions.topic=out", "predictions.delivery=exactly_once", "predictions.commit_ms=10"]
SINGLE = events(600, partitions=3, seed=5)


def in_messages(
    logs: dict[int, list[Row]], each: Sequence[int] = (1, 7, 30), *, spoiled: bool = True
) -> dict[int, list[Row]]:
    """The same events, some in a message; where ``spoiled``, with a bad row and a bad message now and then."""
    made: dict[int, list[Row]] = {}
    for partition, rows in logs.items():
        made[partition] = []
        start = number = 0
        while start < len(rows):
            some = rows[start : start + each[number % len(each)]]
            documents = [json.loads(value or b"") for _, value, _ in some]
            if spoiled and number % 4 == 3:
                documents[-1]["a"] = float("nan")
            batch = pa.RecordBatch.from_pylist(documents)
            made[partition].append((b"k%d" % number, message_of(batch), some[0][2]))
            if spoiled and number % 5 == 4:
                made[partition].append((None, b"no stream", some[0][2]))
            start, number = start + len(some), number + 1
    return made


LOGS = in_messages(SINGLE)


def world(folder: Path, scope: str, logs: dict[int, list[Row]] = LOGS, **others: Any) -> World:
    overrides = [f"stream.scope={scope}", *ARROW, *others.pop("overrides", ())]
    return World(folder, logs, overrides=overrides, **others)


def test_digests_do_not_depend_on_batches(tmp_path: Path) -> None:
    for scope in ("stream", "partition"):
        digests = [
            world(
                tmp_path / f"{scope}{number}",
                scope,
                poll_events=poll_events,
                rows_each=rows_each,
                overrides=[f"stream.micro_batch_events={micro}"],
            )
            .run()
            .digests()
            for number, (poll_events, rows_each, micro) in enumerate([(2, 1, 1), (5, 2, 10), (100, 50, 5000)])
        ]
        assert digests[0] == digests[1] == digests[2]


def test_partition_scope_learns_what_json_learns(tmp_path: Path) -> None:
    of_json = World(tmp_path / "json", SINGLE, overrides=["stream.scope=partition"]).run()
    of_arrow = world(tmp_path / "arrow", "partition", in_messages(SINGLE, (13,), spoiled=False)).run()
    assert of_json.belt.totals.events_learned == of_arrow.belt.totals.events_learned > 500
    assert model_digests(of_json) == model_digests(of_arrow)
    said = {world: [what_was_said(record) for record in said_of(world)] for world in (of_json, of_arrow)}
    assert said[of_json] == said[of_arrow]
    assert len(said[of_json]) == 600


def model_digests(world: World) -> dict[str, list[str]]:
    shards = show(str(world.folder))["shards"]
    return {shard["shard"]: [model["digest"] for model in shard["models"]] for shard in shards}


def said_of(world: World) -> list[dict[str, Any]]:
    return sorted((record for _, record in world.predictions.records), key=lambda record: record["id"])


def what_was_said(record: dict[str, Any]) -> dict[str, Any]:
    """A prediction without its event's place, which is another where a message holds many."""
    return {name: value for name, value in record.items() if name not in ("offset", "row")}


@pytest.mark.parametrize("scope", ["stream", "partition"])
@pytest.mark.parametrize("form", ["json", "arrow"])
@pytest.mark.parametrize("every", [7, 31])
def test_crashes_neither_lose_nor_repeat(tmp_path: Path, scope: str, form: str, every: int) -> None:
    out = [*PREDICTIONS, f"predictions.format={form}", "stream.micro_batch_events=20"]
    expected = MemoryTransactions()
    whole = world(tmp_path / "whole", scope, transactions=expected, overrides=out).run()
    transactions = MemoryTransactions()
    steps = 0
    while True:
        one = world(tmp_path / "crashed", scope, transactions=transactions, overrides=out, poll_events=2)
        for _ in range(every):
            one.belt.step(float(steps))
            steps += 1
            if one.belt.is_done:
                break
        if one.belt.is_done:
            one.belt.checkpoint_all(10)
            break
        every += 1
    assert len(expected.records) > 500
    if form == "json":
        assert {"row", "offset"} <= expected.records[0].keys()

    def place(record: dict[str, Any]) -> tuple[int, int, int]:
        return record["partition"], record["offset"], record["row"]

    assert len({place(record) for record in expected.records}) == len(expected.records)
    assert sorted(transactions.records, key=place) == sorted(expected.records, key=place)
    letters = [
        (each.partition, each.offset, each.row, each.reason, each.value) for each in transactions.letters
    ]
    assert sorted(map(str, letters)) == sorted(
        str((each.partition, each.offset, each.row, each.reason, each.value)) for each in expected.letters
    )
    assert {"non_finite", "invalid_arrow"} == {each.reason for each in expected.letters}
    [bad_row, *_] = [each for each in expected.letters if each.reason == "non_finite"]
    assert pa.ipc.open_stream(bad_row.value).read_all().num_rows == 1
    assert one.digests() == whole.digests()


def test_an_event_undone_inside_a_message_is_one_letter_and_the_rest_goes_out(tmp_path: Path) -> None:
    rows = [dict(json.loads(value or b"")) for _, value, _ in SINGLE[0][:40]]
    rows[17]["a"] = 1.7e308
    logs: dict[int, list[Row]] = {0: [(None, message_of(pa.RecordBatch.from_pylist(rows)), 0)]}
    transactions = MemoryTransactions()
    text = _steep()
    done = World(tmp_path, logs, text=text, overrides=[*ARROW, *PREDICTIONS], transactions=transactions).run()
    assert done.belt.totals.events_rejected == 1
    [letter] = transactions.letters
    assert (letter.reason, letter.offset, letter.row) == ("non_finite_learning", 0, 17)
    assert [record["row"] for record in transactions.records] == [n for n in range(40) if n != 17]
    assert transactions.commits >= 1
    assert list(transactions.offsets.values()) == [1]


def _steep() -> str:
    from belt_world import CONFIG

    old = '"preprocessing.StandardScaler", "linear_model.LogisticRegression"'
    assert old in CONFIG
    return CONFIG.replace(
        old, '{ use = "linear_model.LogisticRegression", optimizer = { use = "optim.SGD", lr = 1e3 } }'
    )
