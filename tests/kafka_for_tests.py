"""The Apache Kafka that integration tests run on, and what they do with it.

In this order: the address in ``STREAMLEARN_BOOTSTRAP_SERVERS``; a container of ``STREAMLEARN_KAFKA_IMAGE``,
where a Docker engine runs and has the image or can pull it; ``LocalBroker``. Whatever is passed over is
told, and so is what is used.
"""

from __future__ import annotations

import gc
import socket
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from waiting import eventually

from streamlearn.connectors.local_broker import LocalBroker
from streamlearn.environment import Environment
from streamlearn.errors import LocalBrokerError

Say = Callable[[str], None]
Row = tuple[int, bytes | None, bytes | None, int | None]

# Tests of take-overs would else wait for Kafka's lower limits of six and five seconds.
SERVER_SETTINGS: Mapping[str, str] = {
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.session.timeout.ms": "1000",
}

# What LocalBroker sets too; an image that is given any setting takes none of its defaults.
CONTAINER_SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "listeners": "CLIENTS://:9092,CONTROLLER://:9093,BROKER://localhost:9094",
    "controller.listener.names": "CONTROLLER",
    "controller.quorum.voters": "1@localhost:9093",
    "inter.broker.listener.name": "BROKER",
    "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT,BROKER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "log.retention.ms": "-1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "8",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    **SERVER_SETTINGS,
}

_DOCKER_SECONDS = 20


class NoKafka(Exception):
    """None of the ways gave a Kafka; the message says why not, way by way."""


class Record(NamedTuple):
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: tuple[tuple[str, bytes], ...]


class KafkaForTests:
    """A Kafka, and what tests do with it.

    ``bootstrap_servers`` is its address, ``origin`` says for people where it came from, and ``admin`` is a
    confluent AdminClient on it.
    """

    def __init__(self, bootstrap_servers: str, origin: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.origin = origin
        self.admin = AdminClient({"bootstrap.servers": bootstrap_servers})

    def topic(
        self, partitions: int = 1, config: Mapping[str, str] | None = None, name: str | None = None
    ) -> str:
        """Create a topic and wait until each of its partitions has a leader; returns its name.

        Without a name it gets a unique one.
        """
        topic = name or f"test-{uuid.uuid4().hex[:12]}"
        new = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
        self.admin.create_topics([new], request_timeout=30)[topic].result()

        def is_led() -> bool:
            known = self.admin.list_topics(topic, timeout=10).topics[topic].partitions
            return len(known) == partitions and all(each.leader >= 0 for each in known.values())

        eventually(is_led, 30, why=f"leaders for the {partitions} partitions of {topic}")
        return topic

    def produce(self, topic: str, rows: Sequence[Row]) -> None:
        """Write (partition, key, value, timestamp in milliseconds or None) in order, and wait until
        Kafka has them all."""
        producer = Producer({"bootstrap.servers": self.bootstrap_servers, "enable.idempotence": True})
        refused = []

        def on_delivery(error: object, _message: object) -> None:
            if error is not None:
                refused.append(error)

        for partition, key, value, timestamp_ms in rows:
            when = {} if timestamp_ms is None else {"timestamp": timestamp_ms}
            while True:
                try:
                    producer.produce(topic, value, key, partition=partition, on_delivery=on_delivery, **when)
                except BufferError:
                    producer.poll(0.1)
                else:
                    break
        unsent = producer.flush(60)
        assert unsent == 0, f"{unsent} of {len(rows)} records were not taken by {topic} in 60 s"
        assert not refused, f"{topic} refused {len(refused)} of {len(rows)} records: {refused[0]}"

    def read_back(self, topic: str, *, isolation_level: str = "read_committed") -> list[Record]:
        """Read the topic from its beginning to its end with the other client (kafka-python).

        Returns the records by partition, then offset.
        """
        import kafka as kafka_python

        from streamlearn.connectors.kafka_python_client import ClosingClient

        consumer = kafka_python.KafkaConsumer(
            bootstrap_servers=self.bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            isolation_level=isolation_level,
            allow_auto_create_topics=False,
            kafka_client=ClosingClient,
        )
        try:
            numbers = consumer.partitions_for_topic(topic)
            assert numbers, f"{topic} does not exist"
            partitions = [kafka_python.TopicPartition(topic, number) for number in sorted(numbers)]
            consumer.assign(partitions)
            consumer.seek_to_beginning()
            ends = consumer.end_offsets(partitions)
            records = []

            def all_are_read() -> bool:
                for batch in consumer.poll(timeout_ms=200).values():
                    records.extend(batch)
                return all(consumer.position(each) >= ends[each] for each in partitions)

            eventually(all_are_read, 60, why=f"the end of {topic} at {ends}")
        finally:
            consumer.close()
        return sorted(
            Record(each.partition, each.offset, each.key, each.value, each.timestamp, tuple(each.headers))
            for each in records
        )


@contextmanager
def kafka_for_tests(environment: Environment, say: Say) -> Iterator[KafkaForTests]:
    """Provide the first Kafka to be had, as the module's head says. Raises NoKafka."""
    passed_over: list[str] = []

    def pass_over(line: str) -> None:
        passed_over.append(line)
        say(line)

    address = environment.streamlearn_bootstrap_servers
    if address is not None:
        _check_answers(address)
        yield KafkaForTests(address, "STREAMLEARN_BOOTSTRAP_SERVERS")
        return
    with _container(environment.streamlearn_kafka_image, pass_over) as kafka:
        if kafka is not None:
            yield kafka
            return
    broker = LocalBroker(properties=SERVER_SETTINGS, environment=environment, report=say)
    try:
        broker.start()
    except LocalBrokerError as error:
        raise NoKafka("\n".join([*passed_over, str(error)])) from error
    with _stopping(broker):
        yield KafkaForTests(broker.bootstrap_servers, "LocalBroker")


@contextmanager
def _stopping(broker: LocalBroker) -> Iterator[None]:
    try:
        yield
    finally:
        broker.stop()


def _check_answers(address: str) -> None:
    # An address that was named and does not answer is never passed over: the tests would run elsewhere.
    try:
        AdminClient({"bootstrap.servers": address}).list_topics(timeout=15)
    except KafkaException as error:
        raise NoKafka(f"STREAMLEARN_BOOTSTRAP_SERVERS={address} does not answer: {error}") from error


@contextmanager
def _container(image: str, pass_over: Say) -> Iterator[KafkaForTests | None]:
    """Provide a Kafka in a container, or None where there is no engine or no image."""
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.container import DockerContainer

    why_not = _why_no_image(image)
    if why_not is not None:
        pass_over(f"no Kafka from a container of {image}: {why_not}")
        yield None
        return
    # The reaper ends containers whose tests were killed; it is an image itself, which may not be there.
    testcontainers_config.ryuk_disabled = _why_no_image(testcontainers_config.ryuk_image) is not None
    port = _free_port()
    container = DockerContainer(image)
    container.ports["9092/tcp"] = ("127.0.0.1", port)  # with_bind_ports would bind all addresses
    # The broker calls itself, for transactions: from inside it cannot reach the port that clients use.
    advertised = f"CLIENTS://127.0.0.1:{port},BROKER://localhost:9094"
    settings = {**CONTAINER_SETTINGS, "advertised.listeners": advertised}
    for key, value in settings.items():
        container.with_env("KAFKA_" + key.replace(".", "_").upper(), value)
    with container:
        address = f"127.0.0.1:{port}"
        try:
            eventually(lambda: _answers(address), 90, why=f"an answer from the container of {image}")
        except AssertionError as error:
            error.add_note(b"".join(container.get_logs()).decode(errors="replace"))
            raise
        yield KafkaForTests(address, f"a container of {image}")


def _why_no_image(image: str) -> str | None:
    """Return why a container of the image cannot be started, or None when it is on this machine now."""
    with warnings.catch_warnings():
        # The Docker client leaves its socket to the garbage collector when there is no engine.
        warnings.simplefilter("ignore", ResourceWarning)
        why_not = _obtain(image)
        gc.collect()
    return why_not


def _obtain(image: str) -> str | None:
    from docker.errors import DockerException, ImageNotFound

    import docker

    try:
        engine = docker.from_env(timeout=_DOCKER_SECONDS)
        try:
            engine.images.get(image)
        except ImageNotFound:
            engine.images.pull(image)
        finally:
            engine.close()
    except (DockerException, OSError) as error:
        return str(error)
    return None


def _answers(address: str) -> bool:
    try:
        brokers = AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=2).brokers
    except KafkaException:
        return False
    return bool(brokers)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
