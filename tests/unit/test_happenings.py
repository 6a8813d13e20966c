"""The ring of happenings: what the log says, whatever the log lets through, bounded and without secrets."""

from __future__ import annotations

from streamlearn.errors import SourceError
from streamlearn.events import TopicPartition
from streamlearn.happenings import HAPPENINGS_KEPT, TEXT_MAX
from streamlearn.telemetry import Telemetry

FLIGHTS = TopicPartition("flights", 0)


def test_a_silent_log_still_tells_the_page_what_happened() -> None:
    telemetry = Telemetry(clock=lambda: 7.0)
    telemetry.broker_lost("gone")
    telemetry.failed(SourceError("no", remedy="yes"))
    names = [(each.at_seconds, each.level, each.name) for each in telemetry.happenings.last()]
    assert names == [(7.0, "warning", "broker_lost"), (7.0, "error", "failed")]


def test_the_steady_state_and_drift_alarms_leave_no_happenings() -> None:
    telemetry = Telemetry()
    telemetry.checkpoint_published("flights", seconds=1.0, pause_seconds=0.1, size_bytes=1, path="p")
    telemetry.events_learned(FLIGHTS, learned=3)
    telemetry.drift_alarm(
        shard="flights",
        model="m",
        detector="adwin",
        signal="error",
        detail="",
        event_time="2013-01-01T00:00:00Z",
        partition=FLIGHTS,
        offset=1,
    )
    assert telemetry.happenings.last() == ()


def test_the_ring_is_bounded_in_lines_and_in_their_size() -> None:
    telemetry = Telemetry()
    for number in range(3 * HAPPENINGS_KEPT):
        telemetry.shard_opened(f"s{number}", events_learned=0, path="p" * 100_000)
    last = telemetry.happenings.last()
    assert len(last) == HAPPENINGS_KEPT
    assert last[-1].fields["shard"] == f"s{3 * HAPPENINGS_KEPT - 1}"
    assert all(len(each.fields["path"]) == TEXT_MAX + 1 for each in last)


def test_why_a_model_is_not_compiled_is_not_forgotten() -> None:
    telemetry = Telemetry()
    telemetry.model_ready("trees", "river", "no kernel for forests")
    telemetry.model_ready("logistic", "compiled", None)
    for number in range(2 * HAPPENINGS_KEPT):
        telemetry.shard_closed(str(number))
    assert telemetry.happenings.engine_whys() == {"trees": "no kernel for forests"}


def test_secrets_are_masked() -> None:
    telemetry = Telemetry()
    telemetry.shard_opened("s", events_learned=0, path="s3://key:hunter2@bucket/x")
    assert "hunter2" not in repr(telemetry.happenings.last())
