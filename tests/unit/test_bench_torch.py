"""The torch benchmarks: contenders do the same work, and nothing is told of a GPU where there is none."""

from __future__ import annotations

import sys

import pytest
import torch

from bench import gpu, torch_rate


@pytest.mark.parametrize("clipped", [False, True])
def test_all_contenders_take_the_rows_of_a_turn(clipped: bool) -> None:
    polls = list(torch_rate.make_polls(6000))
    shape = {"hidden": (4,), "batch_events": 100}
    assert torch_rate.learner_turn(polls, device="cpu", **shape)() == 6000
    bare = torch_rate.bare_turn(polls, torch.device("cpu"), clipped=clipped, hidden=(4,), batch_events=100)
    assert bare() == 6000


def test_the_loader_goes_on_where_the_turn_before_ended() -> None:
    turn = torch_rate.loader_turn(list(torch_rate.make_polls(5000)), 60_000)
    rows = torch_rate.TURN_ROWS // torch_rate.BATCH_EVENTS * torch_rate.BATCH_EVENTS
    assert turn() == rows
    # The epoch ends within this turn, with a mini-batch that is not full.
    assert turn() == rows - torch_rate.BATCH_EVENTS + 60_000 % torch_rate.BATCH_EVENTS


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a cuda device")
def test_without_a_gpu_nothing_is_told_of_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.gpu"])
    assert gpu.main() == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "nothing was measured" in told.err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no cuda device")
def test_on_a_gpu_a_warm_turn_waits_for_the_device_at_no_mini_batch() -> None:
    told = gpu.measure(100_000, (16,), 512)
    assert told["syncs_in_a_turn"] == {"learner_bfloat16": 0, "learner_float32": 0}
    assert all(record["value"] > 0 for record in told["records"])
