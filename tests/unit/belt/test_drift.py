"""The detectors alarm where River's do, and their state is a pure function of the errors in order."""

from __future__ import annotations

import numpy as np
import pytest
from river import drift

from streamlearn.belt.drift import Adwin, DriftAlarm, DriftMonitor
from streamlearn.config import Drift
from streamlearn.contracts import Snapshot
from streamlearn.errors import CheckpointRefused

BOTH = ("adwin", "page_hinkley")
RIVER = Drift(detectors=BOTH, adwin_delta=drift.ADWIN().delta)


def errors_with_shifts(seed, count=12_000):
    """Error rates that jump up and down, so that several alarms come, some right after another."""
    random = np.random.default_rng(seed)
    rate = np.repeat(random.random(12), count // 12)
    return (random.random(count) < rate).astype(float)


def river_alarms(detector, errors):
    alarms = []
    for index, error in enumerate(errors.tolist()):
        detector.update(error)
        if detector.drift_detected:
            alarms.append(index)
    return alarms


def bits(snapshot):
    return dict(snapshot.data), {name: array.tobytes() for name, array in snapshot.arrays.items()}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("magnitude", [1.0, 37.5])
def test_alarms_are_those_of_river_fed_one_by_one(seed, magnitude):
    errors = errors_with_shifts(seed) * magnitude
    settings = Drift(detectors=BOTH, adwin_delta=0.01, page_hinkley_delta=0.01, page_hinkley_threshold=20.0)
    monitor = DriftMonitor(settings)
    alarms = monitor.update(errors)
    expected = {
        "adwin": river_alarms(drift.ADWIN(delta=0.01), errors),
        "page_hinkley": river_alarms(drift.PageHinkley(delta=0.01, threshold=20.0), errors),
    }
    for name, indices in expected.items():
        assert len(indices) >= 3
        assert [alarm.index for alarm in alarms if alarm.detector == name] == indices
        assert monitor.alarms[name] == len(indices)
    assert [alarm.index for alarm in alarms] == sorted(alarm.index for alarm in alarms)


def test_what_the_config_does_not_offer_is_as_rivers_defaults():
    errors = errors_with_shifts(5)
    alarms = DriftMonitor(RIVER).update(errors)
    assert [a.index for a in alarms if a.detector == "adwin"] == river_alarms(drift.ADWIN(), errors)
    assert [a.index for a in alarms if a.detector == "page_hinkley"] == river_alarms(
        drift.PageHinkley(), errors
    )


@pytest.mark.parametrize("cut", [1, 7, 500])
def test_replay_equals_run_however_the_errors_are_cut_and_across_a_restart(cut):
    errors = errors_with_shifts(6) * 1.7
    whole, cuts = DriftMonitor(RIVER), DriftMonitor(RIVER)
    expected = whole.update(errors)
    found = []
    for start in range(0, len(errors), cut):
        batch = errors[start : start + cut]
        found += [DriftAlarm(alarm.detector, start + alarm.index) for alarm in cuts.update(batch)]
        if start <= 5000 < start + cut:
            snapshot = cuts.snapshot()
            before = bits(snapshot)
            cuts.update(errors[:1000])  # later errors must not reach the snapshot
            assert bits(snapshot) == before
            cuts = DriftMonitor(RIVER)
            cuts.restore(snapshot)
    assert found == expected
    assert len(found) >= 6
    assert bits(cuts.snapshot()) == bits(whole.snapshot())
    assert cuts.alarms == whole.alarms


def test_an_alarm_on_the_last_event_of_a_batch_starts_the_detector_afresh():
    errors = errors_with_shifts(7)
    first = DriftMonitor(RIVER).update(errors)[0]
    monitor = DriftMonitor(RIVER)
    assert monitor.update(errors[: first.index + 1]) == [first]
    fresh = DriftMonitor(RIVER)
    rest = errors[first.index + 1 :]
    following = [alarm for alarm in monitor.update(rest) if alarm.detector == first.detector]
    assert following == [alarm for alarm in fresh.update(rest) if alarm.detector == first.detector]


def test_alarms_on_one_event_come_in_configured_order():
    errors = np.repeat([0.0, 1.0], [1000, 24])
    # ADWIN looks at every 32nd event, so at 1023; this threshold is passed there as well.
    threshold = next(
        threshold
        for threshold in np.arange(10.0, 30.0, 0.05)
        if river_alarms(drift.PageHinkley(threshold=threshold), errors) == [1023]
    )
    settings = Drift(detectors=("page_hinkley", "adwin"), page_hinkley_threshold=threshold)
    assert DriftMonitor(settings).update(errors) == [
        DriftAlarm("page_hinkley", 1023),
        DriftAlarm("adwin", 1023),
    ]


def test_without_detectors_nothing_is_watched():
    monitor = DriftMonitor(Drift(detectors=(), watch=()), signals=0)
    assert monitor.update(np.ones(1000)) == []
    monitor.restore(monitor.snapshot())
    assert monitor.alarms == {}


def test_a_checkpoint_of_other_detectors_is_refused():
    snapshot = DriftMonitor(Drift(detectors=("adwin",))).snapshot()
    with pytest.raises(CheckpointRefused, match="page_hinkley"):
        DriftMonitor(RIVER).restore(snapshot)


def test_adwin_tells_what_its_window_holds():
    adwin = Adwin(delta=0.002)
    assert (adwin.width, adwin.estimation, adwin.variance) == (0, 0.0, 0.0)
    adwin.update(np.array([1.0, 2.0, 3.0]))
    assert (adwin.width, adwin.estimation, adwin.variance) == (3, 2.0, 2.0)


def test_a_restored_detector_has_nothing_of_what_it_was_before():
    errors = errors_with_shifts(8)
    short, long = Adwin(delta=0.002), Adwin(delta=0.002)
    short.update(errors[:40])
    long.update(np.zeros(5000))
    long.restore(short.state())
    assert long.state().tobytes() == short.state().tobytes()
    assert long.update(errors) == short.update(errors)
    assert long.state().tobytes() == short.state().tobytes()


@pytest.mark.parametrize(
    ("detector", "form"),
    [
        ("adwin", np.zeros(632, np.uint8)),  # River's own bytes, which the first version stored
        ("adwin", np.zeros((2, 4))),
        ("adwin", np.zeros((0, 13))),
        ("page_hinkley", np.zeros(7)),
    ],
)
def test_a_state_of_another_form_is_refused(detector, form):
    monitor = DriftMonitor(Drift(detectors=(detector,)))
    snapshot = Snapshot(data={"alarms": {detector: 0}}, arrays={detector: form})
    with pytest.raises(CheckpointRefused, match=f"{detector} as .* another version"):
        monitor.restore(snapshot)


@pytest.mark.parametrize("cut", [7, 12_000])
def test_alarms_that_follow_one_belong_to_it_however_the_errors_are_cut(cut):
    errors = errors_with_shifts(6)
    every, quiet = DriftMonitor(RIVER), DriftMonitor(RIVER, quiet_events=3000)
    at = [alarm.index for alarm in every.update(errors)]
    told = []
    for start in range(0, len(errors), cut):
        told += [start + alarm.index for alarm in quiet.update(errors[start : start + cut])]
        restored = DriftMonitor(RIVER, quiet_events=3000)
        restored.restore(quiet.snapshot())
        quiet = restored
    expected = at[:1]
    for index in at:
        if index >= expected[-1] + 3000:
            expected.append(index)
    assert told == expected
    assert len(told) >= 3
    assert quiet.folded == len(at) - len(told) > 0


def test_adwin_keeps_to_the_budget_on_errors_that_do_not_change():
    # Of 200,000 errors in all; by the budget one of 20 signals may have an alarm in 20 * 20,000 of its errors.
    random = np.random.default_rng(3)
    streams = [(random.random(20_000) < rate).astype(float) for rate in (0.02, 0.1, 0.3, 0.5, 0.9) * 2]
    budget = Drift(expected_run_events=20_000)

    def alarms(settings):
        return sum(len(DriftMonitor(settings, signals=20).update(errors)) for errors in streams)

    assert alarms(budget) == 0
    assert alarms(Drift(adwin_delta=0.5)) > 10  # the measure would notice
    # Page-Hinkley's threshold knows of no budget, which is why it is not on by itself.
    assert alarms(Drift(detectors=("page_hinkley",))) > 200_000 / (20 * 20_000)
    found = DriftMonitor(budget, signals=20).update(np.r_[streams[1], streams[2]])
    assert 20_000 <= found[0].index < 20_500
