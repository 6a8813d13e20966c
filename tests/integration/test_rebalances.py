"""Workers come, go, freeze and die while eight partitions stream, in both scopes: a handful of rebalances each.

Every sort of end at a worker that holds a shard, one arrival, and one action on the heels of another. The long
suite draws its plans: ``make test-rebalances REBALANCES=100``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos.rebalance_plan import Action, Setup
from chaos.rebalance_report import table
from chaos.rebalance_suite import live
from kafka_for_tests import KafkaForTests

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]

PLAN = [
    Action("kill", rushed=True),  # on its heels comes another, under the same static name
    Action("add"),
    Action("freeze"),
    Action("remove", pick=0.5),
]
DELAYED_PLAN = [Action("kill", rushed=True), Action("add"), Action("remove", pick=0.5)]


@pytest.mark.parametrize(
    ("setup", "plan"),
    [
        (Setup("stream", "classic", static=True), PLAN),
        (Setup("partition", "consumer", static=False), PLAN),
        (Setup("partition", "classic", static=True, delayed_labels=True), DELAYED_PLAN),
    ],
    ids=lambda given: given.name if isinstance(given, Setup) else "",
)
def test_learned_once_and_replay_equals_run_across_rebalances(
    setup: Setup, plan: list[Action], kafka: KafkaForTests, tmp_path: Path
) -> None:
    report = live(kafka, tmp_path, setup, plan, seed=1)
    print(*table([report]), sep="\n")
    assert report.differences == []
    # Nothing was proven unless shards moved, whatever was done.
    assert {each.kind for each in plan} - {"add"} <= {took.kind for took in report.gaps}
