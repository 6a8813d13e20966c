"""Lives a plan with a group of daemons, and reports what the oracles say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from chaos import rebalance_oracle as oracle
from chaos.alone import digests_of, digests_of_one_worker, river_says
from chaos.rebalance_plan import Action, Setup
from chaos.rebalance_report import Report
from chaos.rebalance_world import LOGISTIC, MODELS, RebalanceWorld
from chaos.record_batches import batches
from kafka_for_tests import KafkaForTests


def live(kafka: KafkaForTests, folder: Path, setup: Setup, plan: Sequence[Action], seed: int) -> Report:
    """Let each action of the plan happen to a group of its own; the logs of its workers stay in ``folder``."""
    with RebalanceWorld(kafka, folder, setup, seed) as world:
        world.begin()
        for action in plan:
            world.act(action)
        world.end()
        return report_on(world, seed)


def report_on(world: RebalanceWorld, seed: int) -> Report:
    """Look at all that a world has left, once its workers have ended."""
    scope, logs = world.setup.scope, world.feed.logs
    read = world.kafka.read_back(world.out)
    seen = oracle.said((each.value or b"", each.offset, each.timestamp_ms) for each in read)
    letters = [
        (int(headers["streamlearn.partition"]), int(headers["streamlearn.offset"]))
        for headers in (dict(each.headers) for each in world.kafka.read_back(world.dead))
    ]
    written = list(batches(world.kafka.bootstrap_servers, world.out, 0, read[-1].offset + 1))
    wrote = oracle.writers(seen, written)
    # What is said depends on the labels that were learned before: then the replay says it, by its digests.
    every_event_learns = not world.setup.delayed_labels
    differences = [
        *oracle.lost_or_repeated(seen, logs, MODELS),
        *oracle.letters_lost_or_repeated(letters, logs),
        *oracle.two_leaders_by_version(seen, scope, every_event_learns=every_event_learns),
        *oracle.two_leaders_by_producer(written),
        *oracle.shards_with_two_producers(seen, wrote, scope),
    ]
    if every_event_learns:
        differences += oracle.not_as_river_says(
            seen, scope, LOGISTIC, lambda places: river_says(places, logs)
        )
    digests, alone = digests_of(world.folder), digests_of_one_worker(world)
    if digests != alone or digests.keys() != world.shards:
        differences.append(f"digests: {digests} instead of {alone}")
    holdings = world.holdings()
    shard_of = {number: world.name if scope == "stream" else f"{world.topic}[{number}]" for number in logs}
    return Report(
        setup=world.setup.name,
        seed=seed,
        done=Counter(each.kind for each in world.done),
        pauses=oracle.pauses(holdings, world.done),
        gaps=oracle.gaps(seen, wrote, holdings, world.done, shard_of),
        events=sum(map(len, logs.values())),
        records=len(seen),
        differences=differences,
    )
