"""Workers killed, frozen, added and removed at random while eight partitions stream, in every setup.

``make test-rebalances REBALANCES=100 SEED=3 SUMMARY=rebalances.json``; the actions are shared out among the
setups. The same seed draws the same plans.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chaos.rebalance_plan import Setup, draw_plan
from chaos.rebalance_report import Report, write
from chaos.rebalance_suite import live
from kafka_for_tests import KafkaForTests

REBALANCES = int(os.environ.get("REBALANCES") or 0)
SEED = int(os.environ.get("REBALANCES_SEED") or 0)
SUMMARY = os.environ.get("REBALANCES_SUMMARY")

SETUPS = [
    Setup("stream", "classic", static=True),
    Setup("partition", "consumer", static=False),
    Setup("stream", "consumer", static=True),
    Setup("partition", "classic", static=False),
    Setup("stream", "classic", static=False, delayed_labels=True),
    Setup("partition", "consumer", static=False, delayed_labels=True),
]

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900 + 60 * REBALANCES)]


@pytest.mark.parametrize("number", range(len(SETUPS)), ids=[setup.name for setup in SETUPS])
def test_learned_once_and_replay_equals_run_at_any_rebalances(
    number: int, kafka: KafkaForTests, tmp_path: Path, reports: list[Report]
) -> None:
    setup = SETUPS[number]
    share = (REBALANCES + len(SETUPS) - 1 - number) // len(SETUPS)
    report = live(kafka, tmp_path, setup, draw_plan(SEED, share, setup.scope), SEED)
    reports.append(report)
    if SUMMARY:
        write(reports, Path(SUMMARY))
    assert report.differences == []
