"""Runs plans on Apache Kafka, and says what differs from a run that nobody interrupted.

The oracle compares what the outside can see: the ``state_digest`` of every shard, the prediction records that
a read_committed consumer gets (those of a model in their order, in partition scope those of each partition in
theirs), and the dead letters. Under ``at_least_once`` repeats are dropped first, and order says nothing.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from belt_world import delayed, events, labels_section
from crash_plan import ByClock, Kill, Plan, Scope
from crash_points import KillAt
from crash_tally import Tally
from kafka_for_tests import KafkaForTests, Record, Row
from zygote import Job, Zygote

from streamlearn.checkpoints.inspect import show
from streamlearn.connectors.kafka_journal import journal_topic

EVENTS = 2400
BAD_EVERY = 60
PARTITIONS = 4
RUN_SECONDS = 120.0  # much longer than any run takes: a worker that is still there then hangs

CONFIG = """
[stream]
name = "{name}"
task = "binary"
scope = "{scope}"
seed = {seed}
micro_batch_events = {micro_batch_events}

[source.kafka]
bootstrap_servers = "{servers}"
topics = ["{topic}"]
group_id = "{name}"
poll_events = {poll_events}

[event]
label = "y"
time = "t"
time_format = "epoch_milliseconds"
id = "id"
numeric = ["a", "b"]
categorical = ["c"]

[[models]]
name = "logistic"
learner = "river"
pipeline = [{{ use = "compose.Select", keys = ["a", "b"] }}, "preprocessing.StandardScaler", "linear_model.LogisticRegression"]

[[models]]
name = "bayes"
learner = "river"
engine = "river"
pipeline = [{{ use = "compose.Select", keys = ["a", "b"] }}, "naive_bayes.GaussianNB"]

[predictions]
topic = "{out}"
delivery = "{delivery}"
commit_ms = {commit_ms}

[dead_letters]
topic = "{dead}"

[checkpoint]
path = "{folder}/checkpoints"
every_events = {every_events}
keep = 3

[http]
enabled = false
"""
# A restarted worker is the same member: the group need not wait for the end of the killed one.
STATIC = 'source.kafka.properties={{"group.instance.id"="worker-{number}","session.timeout.ms"=6000,"heartbeat.interval.ms"=500}}'


@dataclass(frozen=True, slots=True)
class Seen:
    """What the outside can see of a stream, without its name."""

    digests: dict[str, str]
    predictions: list[bytes]
    letters: list[tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]]


@dataclass(frozen=True, slots=True)
class Lived:
    """What became of a plan: what is seen, how often its last worker came to which point, how long it took."""

    seen: Seen
    counts: dict[str, int]
    seconds: float


class Failure(Exception):
    """A worker ended on its own, or not at all."""


class CrashWorld:
    """One topic of events on a Kafka, and plans that run over it; ``delayed_labels``: a second topic has the labels."""

    def __init__(
        self,
        kafka: KafkaForTests,
        zygotes: dict[int, Zygote],
        folder: Path,
        *,
        count: int = EVENTS,
        delayed_labels: bool = False,
    ) -> None:
        self.kafka = kafka
        self.zygotes = zygotes
        self.folder = folder
        # Unpickling watches River's classes for alterations, and a first digest of one is one (copyreg).
        self._looking = threading.Lock()
        self.topic = kafka.topic(PARTITIONS)
        logs = events(count, PARTITIONS, seed=11, bad_every=BAD_EVERY)
        self._label_topic: str | None = None
        if delayed_labels:
            self._label_topic = kafka.topic(PARTITIONS)
            logs, labels = delayed(logs, seed=11)
            kafka.produce(self._label_topic, _rows(labels))
        self.rows: list[Row] = _rows(logs)
        kafka.produce(self.topic, self.rows)

    def text(self, plan: Plan, folder: Path, name: str, topic: str | None = None) -> str:
        """Return the config of a plan, with topics of its own to write to; it reads the world's, or another."""
        config = CONFIG
        if self._label_topic is not None:  # and models that take the weights of late labels
            config = config.replace("naive_bayes.GaussianNB", "tree.HoeffdingTreeClassifier")
            config = config.replace('label = "y"\n', "") + labels_section(self._label_topic, "correct")
        return config.format(
            name=name,
            scope=plan.scope,
            seed=plan.seed,
            micro_batch_events=plan.micro_batch_events,
            servers=self.kafka.bootstrap_servers,
            topic=topic or self.topic,
            poll_events=plan.poll_events,
            out=self.kafka.topic(1, name=f"{name}.out"),
            dead=self.kafka.topic(1, name=f"{name}.dead"),
            delivery=plan.delivery,
            commit_ms=plan.commit_ms,
            every_events=plan.every_events,
            folder=folder,
        )

    def name(self, plan: Plan) -> str:
        """Return a stream's name that no other plan on this Kafka has."""
        return f"{self.topic}.{plan.name}".replace(":", ".")

    def live(self, plan: Plan, calm_seconds: float, tally: Tally | None = None) -> Lived:
        """Run a plan to its end, with all its kills. Raises Failure."""
        name = self.name(plan)
        folder = self.folder / name
        folder.mkdir()
        text = self.text(plan, folder, name)
        began = time.monotonic()
        lives = [
            _Life(self.zygotes[plan.seed], plan, text, folder, number, calm_seconds, tally)
            for number in range(plan.workers)
        ]
        with ThreadPoolExecutor(len(lives)) as pool:
            for ended in [pool.submit(life.live) for life in lives]:
                ended.result()
        seconds = time.monotonic() - began
        counts = json.loads((folder / "result-0.json").read_text())["counts"]
        return Lived(self.look(plan, folder, name), counts, seconds)

    def look(self, plan: Plan, folder: Path, name: str) -> Seen:
        """Return what is seen of a plan's stream."""
        with self._looking:
            shards = show(f"{folder}/checkpoints")["shards"]
        digests = {each["shard"].replace(name, "all"): each["state_digest"] for each in shards}
        out, dead = self.kafka.read_back(f"{name}.out"), self.kafka.read_back(f"{name}.dead")
        predictions = [(each.value or b"").replace(name.encode(), b"all") for each in out]
        letters = [_letter(each, name) for each in dead]
        if plan.delivery == "at_least_once":
            predictions, letters = list(dict.fromkeys(predictions)), list(dict.fromkeys(letters))
        return Seen(digests, predictions, sorted(letters, key=repr))

    def forget(self, plan: Plan) -> None:
        """Delete what a plan left, so that a thousand kills fill neither broker nor disk."""
        name = self.name(plan)
        shutil.rmtree(self.folder / name)
        topics = [f"{name}.out", f"{name}.dead"]
        if plan.scope == "stream" and plan.delivery == "exactly_once":
            topics.append(journal_topic(name))
        for deleted in self.kafka.admin.delete_topics(topics).values():
            deleted.result()


def _rows(logs: Mapping[int, Sequence[tuple[bytes | None, bytes | None, int]]]) -> list[Row]:
    return [(number, key, value, None) for number, log in logs.items() for key, value, _ in log]


class _Life:
    """One worker of a plan, from its first start through its kills to its end in order."""

    def __init__(
        self,
        zygote: Zygote,
        plan: Plan,
        text: str,
        folder: Path,
        number: int,
        calm_seconds: float,
        tally: Tally | None,
    ) -> None:
        self._zygote = zygote
        self._kills = plan.kills[number :: plan.workers]
        self._calm_seconds = calm_seconds
        self._tally = tally
        self._log = folder / f"worker-{number}.log"
        self._result = folder / f"result-{number}.json"
        self._text = text
        self._number = number
        self._has_links = plan.has_links

    def live(self) -> None:
        for kill in self._kills:
            if self._run(kill):
                return
        if not self._run(None):
            raise Failure(f"killed by nobody; see {self._log}")

    def _run(self, kill: Kill | None) -> bool:
        """Start it once; whether it ended in order."""
        kill_at = kill if isinstance(kill, KillAt) else None
        static = STATIC.format(number=self._number)
        worker = self._zygote.start(
            Job(self._text, (static,), self._log, self._result, kill_at, self._has_links)
        )
        if isinstance(kill, ByClock) and not worker.wait(kill.share * self._calm_seconds):
            worker.kill()
        ended_by_itself = worker.wait(RUN_SECONDS)
        code = worker.end(0)
        if not ended_by_itself:
            raise Failure(f"still running after {RUN_SECONDS:g} s: {self._log}\n{self._tail()}")
        was_killed = code == -9 and kill is not None
        if code != 0 and not was_killed:
            raise Failure(f"ended with {code} after {kill}: {self._log}\n{self._tail()}")
        if self._tally is not None and kill is not None:
            self._tally.met(kill, was_killed=was_killed)
        return not was_killed

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]


def differences(seen: Seen, calm: Seen, plan: Plan) -> list[str]:
    """Return in what a plan's end differs from that of an uninterrupted run; nothing is as it should be."""
    found = []
    if seen.digests != calm.digests:
        found.append(f"digests: {seen.digests} instead of {calm.digests}")
    if seen.letters != calm.letters:
        found.append(f"dead letters: {_compared(seen.letters, calm.letters)}")
    for name, records, expected in _to_compare(seen.predictions, calm.predictions, plan):
        if records != expected:
            found.append(f"predictions{name}: {_compared(records, expected)}")
    return found


def _to_compare(
    seen: Sequence[bytes], calm: Sequence[bytes], plan: Plan
) -> list[tuple[str, Sequence[bytes], Sequence[bytes]]]:
    if plan.delivery == "at_least_once":
        return [("", sorted(seen), sorted(calm))]
    found, expected = _in_order(seen, plan.scope), _in_order(calm, plan.scope)
    return [
        (f" of {which}", found.get(which, []), expected.get(which, []))
        for which in sorted(found.keys() | expected.keys())
    ]


def _in_order(records: Sequence[bytes], scope: Scope) -> dict[str, list[bytes]]:
    """Return what has an order of its own: a model's records, in partition scope those of a partition.

    A micro-batch sends the records of one model after those of another, and its size is nobody's promise.
    """
    found: dict[str, list[bytes]] = {}
    for record in records:
        fields = json.loads(record)
        which = fields["model"] if scope == "stream" else f"{fields['model']} in {fields['partition']}"
        found.setdefault(which, []).append(record)
    return found


def _compared(found: Sequence[object], expected: Sequence[object]) -> str:
    first = next((n for n, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), None)
    where = min(len(found), len(expected)) if first is None else first
    repeats = len(found) - len(set(found))
    return (
        f"{len(found)} instead of {len(expected)}, {repeats} of them repeats, {len(set(expected) - set(found))} "
        f"missing; the first that differs is number {where}: {found[where : where + 1]} instead of "
        f"{expected[where : where + 1]}"
    )


def _letter(record: Record, name: str) -> tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]:
    headers = tuple((key, value.replace(name.encode(), b"all")) for key, value in record.headers)
    return record.key, record.value, headers
