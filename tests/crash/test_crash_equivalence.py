"""Crash equivalence on Apache Kafka: no kill, at any named step or any instant, changes what is seen.

`make test-crash KILLS=1000 SEED=3 SUMMARY=kills.json` kills more often. A plan is named by its seed and index, or
by its seed and a point: `make test-crash SEED=3 PLAN=17` lives plan 3-17 again.
"""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from crash_plan import occurs
from crash_points import POINTS, KillAt
from crash_suite import CALM, SIDE_BY_SIDE, CrashSuite
from crash_tally import Tally
from crash_world import BAD_EVERY, EVENTS, STATIC, CrashWorld, differences
from daemon_process import DaemonProcess
from kafka_for_tests import KafkaForTests
from live_world import LiveWorld
from waiting import eventually
from zygote import Zygote

from streamlearn.checkpoints.inspect import show

KILLS = int(os.environ.get("CRASH_KILLS") or 50)
LIVE_KILLS = KILLS // 8  # of a stream that is still being written
SEED = int(os.environ.get("CRASH_SEED") or 0)
PLAN = os.environ.get("CRASH_PLAN") or None
SUMMARY = os.environ.get("CRASH_SUMMARY") or None

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300 + 5 * KILLS)]


@pytest.fixture(scope="module")
def world(
    kafka: KafkaForTests, zygotes: dict[int, Zygote], tmp_path_factory: pytest.TempPathFactory
) -> CrashWorld:
    return CrashWorld(kafka, zygotes, tmp_path_factory.mktemp("crash"))


@pytest.fixture(scope="module")
def suite(world: CrashWorld) -> CrashSuite:
    return CrashSuite(world)


def test_every_named_point_is_reached_where_it_is_said_to_occur(suite: CrashSuite) -> None:
    for plan, lived in suite.lived.items():
        assert {point for point in POINTS if lived.counts.get(point)} == {
            point for point in POINTS if occurs(point, plan)
        }, plan


def test_runs_without_kills_agree_whatever_their_delivery(suite: CrashSuite) -> None:
    for plan, lived in suite.lived.items():
        assert differences(lived.seen, suite.calm[plan.scope, plan.seed], plan) == []
        valid = EVENTS - EVENTS // BAD_EVERY
        assert len(lived.seen.predictions) == 2 * valid
        assert len(lived.seen.letters) == EVENTS // BAD_EVERY


# Before a checkpoint with what waits in memory is durable; between a commit and its checkpoint; behind a sealed segment.
DELAYED_KILLS = (
    KillAt("disk.sync:before", 3),
    KillAt("producer.commit_transaction:after", 9),
    KillAt("disk.link:after", 5),
)
DELAYED_EVENTS = 1200


def test_replay_equals_run_and_learned_once_with_labels_that_come_later(
    kafka: KafkaForTests, zygotes: dict[int, Zygote], tmp_path: Path
) -> None:
    world = CrashWorld(kafka, zygotes, tmp_path, count=DELAYED_EVENTS, delayed_labels=True)
    calm_plan = replace(CALM, name="calm")
    calm = world.live(calm_plan, calm_seconds=0.0)
    plan = replace(calm_plan, name="killed", every_events=150, kills=DELAYED_KILLS)
    tally = Tally(SEED)
    killed = world.live(plan, calm.seconds, tally)
    assert tally.killed == len(DELAYED_KILLS), "nothing was proven unless workers died"
    assert differences(killed.seen, calm.seen, plan) == []
    assert len(calm.seen.predictions) == 2 * (DELAYED_EVENTS - DELAYED_EVENTS // BAD_EVERY)
    folder = tmp_path / world.name(plan) / "checkpoints"
    (shard,) = show(str(folder))["shards"]
    assert shard["events_learned"] > DELAYED_EVENTS // 2, "labels were learned"
    assert list(folder.rglob("*.segment")), "what waits was sealed"


def test_replay_equals_run_and_learned_once_at_any_kill(
    suite: CrashSuite, world: CrashWorld, tallies: list[Tally]
) -> None:
    tally = suite.run(SEED, KILLS - LIVE_KILLS) if PLAN is None else suite.run_one(SEED, PLAN)
    tallies.append(tally)
    if PLAN is None:
        began = time.monotonic()
        LiveWorld(world).run(SEED, LIVE_KILLS, SIDE_BY_SIDE, tally)
        tally.seconds += time.monotonic() - began
    if SUMMARY:
        tally.write(Path(SUMMARY))
    assert tally.differences == [], f"make test-crash SEED={SEED} PLAN=N lives the plan named {SEED}-N again"
    if PLAN is None:
        assert tally.killed >= KILLS
        if len(POINTS) <= KILLS - LIVE_KILLS:
            assert set(POINTS) <= tally.kills.keys()


def test_the_smallest_slip_of_a_live_stream_is_a_difference(world: CrashWorld) -> None:
    """What is held against the replay: each record once and in its order, each letter, each bit of a digest."""
    kills = (KillAt("producer.commit_transaction:after", 3),)
    plan = replace(CALM, name="slips", every_events=200, kills=kills)
    seen, expected = LiveWorld(world).lived(plan, Tally(SEED))
    assert differences(seen, expected, plan) == []
    records, letters = seen.predictions, seen.letters
    middle = len(records) // 2
    model = json.loads(records[middle])["model"]
    later = next(n for n in range(middle + 1, len(records)) if _is_of(records[n], model, records[middle]))
    swapped = [*records]
    swapped[middle], swapped[later] = records[later], records[middle]
    slips = {
        "sent again": replace(seen, predictions=[*records, records[middle]]),
        "lost": replace(seen, predictions=records[:middle] + records[middle + 1 :]),
        "out of order": replace(seen, predictions=swapped),
        "another version": replace(
            seen, predictions=[each.replace(b'"version":', b'"version":1') for each in records]
        ),
        "a letter lost": replace(seen, letters=letters[1:]),
        "a letter sent again": replace(seen, letters=sorted([*letters, letters[0]], key=repr)),
        "learned otherwise": replace(
            seen, digests={shard: digest[::-1] for shard, digest in seen.digests.items()}
        ),
    }
    assert [slip for slip, seen in slips.items() if not differences(seen, expected, plan)] == []

    name = world.name(plan)
    sent = world.kafka.read_back(f"{name}.out")[middle]
    world.kafka.produce(f"{name}.out", [(sent.partition, sent.key, sent.value, None)])
    looked = world.look(plan, world.folder / name, name)
    assert "1 of them repeats" in differences(looked, expected, plan)[0], (
        "as a reader of the topic would see it"
    )


def _is_of(record: bytes, model: str, other: bytes) -> bool:
    one, another = json.loads(record), json.loads(other)
    return one["model"] == model and one["partition"] == another["partition"]


def test_replay_equals_run_under_any_hash_seed_of_the_environment(
    suite: CrashSuite,
    world: CrashWorld,
    kafka: KafkaForTests,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the real command line: two processes, one killed, under hash seeds that are not the stream's."""
    plan = replace(CALM, name="command-line", poll_events=7, every_events=200)
    name = world.name(plan)
    text = world.text(plan, tmp_path, name)

    def run(hash_seed: str) -> DaemonProcess:
        monkeypatch.setenv("PYTHONHASHSEED", hash_seed)
        static = STATIC.format(number=0)
        return DaemonProcess(
            tmp_path,
            kafka.bootstrap_servers,
            text,
            "--until-end",
            overrides=[static],
            name=f"under-{hash_seed}",
        )

    with run("4242") as killed:
        has_ended = killed.process.poll
        eventually(lambda: len(list(tmp_path.rglob("*.checkpoint"))) > 1 or has_ended() is not None, 60)
        killed.process.kill()
        assert killed.wait() == -signal.SIGKILL, killed.log[-4000:]
    with run("random") as last:
        last.summary()
    assert differences(world.look(plan, tmp_path, name), suite.calm[plan.scope, plan.seed], plan) == []
