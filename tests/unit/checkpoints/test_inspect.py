"""What ``streamlearn checkpoints`` reports, as DESIGN's contract has it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from river import linear_model

from streamlearn.checkpoints.digest import part_digest, state_digest
from streamlearn.checkpoints.inspect import ls, show, verify
from streamlearn.checkpoints.keeper import CheckpointKeeper
from streamlearn.checkpoints.names import version_of
from streamlearn.checkpoints.stores import CheckpointStore, open_store
from streamlearn.contracts import ModelEntry, ShardState, Snapshot
from streamlearn.errors import CheckpointCorrupt, CheckpointError, CheckpointRefused
from streamlearn.events import TopicPartition

Publish = Callable[..., ShardState]
PARTITIONS = [TopicPartition("flights", partition) for partition in (2, 10)]


class Mine:
    pass


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    stores: dict[tuple[str, str], CheckpointStore] = {}

    def publish(stream: str, shard: str, sequence: int, **settings: Any) -> ShardState:
        model = linear_model.LinearRegression()
        for event in range(sequence):
            model.learn_one({"a": float(event)}, float(event))
        number = int(shard.partition("[")[2][:-1] or 0)
        state = ShardState(
            *(stream, shard, sequence, {TopicPartition("flights", number): sequence}, sequence, 1, {"x": 2}),
            models=(ModelEntry("linear", sequence, sequence),),
            parts={"model/linear": Snapshot(pickled=pickle.dumps(model)), "merge": Snapshot()},
            config={},
            source={"cluster_id": "abc"},
        )
        if (stream, shard) not in stores:  # one worker for each shard, so one epoch
            stores[stream, shard] = open_store(str(tmp_path), stream)
            stores[stream, shard].claim(shard)
        CheckpointKeeper(stores[stream, shard], keep=9, **settings).publish(state)
        return state

    return publish


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_show_is_as_the_contract_says(publish: Publish, tmp_path: Path) -> None:
    states = [publish("flights", f"flights[{number}]", sequence) for number in (10, 2) for sequence in (1, 3)]
    shown = show(str(tmp_path))
    assert shown == {
        "stream": "flights",
        "format_version": 1,
        "shards": [
            {
                "shard": state.shard,
                "next_offsets": [{"topic": "flights", "partition": number, "next_offset": 3}],
                "events_learned": 3,
                "events_rejected": 1,
                "state_digest": state_digest(state),
                "models": [
                    {
                        "name": "linear",
                        "version": 3,
                        "events_learned": 3,
                        "digest": part_digest(state.parts["model/linear"]),
                    }
                ],
            }
            for state, number in ((states[3], 2), (states[1], 10))  # by partition, not by text
        ],
    }
    assert json.loads(json.dumps(shown)) == shown


def test_show_takes_the_folder_a_stream_a_shard_or_a_file(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("flights", "flights", 1)
    publish("flights", "flights", 2)
    whole = show(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for path in (
        *(f"{tmp_path}/", tmp_path / "flights", tmp_path / "flights/flights", f"file://{tmp_path}", "."),
        *("flights", "flights/flights", "flights/flights/00000001-0000000000000002.checkpoint"),
    ):
        assert show(str(path)) == whole, path
    assert show("flights/flights/00000001-0000000000000001.checkpoint")["shards"][0]["events_learned"] == 1


def test_show_wants_to_know_which_stream(publish: Publish, tmp_path: Path) -> None:
    publish("flights", "flights", 1)
    publish("delays", "delays", 2)
    with pytest.raises(CheckpointError, match="delays, flights") as error:
        show(str(tmp_path))
    assert "--stream" in error.value.remedy
    assert show(str(tmp_path), "delays")["stream"] == "delays"
    with pytest.raises(CheckpointError, match="no checkpoint of the stream 'other'"):
        show(str(tmp_path), "other")


@pytest.mark.parametrize("path", ["", "nowhere", "nowhere/00000001-0000000000000001.checkpoint"])
def test_show_of_nothing_is_told(tmp_path: Path, path: str) -> None:
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        show(f"{tmp_path}/{path}")


def test_a_corrupt_newest_is_passed_over_and_left_in_its_place(publish: Publish, tmp_path: Path) -> None:
    for sequence in (1, 2):
        publish("flights", "flights", sequence)
    newest = tmp_path / "flights/flights/00000001-0000000000000002.checkpoint"
    damage(newest)
    assert show(str(tmp_path))["shards"][0]["events_learned"] == 1
    assert newest.exists()
    with pytest.raises(CheckpointCorrupt, match=r"0002\.checkpoint"):
        show(str(newest))


def test_ls_lists_everything(publish: Publish, tmp_path: Path) -> None:
    for sequence in (1, 2, 3):
        publish("flights", "flights[2]", sequence)
    publish("delays", "delays", 7)
    folder = tmp_path / "flights/flights(2)"
    damage(folder / "00000001-0000000000000002.checkpoint")
    (folder / "00000001-0000000000000003.checkpoint").rename(
        folder / "00000001-0000000000000003.checkpoint.corrupt"
    )
    (folder / "notes.txt").write_text("mine")
    rows = ls(str(tmp_path))
    assert [
        (row["stream"], row["shard"], row["epoch"], row["sequence"], row["valid"], row["set_aside"])
        for row in rows
    ] == [
        ("delays", "delays", 1, 7, True, False),
        ("flights", "flights[2]", 1, 1, True, False),
        ("flights", "flights[2]", 1, 2, False, False),
        ("flights", "flights[2]", 1, 3, True, True),
    ]
    assert rows[1]["next_offsets"] == [{"topic": "flights", "partition": 2, "next_offset": 1}]
    assert rows[1]["bytes"] == (folder / "00000001-0000000000000001.checkpoint").stat().st_size
    assert rows[1]["written_at"].startswith("20")
    assert rows[1]["written_at"].endswith("+00:00")
    assert rows[1]["libraries"]["river"]
    assert rows[1]["error"] is None
    assert "does not verify" in rows[2]["error"]
    assert json.loads(json.dumps(rows)) == rows
    assert ls(str(tmp_path / "nothing")) == []


def test_ls_of_a_file_whose_header_is_damaged(publish: Publish, tmp_path: Path) -> None:
    publish("flights", "flights[2]", 1)
    path = tmp_path / "flights/flights(2)/00000001-0000000000000001.checkpoint"
    path.write_bytes(path.read_bytes()[:50])
    (row,) = ls(str(path))
    assert (row["stream"], row["shard"], row["valid"], row["events_learned"]) == (
        None,
        "flights[2]",
        False,
        None,
    )


def test_verify_says_from_which_a_start_could_go_on(publish: Publish, tmp_path: Path) -> None:
    publish("flights", "flights", 1, key=b"secret")
    publish("flights", "flights", 2)
    publish("flights", "flights", 3)
    folder = tmp_path / "flights/flights"
    damage(folder / "00000001-0000000000000003.checkpoint")
    rows = verify(str(tmp_path))
    assert [(version_of(Path(row["path"]).name), row["ok"]) for row in rows] == [
        ((1, 1), True),
        ((1, 2), True),
        ((1, 3), False),
    ]
    assert "remedy" in rows[2]["error"]
    assert [row["ok"] for row in verify(str(tmp_path), key=b"secret")] == [True, False, False]
    with pytest.raises(CheckpointRefused):
        show(str(tmp_path), key=b"secret")


def test_verify_rebuilds_the_models(
    tmp_path: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_model.LinearRegression, "__reduce__", lambda self: (Mine, ()), raising=False)
    monkeypatch.setattr("streamlearn.checkpoints.keeper.loads", lambda data, admit: None)
    publish("flights", "flights", 1)
    monkeypatch.undo()
    (row,) = verify(str(tmp_path))
    assert not row["ok"]
    assert "Mine, which is not admitted" in row["error"]


def test_urls_are_places_too() -> None:
    state = ShardState("flights", "flights", 1, {}, 2, 0, {}, (), {}, config={}, source={})
    keeper = CheckpointKeeper(open_store("memory://inspected/below", "flights"), keep=2)
    keeper.claim("flights")
    keeper.publish(state)
    assert show("memory://inspected/below")["shards"][0]["events_learned"] == 2
    assert [row["valid"] for row in ls("memory://inspected/below")] == [True]
    assert [row["ok"] for row in verify("memory://inspected/below/flights")] == [True]


def test_the_newest_is_by_epoch_then_sequence_and_old_names_are_epoch_0(
    publish: Publish, tmp_path: Path
) -> None:
    for sequence in (1, 2, 3):
        publish("flights", "flights", sequence)
    folder = tmp_path / "flights/flights"
    (folder / "00000001-0000000000000001.checkpoint").rename(
        folder / "00000010-0000000000000001.checkpoint"
    )  # the newest epoch
    (folder / "00000001-0000000000000003.checkpoint").rename(folder / "0000000000000003.checkpoint")
    assert [(row["epoch"], row["sequence"]) for row in ls(str(tmp_path))] == [(0, 3), (1, 2), (10, 1)]
    assert show(str(tmp_path))["shards"][0]["events_learned"] == 1


def test_reading_claims_nothing_and_a_claim_alone_is_no_checkpoint(publish: Publish, tmp_path: Path) -> None:
    publish("flights", "flights", 1)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    show(str(tmp_path))
    ls(str(tmp_path))
    verify(str(tmp_path))
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    open_store(str(tmp_path / "claimed"), "flights").claim("flights")
    assert (ls(str(tmp_path / "claimed")), verify(str(tmp_path / "claimed"))) == ([], [])
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        show(str(tmp_path / "claimed"))
