"""The C door on Apache Kafka: the same as by ``consume()``, nothing kept that was taken, nobody held up."""

from __future__ import annotations

import gc
import random
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest
from waiting import eventually

from streamlearn.config import KafkaSource
from streamlearn.connectors.kafka_reader import KafkaReader
from streamlearn.connectors.librdkafka_kernels import SPARE_BYTES
from streamlearn.contracts import Polled
from streamlearn.events import TopicPartition

pytestmark = pytest.mark.kafka

DEADLINE_SECONDS = 60.0
Way = Literal["c_batches", "consume"]


def source_of(kafka: Any, *topics: str, **options: Any) -> KafkaSource:
    return KafkaSource(bootstrap_servers=kafka.bootstrap_servers, topics=topics, group_id="c-door", **options)


def read_all(source: KafkaSource, way: Way, begin: int, events_max: int) -> list[Polled]:
    """Everything from ``begin`` on in each partition, to its end."""
    reader = KafkaReader(source, way=way)
    assert reader.way == way
    partitions = reader.partitions()
    reader.assign(dict.fromkeys(partitions, begin))
    polls: list[Polled] = []
    ends: set[TopicPartition] = set()

    def at_ends() -> bool:
        polls.append(reader.poll(events_max, 0.2))
        ends.update(polls[-1].caught_up)
        return len(ends) == len(partitions)

    eventually(at_ends, DEADLINE_SECONDS)
    reader.close()
    return polls


def sorted_table(polls: list[Polled]) -> pa.Table:
    table = pa.Table.from_batches([polled.batch for polled in polls]).combine_chunks()
    return table.sort_by([(name, "ascending") for name in ("topic", "partition", "offset")])


@pytest.fixture(scope="module")
def topics(kafka: Any) -> tuple[str, str]:
    """Two topics of several partitions, with every kind of key and value."""
    generator = random.Random(7)
    one, other = kafka.topic(3), kafka.topic(2)
    for topic, partitions in ((one, 3), (other, 2)):
        rows = [
            (
                generator.randrange(partitions),
                generator.choice([None, b"", b"k", b"\xff" * 9, str(number).encode()]),
                generator.choice([None, b"", b"\x00", generator.randbytes(generator.randrange(2000))]),
                generator.choice([None, 1, 1_700_000_000_000 + number]),
            )
            for number in range(600)
        ]
        kafka.produce(topic, rows)
    return one, other


@pytest.mark.parametrize(("begin", "events_max"), [(0, 13), (0, 10_000), (40, 500)])
def test_both_ways_bring_the_same(kafka: Any, topics: tuple[str, str], begin: int, events_max: int) -> None:
    source = source_of(kafka, *topics)
    by_c, by_consume = (read_all(source, way, begin, events_max) for way in ("c_batches", "consume"))
    table = sorted_table(by_c)
    table.validate(full=True)
    assert table.num_rows == 1200 - 5 * begin
    assert table.equals(sorted_table(by_consume))
    assert {p: end for polled in by_c for p, end in polled.positions.items()} == {
        p: end for polled in by_consume for p, end in polled.positions.items()
    }


def test_what_is_not_due_is_left_out(kafka: Any, topics: tuple[str, str]) -> None:
    reader = KafkaReader(source_of(kafka, topics[0]), way="c_batches")
    owned, given_back, _ = reader.partitions()
    # What librdkafka still brings of a partition that was given back, and from before the position.
    reader._door.assign({owned: 0, given_back: 0})
    reader._positions = {owned: 20}
    rows: list[dict[str, Any]] = []

    def at_end() -> bool:
        polled = reader.poll(1000, 0.2)
        rows.extend(polled.batch.to_pylist())
        return owned in polled.caught_up

    eventually(at_end, DEADLINE_SECONDS)
    end = reader.watermarks(owned).high
    reader.close()
    assert [(row["partition"], row["offset"]) for row in rows] == [(0, offset) for offset in range(20, end)]


def test_spare_bytes_follow_the_values(kafka: Any, topics: tuple[str, str]) -> None:
    for polled in read_all(source_of(kafka, *topics), "c_batches", 0, 100):
        if polled.batch.num_rows:
            _, ends, values = polled.batch.column("value").buffers()
            end = int.from_bytes(bytes(ends)[-8:], "little")
            assert bytes(values)[end:] == bytes(SPARE_BYTES)


def test_a_batch_outlives_the_reader(kafka: Any) -> None:
    topic = kafka.topic()
    values = [b"%d" % number * 100 for number in range(500)]
    kafka.produce(topic, [(0, value[:3], value, None) for value in values])
    table = pa.Table.from_batches(
        [polled.batch for polled in read_all(source_of(kafka, topic), "c_batches", 0, 50)]
    )
    gc.collect()
    assert table.column("value").to_pylist() == values
    assert table.column("key").to_pylist() == [value[:3] for value in values]


def test_what_was_taken_is_freed(kafka: Any) -> None:
    topic = kafka.topic()
    value = b"v" * 100_000
    kafka.produce(topic, [(0, None, value, None)] * 300)
    source = source_of(kafka, topic)
    reader = KafkaReader(source, way="c_batches")
    [only] = reader.partitions()

    def read_once() -> int:
        reader.assign({only: 300})
        reader.assign({only: 0})
        read: list[Polled] = []

        def at_end() -> bool:
            read.append(reader.poll(1000, 0.2))
            return bool(reader._positions[only] == 300)

        eventually(at_end, DEADLINE_SECONDS)
        return sum(polled.batch.num_rows for polled in read)

    assert read_once() == 300
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert [read_once() for _ in range(8)] == [300] * 8
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reader.close()
    # 240 MB went through; a fetch buffer that is not freed stays whole.
    assert (after - before) * 1024 < 100_000_000


def test_what_was_taken_is_freed_when_it_cannot_be_used(
    kafka: Any, topics: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = KafkaReader(source_of(kafka, topics[0]), way="c_batches")
    reader.assign(dict.fromkeys(reader.partitions(), 0))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reader._door, "_taken", interrupted)
    with pytest.raises(KeyboardInterrupt):
        eventually(lambda: reader.poll(100, 0.2) is None, DEADLINE_SECONDS)
    # librdkafka waits without end for a message that nobody gave back.
    closing = threading.Thread(target=reader.close, daemon=True)
    closing.start()
    closing.join(DEADLINE_SECONDS)
    assert not closing.is_alive()


def _open_files_and_threads() -> tuple[int, int]:
    here = Path("/proc/self")
    return len([*(here / "fd").iterdir()]), len([*(here / "task").iterdir()])


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system has no /proc")
def test_closed_readers_leave_nothing_behind(kafka: Any, topics: tuple[str, str]) -> None:
    source = source_of(kafka, topics[1])
    read_all(source, "c_batches", 0, 1000)
    before = _open_files_and_threads()
    for _ in range(5):
        read_all(source, "c_batches", 0, 1000)
    # Threads of a handle that was closed end by themselves, a moment later.
    eventually(lambda: _open_files_and_threads() <= before, DEADLINE_SECONDS)


@pytest.fixture
def longest_hold() -> Iterator[list[float]]:
    """The longest time for which a thread that always wants to run could not."""
    longest, stop = [0.0], threading.Event()

    def run() -> None:
        last = time.monotonic()
        while not stop.is_set():
            now = time.monotonic()
            longest[0] = max(longest[0], now - last)
            last = now

    thread = threading.Thread(target=run)
    thread.start()
    yield longest
    stop.set()
    thread.join()


def test_a_wait_holds_up_no_other_thread(kafka: Any, longest_hold: list[float]) -> None:
    reader = KafkaReader(source_of(kafka, kafka.topic()), way="c_batches")
    longest_hold[0] = 0.0
    assert reader._door.take(10, 1.0, {}) is None
    reader.close()
    assert longest_hold[0] < 0.5
