"""What became of events is counted by partition, as a plain loop over them would."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from streamlearn.belt.accounting import Accounts
from streamlearn.belt.shard import Outcome
from streamlearn.events import Examples, Features, Reason, event_schema
from streamlearn.telemetry import Telemetry

TOPICS = ("apples", "pears")
SCHEMA = event_schema((), (), real_label=True)


def outcome_of(rows):
    """Return the outcome of events (topic, partition, time_us, reason, labelled)."""
    topic, partition, time_us, reason, labelled = (list(column) for column in zip(*rows, strict=True))
    columns = {
        "topic": pa.array(topic, pa.int16()),
        "partition": pa.array(partition, pa.int32()),
        "offset": pa.array(range(len(rows)), pa.int64()),
        "timestamp_ms": pa.array([0] * len(rows), pa.int64()),
        "time_us": pa.array(time_us, pa.int64()),
        "reason": pa.array(reason, pa.uint8()),
    }
    arrays = [columns.get(field.name, pa.nulls(len(rows), field.type)) for field in SCHEMA]
    events = pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)
    accepted_B = np.array(reason) == Reason.ACCEPTED
    accepted = events.filter(pa.array(accepted_B))
    count = accepted.num_rows
    features = Features((), np.zeros((count, 0)), np.zeros((count, 0), bool), ())
    examples = Examples(features, np.zeros(count), np.array(labelled, bool)[accepted_B], ())
    return Outcome(events, accepted, examples, (), {}, {"model": int(examples.labelled_B.sum())}, ())


def random_rows(count, seed, partitions):
    random = np.random.default_rng(seed)
    for number in range(count):
        reason = Reason.INVALID_JSON if random.random() < 0.2 else Reason.ACCEPTED
        place = int(random.integers(2)), int(random.integers(partitions))
        yield *place, number * 1000 - int(random.integers(5000)), reason, random.random() < 0.7


def accounts_with_telemetry():
    telemetry = Telemetry()
    return Accounts(TOPICS, telemetry, lambda: 1.0), telemetry


def counted(telemetry, topic, partition, outcome):
    labels = {"topic": TOPICS[topic], "partition": str(partition)}
    if outcome == "read":
        return telemetry.registry.get_sample_value("streamlearn_read_events_total", labels)
    return telemetry.registry.get_sample_value("streamlearn_events_total", {**labels, "outcome": outcome})


def assert_counted(telemetry, rows):
    expected: Counter[tuple[int, int, str]] = Counter()
    for topic, partition, _, reason, labelled in rows:
        accepted = "learned" if labelled else "predicted"
        expected[topic, partition, accepted if reason == Reason.ACCEPTED else "rejected"] += 1
        expected[topic, partition, "read"] += 1
    for (topic, partition, outcome), events in expected.items():
        assert counted(telemetry, topic, partition, outcome) == events, (topic, partition, outcome)


@pytest.mark.parametrize("cut", [1, 7, 300])
def test_counts_are_those_of_a_plain_loop_however_the_events_are_cut(cut):
    rows = list(random_rows(300, seed=cut, partitions=5))
    accounts, telemetry = accounts_with_telemetry()
    for start in range(0, len(rows), cut):
        accounts.note("shard", outcome_of(rows[start : start + cut]))
    assert_counted(telemetry, rows)
    totals = accounts.totals
    rejected = sum(row[3] != Reason.ACCEPTED for row in rows)
    assert totals.events_read == 300
    assert totals.events_rejected == rejected == totals.rejections["invalid_json"]
    assert totals.events_learned == sum(row[3] == Reason.ACCEPTED and row[4] for row in rows)
    assert totals.event_time_us == max(row[2] for row in rows if row[3] == Reason.ACCEPTED)


def test_partitions_that_come_later_are_counted_from_their_first_event():
    accounts, telemetry = accounts_with_telemetry()
    early, late = list(random_rows(50, seed=1, partitions=2)), list(random_rows(50, seed=2, partitions=40))
    for rows in (early, late, early):
        accounts.note("shard", outcome_of(rows))
    assert_counted(telemetry, [*early, *late, *early])


def test_times_before_1970_are_times():
    accounts, _ = accounts_with_telemetry()
    accounts.note(
        "shard", outcome_of([(0, 0, -5_000, Reason.ACCEPTED, True), (0, 0, -9_000, Reason.ACCEPTED, True)])
    )
    assert accounts.totals.event_time_us == -5_000
    accounts.note("shard", outcome_of([(0, 0, 7, Reason.TOMBSTONE, True)]))
    assert accounts.totals.event_time_us == -5_000
