"""A group of real daemons on Apache Kafka, to which actions happen while events keep coming."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from chaos.rebalance_feed import Feed
from chaos.rebalance_plan import HEARTBEAT_MS, SESSION_MS, WORKERS_FIRST, Action, Setup
from chaos.rebalance_worker import Disturbance, Holding, Worker
from confluent_kafka import Consumer, ConsumerGroupState, KafkaException
from confluent_kafka import TopicPartition as KafkaTopicPartition
from confluent_kafka.admin import ConsumerGroupDescription
from daemon_process import DaemonProcess
from kafka_for_tests import KafkaForTests
from waiting import eventually

from streamlearn.events import TopicPartition

PARTITIONS = 8
PER_SECOND = 200.0
LOGISTIC = "logistic"
MODELS = (LOGISTIC, "bayes")
DEADLINE_SECONDS = 90.0  # many times what anything takes on a machine that has nothing else to do
FIRST_SECONDS = 300.0  # the first start of a version compiles its kernels

CONFIG = """
[stream]
name = "{name}"
task = "binary"
scope = "{scope}"
micro_batch_events = 200
idle_wait_ms = 50

[source.kafka]
bootstrap_servers = "{servers}"
topics = ["{topic}"]
group_id = "{name}"

[event]
{label}time = "t"
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
topic = "{name}.out"
delivery = "exactly_once"
commit_ms = 20

[dead_letters]
topic = "{name}.dead"

[checkpoint]
every_seconds = 2

[http]
enabled = false
"""
LABELS = """
[labels]
topic = "{labels}"
id = "of"
label = "y"
time = "t"
time_format = "epoch_milliseconds"
wait = "1s"
on_expiry = false
on_late_label = "learn"
on_correction = "learn"
"""


class RebalanceWorld:
    """Use as a context manager: it ends all workers and the feed."""

    def __init__(self, kafka: KafkaForTests, folder: Path, setup: Setup, seed: int) -> None:
        self.kafka = kafka
        self.setup = setup
        self.folder = folder
        self.topic = kafka.topic(PARTITIONS)
        self.labels = kafka.topic(PARTITIONS) if setup.delayed_labels else None
        self.name = f"{self.topic}.{setup.name}"
        self.out = kafka.topic(1, name=f"{self.name}.out")
        self.dead = kafka.topic(1, name=f"{self.name}.dead")
        self.feed = Feed(
            kafka.bootstrap_servers, self.topic, PARTITIONS, PER_SECOND, seed, labels=self.labels
        )
        self.workers: list[Worker] = []
        self.done: list[Disturbance] = []
        # Of eight shards some transaction is open at any time: only this level answers with what is committed
        # before it, instead of waiting for the end of all.
        self._offsets = Consumer(
            {
                "bootstrap.servers": kafka.bootstrap_servers,
                "group.id": self.name,
                "isolation.level": "read_uncommitted",
            }
        )
        if setup.protocol == "consumer":
            self._shorten_sessions()

    def __enter__(self) -> RebalanceWorld:
        self.feed.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.__exit__()
        for worker in self.workers:
            worker.process.__exit__()
        self._offsets.close()

    def _shorten_sessions(self) -> None:
        """Under KIP-848 the group's own settings say how long a session is; confluent-kafka cannot set them."""
        from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

        from streamlearn.connectors.kafka_python_client import ClosingClient

        admin = KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers, kafka_client=ClosingClient)
        try:
            configs = {
                "consumer.session.timeout.ms": str(SESSION_MS),
                "consumer.heartbeat.interval.ms": str(HEARTBEAT_MS),
            }
            admin.alter_configs([ConfigResource(ConfigResourceType.GROUP, self.name, configs)])
        finally:
            admin.close()

    # ------------------------------------------------------------------------------------ what happens

    def begin(self) -> None:
        """Start the first workers, and wait until the group is at rest."""
        for _ in range(WORKERS_FIRST):
            self._add()
        self.settle(FIRST_SECONDS)
        self.done.clear()

    def act(self, action: Action) -> None:
        """Let an action happen, and wait until the group is at rest where it is not rushed."""
        if action.kind == "add":
            self._add()
        else:
            worker = self._choose(action)
            match action.kind:
                case "kill":
                    self._note("kill", worker)
                    worker.is_ended = True
                    worker.process.process.kill()
                    worker.process.wait()
                case "remove":
                    self._note("remove", worker)
                    self._terminate([worker])
                case "freeze":
                    self._freeze(worker)
        if not action.rushed:
            self.settle()

    def _add(self) -> None:
        seats = {worker.seat for worker in self.workers if worker.is_alive}
        seat = next(number for number in range(len(seats) + 1) if number not in seats)
        number = len(self.workers)
        process = DaemonProcess(
            self.folder,
            self.kafka.bootstrap_servers,
            self.text(),
            overrides=[self.setup.properties(seat)],
            name=f"worker{number}",
        )
        self.workers.append(Worker(number, seat, process))
        self._note("add", self.workers[-1])

    def _terminate(self, workers: list[Worker]) -> None:
        for worker in workers:
            worker.is_ended = True
            worker.process.terminate()
        for worker in workers:
            assert worker.process.wait(DEADLINE_SECONDS) == 0, worker.process.log[-4000:]

    def _freeze(self, worker: Worker) -> None:
        """Stop a worker where it stands, until the group has gone on without it; then let it go on."""
        held = worker.holds()
        worker.is_frozen = True
        self._note("freeze", worker)
        worker.process.process.send_signal(signal.SIGSTOP)
        try:
            eventually(
                lambda: held <= set().union(*(other.holds() for other in self.running)) and self._is_out(),
                DEADLINE_SECONDS,
                why=f"others to take over what worker {worker.number} held",
            )
        finally:
            self._note("return", worker)
            worker.process.process.send_signal(signal.SIGCONT)
            worker.is_frozen = False

    def _is_out(self) -> bool:
        """Whether the group counts no more members than workers run."""
        group = self._group()
        return group is not None and len(group.members) <= len(self.running)

    def _is_stable(self) -> bool:
        """Whether the group has all workers, those too that only just began, and has handed out everything.

        Between the two rounds of a cooperative rebalance it is stable as well, with partitions of nobody.
        """
        group = self._group()
        if group is None or not all(worker.process.logged("partitions_assigned") for worker in self.running):
            return False
        given = sum(len(member.assignment.topic_partitions) for member in group.members)
        is_whole = given == PARTITIONS and len(group.members) == len(self.running)
        return is_whole and group.state == ConsumerGroupState.STABLE

    def _group(self) -> ConsumerGroupDescription | None:
        asked = self.kafka.admin.describe_consumer_groups([self.name], request_timeout=10)
        try:
            return asked[self.name].result()
        except KafkaException:
            return None  # between two coordinators, or not there yet

    def _choose(self, action: Action) -> Worker:
        able = self.running
        owners = [worker for worker in able if worker.holds()]
        among = owners if action.at_owner and owners else able
        return among[int(action.pick * len(among))]

    def _note(self, kind: str, worker: Worker) -> None:
        self.done.append(Disturbance(kind, worker.number, time.time()))

    # --------------------------------------------------------------------------------- what can be seen

    @property
    def running(self) -> list[Worker]:
        for worker in self.workers:
            ended = not worker.is_ended and not worker.is_alive
            assert not ended, f"worker {worker.number} ended by itself:\n{worker.process.log[-4000:]}"
        return [worker for worker in self.workers if worker.is_running]

    @property
    def shards(self) -> set[str]:
        if self.setup.scope == "stream":
            return {self.name}
        return {f"{self.topic}[{number}]" for number in range(PARTITIONS)}

    def settle(self, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        """Wait until the group is at rest and each shard has one holder, by whom readers have seen something."""
        eventually(self._is_at_rest, deadline_seconds, why="a group at rest, and one holder of each shard")
        sent = self.feed.counts()
        try:
            eventually(lambda: self.is_seen(sent) and self._is_at_rest(), deadline_seconds)
        except AssertionError as error:
            raise AssertionError(
                f"{error}\nreaders have not seen all: {self._unseen(sent)}\n{self._told()}"
            ) from None

    def _is_at_rest(self) -> bool:
        held = sorted(shard for worker in self.running for shard in worker.holds())
        return held == sorted(self.shards) and self._is_stable()

    def is_seen(self, sent: dict[TopicPartition, int]) -> bool:
        """Whether transactions up to these counts are committed, by the offsets that ride in them."""
        return not self._unseen(sent)

    def _unseen(self, sent: dict[TopicPartition, int]) -> dict[str, str]:
        asked = [KafkaTopicPartition(*each) for each in sent]
        found = {
            TopicPartition(each.topic, each.partition): each.offset
            for each in self._offsets.committed(asked, 20)
        }
        return {str(p): f"{found[p]} of {count}" for p, count in sent.items() if found[p] < count}

    def _told(self) -> str:
        """What each worker said last."""
        return "\n".join(f"worker {each.number}:\n{each.process.log[-2000:]}" for each in self.running)

    def end(self) -> None:
        """Send no more, wait until all is seen, and end the workers in order."""
        self.settle()
        self.feed.stop()
        sent = self.feed.counts()
        eventually(lambda: self.is_seen(sent), DEADLINE_SECONDS, why=f"{sent} to be seen by readers")
        self._terminate(self.running)

    def holdings(self) -> list[Holding]:
        """All holdings of all workers, by the time when they began."""
        found = [held for worker in self.workers for held in worker.holdings()]
        return sorted(found, key=lambda held: held.opened_at)

    def text(self) -> str:
        """The config of this group's workers."""
        text = CONFIG + ("" if self.labels is None else LABELS)
        return text.format(
            label='label = "y"\n' if self.labels is None else "",
            labels=self.labels,
            name=self.name,
            scope=self.setup.scope,
            servers=self.kafka.bootstrap_servers,
            topic=self.topic,
        )
