"""librdkafka settings of each handle: member, reader, producer, admin.

Upholds `publish_before_commit` and `offsets_increase` by configuration: nothing commits, stores or
resets an offset by itself, and no topic is created by asking for it. Settings come in three layers:
ours that a user may change, the user's ``properties``, and ours that a guarantee rests on.

Source: https://docs.confluent.io/platform/current/clients/librdkafka/html/md_CONFIGURATION.html
"""

from __future__ import annotations

from collections.abc import Mapping

from streamlearn.config import OWNED_PROPERTIES, KafkaSource
from streamlearn.errors import ConfigError

Settings = dict[str, str | int | float | bool]

# Beside config.OWNED_PROPERTIES: aliases of what is owned, and what the producer's promises rest on.
OWNED_BESIDE = {
    "metadata.broker.list": "it is source.kafka.bootstrap_servers",
    "transactional.id": "the daemon names its transactions itself",
    "transaction.timeout.ms": "it is predictions.transaction_timeout_seconds",
    "enable.idempotence": "predictions and dead letters keep their order through retries",
    "acks": "a checkpoint waits until predictions and dead letters are on all in-sync replicas",
    "request.required.acks": "a checkpoint waits until predictions and dead letters are on all in-sync replicas",
    "statistics.interval.ms": "readiness is told from the member's statistics",
}

# Where a property has a meaning only for one kind of handle, librdkafka warns when another gets it.
PRODUCER_ONLY = frozenset(
    {
        "batch.num.messages",
        "batch.size",
        "compression.codec",
        "compression.level",
        "compression.type",
        "delivery.timeout.ms",
        "enable.gapless.guarantee",
        "linger.ms",
        "max.in.flight",
        "message.send.max.retries",
        "message.timeout.ms",
        "partitioner",
        "queue.buffering.backpressure.threshold",
        "queue.buffering.max.kbytes",
        "queue.buffering.max.messages",
        "queue.buffering.max.ms",
        "queuing.strategy",
        "request.timeout.ms",
        "retries",
        "sticky.partitioning.linger.ms",
    }
)
MEMBER_ONLY = frozenset(
    {
        "coordinator.query.interval.ms",
        "group.instance.id",
        "group.protocol",
        "group.protocol.type",
        "group.remote.assignor",
        "heartbeat.interval.ms",
        "max.poll.interval.ms",
        "partition.assignment.strategy",
        "session.timeout.ms",
    }
)
CONSUMER_ONLY = MEMBER_ONLY | frozenset(
    {
        "allow.auto.create.topics",
        "check.crcs",
        "fetch.error.backoff.ms",
        "fetch.max.bytes",
        "fetch.message.max.bytes",
        "fetch.min.bytes",
        "fetch.queue.backoff.ms",
        "fetch.wait.max.ms",
        "isolation.level",
        "max.partition.fetch.bytes",
        "queued.max.messages.kbytes",
        "queued.min.messages",
    }
)

# A broker that comes back should be noticed within seconds; librdkafka's default is 10 s.
RECONNECT_BACKOFF_MAX_MS = 2000
MAX_POLL_INTERVAL_MS = 300_000
RECEIVE_BYTES_DEFAULT = 100_000_000  # librdkafka's
# Between the end of the revoke budget and the moment when the group throws the member out.
REVOKE_MARGIN_SECONDS = 5.0
# The answer to one fetch may overshoot the queue's limit, and its size counts compressed bytes: a small
# share of the buffer each, and four times that set aside (JSON compresses two to four times).
FETCHES_IN_BUFFER = 16
FETCH_EXPANSION = 4
FETCH_BYTES_MIN, FETCH_BYTES_MAX = 1024, 16 * 1024 * 1024
PARTITION_FETCH_BYTES_MAX = 1024 * 1024
# librdkafka bounds the call that adds offsets to a transaction by the socket's timeout, whatever it is asked
# for. A request that takes longer is sent again.
TRANSACTION_SOCKET_TIMEOUT_MS = 5000
# A coordinator that still writes the end of one transaction refuses the next; with librdkafka's default of
# 100 ms each transaction took that long (measured: 105 ms, and 23 ms so).
TRANSACTION_BACKOFF_MS = 10
# Kafka's largest; the broker's own limit decides, and its refusal is an error that we can name.
MESSAGE_BYTES_MAX = 1_000_000_000


def client_settings(bootstrap_servers: str, properties: Mapping[str, str]) -> Settings:
    """Return the settings of a handle that neither reads nor writes (admin), and the base of all others.

    Raises
    ------
    ConfigError
        When ``properties`` holds one that a guarantee rests on.

    >>> settings = client_settings("localhost:9092", {"sasl.username": "ada", "linger.ms": "5"})
    >>> settings["bootstrap.servers"], settings["sasl.username"], "linger.ms" in settings
    ('localhost:9092', 'ada', False)
    """
    owned = {**OWNED_PROPERTIES, **OWNED_BESIDE}
    for name in properties:
        if name in owned:
            raise ConfigError(
                f"source.kafka.properties: {name!r} cannot be set: {owned[name]}",
                remedy=f"remove {name!r} from source.kafka.properties",
            )
    return {
        "client.id": "streamlearn",
        # librdkafka's own lines would go past the daemon's log; its errors reach us as values.
        "log_level": 2,
        "reconnect.backoff.max.ms": RECONNECT_BACKOFF_MAX_MS,
        "socket.keepalive.enable": True,
        **_without(properties, PRODUCER_ONLY | CONSUMER_ONLY),
        "bootstrap.servers": bootstrap_servers,
    }


def reader_settings(source: KafkaSource) -> Settings:
    """Return the settings of the reader: assigned, never subscribed; committed messages only; no resets.

    Its queue is bounded in bytes: librdkafka counts ``queued.max.messages.kbytes`` over all partitions
    of the consumer, and one answer to a fetch a broker may come on top of it.

    >>> settings = reader_settings(KafkaSource(bootstrap_servers="b:1", topics=("t",), group_id="g"))
    >>> settings["isolation.level"], settings["auto.offset.reset"], settings["queued.max.messages.kbytes"]
    ('read_committed', 'error', 49152)
    """
    fetch_bytes = min(max(FETCH_BYTES_MIN, source.buffer_bytes_max // FETCHES_IN_BUFFER), FETCH_BYTES_MAX)
    queue_bytes = source.buffer_bytes_max - FETCH_EXPANSION * fetch_bytes
    return {
        "check.crcs": True,
        "isolation.level": "read_committed",
        "queued.max.messages.kbytes": max(1, queue_bytes // 1024),
        # A byte bound alone would let small messages starve: librdkafka stops at either limit.
        "queued.min.messages": 1_000_000,
        "message.max.bytes": fetch_bytes,  # fetch.max.bytes may not be less
        "fetch.max.bytes": fetch_bytes,
        "max.partition.fetch.bytes": min(PARTITION_FETCH_BYTES_MAX, fetch_bytes),
        # Both are delays that nothing is gained from: after a full queue, and at the end of a log, where
        # a new or resumed partition has to wait for the fetch that is under way.
        "fetch.queue.backoff.ms": 10,
        "fetch.wait.max.ms": 100,
        **client_settings(source.bootstrap_servers, source.plain_properties()),
        **_without(source.plain_properties(), PRODUCER_ONLY | MEMBER_ONLY),
        **_no_offsets_by_itself(source),
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
    }


def member_settings(source: KafkaSource) -> Settings:
    """Return the settings of the member, which holds a place in the group and never reads.

    Raises
    ------
    ConfigError
        When ``max.poll.interval.ms`` is no longer than a rebalance may wait for the belt.

    >>> source = KafkaSource(bootstrap_servers="b:1", topics=("t",), group_id="g")
    >>> member_settings(source)["partition.assignment.strategy"]
    'cooperative-sticky'
    """
    properties = source.plain_properties()
    interval_ms = properties.get("max.poll.interval.ms", str(MAX_POLL_INTERVAL_MS))
    longest_ms = (source.revoke_budget_seconds + REVOKE_MARGIN_SECONDS) * 1000
    if interval_ms.isdigit() and int(interval_ms) < longest_ms:  # what is no number, librdkafka refuses
        raise ConfigError(
            f"source.kafka.properties: max.poll.interval.ms = {interval_ms} is too short for "
            f"source.kafka.revoke_budget_seconds = {source.revoke_budget_seconds:g}: the group would throw "
            "this worker out in the middle of a rebalance",
            remedy=f"leave at least {REVOKE_MARGIN_SECONDS:g} s between the two, or remove "
            "max.poll.interval.ms",
        )
    classic: Settings = {"partition.assignment.strategy": "cooperative-sticky"}
    return {
        **(classic if is_classic(properties) else {}),
        "max.poll.interval.ms": interval_ms,
        **client_settings(source.bootstrap_servers, properties),
        **_without(properties, PRODUCER_ONLY),
        **_no_offsets_by_itself(source),
        # It reads nothing, and librdkafka refuses a limit below that of the fetches that it would make.
        "receive.message.max.bytes": RECEIVE_BYTES_DEFAULT,
        # Its partitions are paused at their ends; what slips in before the pause is thrown away.
        "auto.offset.reset": "latest",
        "queued.min.messages": 1,
        "queued.max.messages.kbytes": 1024,
        "statistics.interval.ms": 1000,
    }


def producer_settings(bootstrap_servers: str, properties: Mapping[str, str]) -> Settings:
    """Return the settings of the producer of predictions and dead letters: ordered, durable, never expiring.

    >>> settings = producer_settings("localhost:9092", {"session.timeout.ms": "6000", "linger.ms": "50"})
    >>> settings["linger.ms"], settings["enable.idempotence"], "session.timeout.ms" in settings
    ('50', True, False)
    """
    return {
        "compression.type": "lz4",
        "linger.ms": 1,  # a step hands over all that it says at once: there is little to wait for
        # As the Java client, so that a key's predictions lie in the partition of the same number.
        "partitioner": "murmur2_random",
        "message.max.bytes": MESSAGE_BYTES_MAX,
        # No record ever expires: an outage fills the queue, and a full queue makes the belt wait.
        "message.timeout.ms": 0,
        "queue.buffering.max.kbytes": 64 * 1024,
        **client_settings(bootstrap_servers, properties),
        **_without(properties, CONSUMER_ONLY),
        # Python is called for what failed, and for no record that arrived.
        "delivery.report.only.error": True,
        "bootstrap.servers": bootstrap_servers,
        "enable.idempotence": True,
        "acks": "all",
    }


def transactional_settings(
    bootstrap_servers: str,
    properties: Mapping[str, str],
    transactional_id: str,
    transaction_timeout_seconds: float,
) -> Settings:
    """Return the settings of a producer whose records appear as whole transactions, or not at all.

    Parameters
    ----------
    transactional_id
        Whoever uses it next fences this producer (KIP-98).
    transaction_timeout_seconds
        After so long the broker aborts what was left open; it refuses more than its own
        ``transaction.max.timeout.ms``.

    >>> settings = transactional_settings("localhost:9092", {"linger.ms": "50"}, "g.flights.t[3]", 60)
    >>> settings["transactional.id"], settings["transaction.timeout.ms"], settings["linger.ms"]
    ('g.flights.t[3]', 60000, '50')
    """
    timeout_ms = round(transaction_timeout_seconds * 1000)
    return {
        "retry.backoff.ms": TRANSACTION_BACKOFF_MS,
        "socket.timeout.ms": min(TRANSACTION_SOCKET_TIMEOUT_MS, timeout_ms),
        **producer_settings(bootstrap_servers, properties),
        "transactional.id": transactional_id,
        "transaction.timeout.ms": timeout_ms,
    }


def is_classic(properties: Mapping[str, str]) -> bool:
    """Return whether the group speaks the classic protocol (not KIP-848, ``group.protocol = "consumer"``).

    >>> is_classic({}), is_classic({"group.protocol": "consumer"})
    (True, False)
    """
    return properties.get("group.protocol", "classic").lower() != "consumer"


def is_cooperative(settings: Mapping[str, object]) -> bool:
    """Return whether a member with these settings gets partitions incrementally (KIP-429, KIP-848).

    librdkafka does not allow eager and cooperative assignors side by side, so one name decides.

    >>> is_cooperative({"partition.assignment.strategy": "range,roundrobin"})
    False
    >>> is_cooperative({"group.protocol": "consumer"})
    True
    """
    if str(settings.get("group.protocol", "classic")).lower() == "consumer":
        return True
    return "cooperative" in str(settings.get("partition.assignment.strategy", "range,roundrobin"))


def _no_offsets_by_itself(source: KafkaSource) -> Settings:
    return {
        "bootstrap.servers": source.bootstrap_servers,
        "group.id": source.group_id,
        "allow.auto.create.topics": False,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
    }


def _without(properties: Mapping[str, str], names: frozenset[str]) -> Settings:
    return {name: value for name, value in properties.items() if name not in names}
