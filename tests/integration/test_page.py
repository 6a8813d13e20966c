"""The live page in a real browser, over the console's own server, with pictures that the test makes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from chromium_for_tests import Chromium, Page
from prometheus_client import CollectorRegistry

from streamlearn.belt.accounting import readable
from streamlearn.console.server import Console
from streamlearn.console.status import (
    CheckpointStatus,
    DriftAlarm,
    LabelsStatus,
    ModelStatus,
    MoverStatus,
    PartitionStatus,
    RejectedStatus,
    StageStatus,
    Status,
    WorkerStatus,
)
from streamlearn.happenings import Happening

pytestmark = pytest.mark.chromium

BEGAN = 1_800_000_000.0
HOSTILE = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>\"'&amp;"
LONG = "a_feature_of_a_very_long_name_" * 6


class Scripted:
    """A daemon of which the test says what it shows; every question finds it a moment further."""

    def __init__(self) -> None:
        self.steps = 0
        self.changes: dict[str, object] = {}

    def __call__(self) -> Status:
        self.steps += 1
        now = self.steps
        status = Status(
            "flights",
            "binary",
            "stream",
            "leader",
            at_seconds=BEGAN + now,
            uptime_seconds=float(now),
            worker=WorkerStatus("worker-a", 7, "0.1.0", "flights-learner", 2, 1),
            events_read=1000 * now,
            events_learned=990 * now,
            events_rejected=3,
            events_per_second=1000.0 + 100 * math.sin(now),
            event_time_seconds=BEGAN + 60.0 * now,
            window_events=1000,
            partitions=tuple(PartitionStatus("flights", n, now * 500, 50 * n + now % 7, "flights") for n in range(2)),
            models=(
                ModelStatus("logistic", "compiled", now, *2 * ({"accuracy": 0.9 + 0.02 * math.sin(now / 3), "log_loss": 0.2},)),
                ModelStatus("trees", "river", now, *2 * ({"accuracy": 0.88, "log_loss": 0.3},), engine_why="no kernel for trees"),
            ),
            baselines=(ModelStatus("baseline_majority", "baseline", now, *2 * ({"accuracy": 0.76, "log_loss": 9.0},)),),
            rejections={"invalid_json": 3},
            rejected_samples={"invalid_json": RejectedStatus("flights", 0, 9, "not JSON", 80, readable(HOSTILE.encode()))},
            checkpoints=(CheckpointStatus("flights", 4, BEGAN, 20_480, "checkpoints/flights/4", 0.012),),
            checkpoints_total=4,
            stages=(StageStatus("decode", now, now * 0.1), StageStatus("learn", now, now * 0.4)),
            happenings=(Happening(BEGAN, "warning", "broker_lost", {"detail": HOSTILE}),),
        )  # fmt: skip
        return replace(status, **self.changes)  # type: ignore[arg-type]


def verdict(against: str) -> dict[str, Any]:
    """Scores of a model that is better than another one."""
    bounds = {"advantage": 0.145, "lower": 0.14, "upper": 0.15, "events": 9000}
    return {
        "verdicts": [{"against": against, "verdict": "better", **bounds}],
        "calibration": {"error": 0.021},
    }


@pytest.fixture
def daemon() -> Scripted:
    return Scripted()


@pytest.fixture
def console(daemon: Scripted) -> Iterator[Console]:
    console = Console("127.0.0.1", 0, daemon, CollectorRegistry(), sample_every_seconds=0.05)
    console.start()
    yield console
    console.stop()


@pytest.fixture
def page(chromium: Chromium, console: Console) -> Iterator[Page]:
    page = chromium.open(f"{console.url}/")
    page.eventually("store.points.length > 5 && modelsChart.plot !== null")
    yield page
    complaints, requests = page.complaints, page.requests
    page.close()
    assert complaints == []
    # A browser also lists what it makes for itself: data: and blob: addresses.
    assert {url for url in requests if url.startswith("http") and not url.startswith(console.url)} == set()


def drawn(page: Page, chart: str) -> str:
    return str(page.evaluate(f"document.querySelector('#{chart}-chart canvas').toDataURL()"))


def test_it_shows_what_the_daemon_is(page: Page) -> None:
    assert page.text("stream") == "flights"
    assert "ready" in page.text("state")
    assert page.text("rejected") == "3"
    assert "better than baseline majority" in page.text("best-note")
    assert "not compiled: no kernel for trees" in page.text("models")
    assert "worker-a, process 7 · group flights-learner · leader: it learns" in page.text("worker")
    assert "20.5 kB" in page.text("checkpoints")
    assert "12.0 ms" in page.text("checkpoints")
    page.eventually("document.getElementById('stages').innerText.includes('40 %')")


def test_the_curves_move(page: Page) -> None:
    before = {chart: drawn(page, chart) for chart in ("models", "rate", "lag")}
    points = page.evaluate("store.points.length")
    page.eventually(f"store.points.length > {points + 3}")
    for chart, picture in before.items():
        page.eventually(
            f"document.querySelector('#{chart}-chart canvas').toDataURL() !== {json.dumps(picture)}"
        )


def test_shares_of_stages_are_of_the_seconds_that_passed(chromium: Chromium, daemon: Scripted) -> None:
    """Before the first picture there is no time at which stages stood."""
    daemon.changes |= {"at_seconds": 0.0, "stages": ()}
    console = Console("127.0.0.1", 0, daemon, CollectorRegistry(), sample_every_seconds=0.05)
    console.start()
    page = chromium.open(f"{console.url}/")
    try:
        page.eventually("store.latest !== null")
        daemon.changes.clear()
        page.eventually("document.getElementById('stages').innerText.includes('40 %')")
    finally:
        page.close()
        console.stop()


def test_of_many_partitions_those_that_lag_most_have_a_line(page: Page, daemon: Scripted) -> None:
    partitions = tuple(PartitionStatus("flights", n, 1, 1000 + n % 10, "flights") for n in range(12))
    daemon.changes |= {"partitions": partitions}
    lines = [f"flights[{n}]" for n in (4, 5, 6, 7, 8, 9)]
    page.eventually(
        f"JSON.stringify(lagChart.series.map(({{name}}) => name).slice(1)) === {json.dumps(json.dumps(lines, separators=(',', ':')))}"
    )
    assert page.text("lag-legend").split("\n")[0] == "all 12 partitions"


def test_a_page_that_is_opened_late_shows_what_was(page: Page, daemon: Scripted, console: Console) -> None:
    page.eventually("store.points.length > 30")
    oldest = page.evaluate("store.points[0].at_seconds")
    page.reload()
    page.eventually(f"store.points.length > 30 && store.points[0].at_seconds <= {oldest}")


def test_a_drift_alarm_stands_on_the_curve_in_the_table_and_is_told(page: Page, daemon: Scripted) -> None:
    assert page.evaluate("modelsChart.host.dataset.alarms") == "0"
    at = page.evaluate("store.latest.event_time_seconds")
    alarm = DriftAlarm(at, "logistic", "page_hinkley", "flights", 1, 4711, "error")
    daemon.changes |= {"drift_alarms": (alarm,), "drift_alarms_total": 1}
    page.eventually("modelsChart.host.dataset.alarms === '1'")
    page.eventually("document.getElementById('announce').textContent.startsWith('Drift alarm.')")
    told = page.text("alarms")
    for part in ("error of logistic", "page hinkley", "flights[1] 4,711"):
        assert part in told
    assert page.text("drift") == "1"


def test_an_alarm_of_an_input_says_what_moved_from_what_to_what(page: Page, daemon: Scripted) -> None:
    at = page.evaluate("store.latest.event_time_seconds")
    alarm = DriftAlarm(at, "", "windows", "flights", 1, 4711, "dep_delay mean", "12.6 -> 31")
    mover = MoverStatus("", "dep_delay mean", 12.6, 31.04, 1.3)
    daemon.changes |= {"drift_alarms": (alarm,), "drift_alarms_total": 1, "movers": (mover,)}
    page.eventually("modelsChart.host.dataset.alarms === '1'")
    page.eventually(
        "document.getElementById('announce').textContent.includes('dep delay mean 12.6 → 31 (windows)')"
    )
    for part in ("dep delay mean", "12.6 → 31", "windows"):
        assert part in page.text("alarms")
    for part in ("dep delay mean", "12.6", "31.04", "130%"):
        assert part in page.text("movers")


def test_hostile_bytes_and_names_are_shown_and_never_run(page: Page, daemon: Scripted) -> None:
    daemon.changes |= {
        "stream": HOSTILE,
        "models": (
            ModelStatus(
                HOSTILE, "river", 1, {}, {"accuracy": 0.5}, scores=verdict(HOSTILE), engine_why=HOSTILE
            ),
        ),
        "partitions": (PartitionStatus(HOSTILE, 0, 1, 1, HOSTILE),),
        "unready": (HOSTILE,),
    }
    page.eventually("document.querySelector('h1').textContent.includes('onerror')")
    page.eventually("document.getElementById('verdicts').textContent.includes('onerror')")
    assert HOSTILE in page.text("rejections")
    assert page.evaluate("document.querySelectorAll('main img, main script, h1 *').length") == 0
    assert "owned" not in page.evaluate("document.title").replace(HOSTILE, "")


LABELS = LabelsStatus(
    wait_seconds=43_200.0,
    pending_events=1_200,
    pending_bytes=204_800,
    pending_bytes_max=819_200,
    full_shards=0,
    early_labels=7,
    coverage_ratio=0.875,
    delay_seconds={"0.5": 93.0, "0.9": 7_200.0, "0.99": 50_000.0},
    events={"resolved": 7_000, "expired": 800, "defaulted": 0, "default_refused": 0},
    labels={
        "joined": 7_000,
        "orphaned": 4,
        "duplicate": 30,
        "late_ignored": 60,
        "late_corrected": 0,
        "rejected": 2,
    },
)


def test_labels_that_come_late_have_a_card_where_there_are_any(page: Page, daemon: Scripted) -> None:
    assert page.evaluate("document.getElementById('labels-card').hidden")
    assert page.evaluate("document.getElementById('coverage-tile').hidden")
    daemon.changes |= {"labels": LABELS}
    page.eventually("!document.getElementById('labels-card').hidden")
    assert page.text("coverage") == "88 %"
    assert page.text("coverage-note") == "1,200 wait; p50 1 min 33 s"
    told = page.text("labels-figures")
    for part in ("88 %", "1 min 33 s", "2 h 0 min", "13 h 53 min", "1,200", "12 h 0 min", "204.8 kB", "7"):
        assert part in told, part
    events, labels = page.text("labels-events"), page.text("labels-labels")
    for part in ("resolved", "7,000", "78 %", "expired", "dropped", "pending", "1,200"):
        assert part in events, part
    for part in ("joined", "orphaned", "duplicate", "30", "late ignored", "early", "rejected"):
        assert part in labels, part
    assert page.text("labels-events-none") == "None so far: defaulted, default refused."
    assert page.text("labels-labels-none") == "None so far: late corrected."
    assert page.text("labels-full") == ""
    daemon.changes |= {"labels": replace(LABELS, full_shards=1, coverage_ratio=None, delay_seconds={})}
    page.eventually("document.getElementById('labels-full').innerText.includes('1 shard may keep no more')")
    assert page.text("coverage") == "\u2013"


def test_scores_over_each_window_are_shown_and_drawn(page: Page, daemon: Scripted) -> None:
    model = ModelStatus(
        "logistic", "compiled", 1,
        cumulative={"accuracy": 0.81, "log_loss": 0.41, "calibration_error": 0.02},
        sliding={"accuracy": 0.82, "log_loss": 0.42},
        fading={"accuracy": 0.83},
    )  # fmt: skip
    daemon.changes |= {"models": (model,), "baselines": (), "fading_factor": 0.999}
    page.eventually("document.getElementById('best').innerText === '0.8200'")
    assert page.evaluate("[...document.getElementById('over').options].map(each => each.text)") == [
        "the last 1,000 events",
        "all, fading by 0.999 an event",
        "all events",
    ]
    for window, metrics, shown in (
        ("fading", ["accuracy"], "0.8300"),
        ("cumulative", ["accuracy", "log_loss", "calibration_error"], "0.8100"),
        ("sliding", ["accuracy", "log_loss"], "0.8200"),
    ):
        page.evaluate(f"byId('over').value = '{window}'; byId('over').dispatchEvent(new Event('change'))")
        assert page.evaluate("[...byId('metric').options].map(each => each.value)") == metrics
        assert page.text("best") == shown
        assert shown in page.text("models")
        assert f"logistic {shown}" in page.text("models-legend")
        assert page.evaluate("modelsChart.data[1].at(-1)") == float(shown)


def test_scores_by_slice_say_for_whom_a_model_is_worse(page: Page, daemon: Scripted) -> None:
    assert page.evaluate("document.getElementById('slices-card').hidden")
    rows = [
        {"value": "AA", "events": 300, "mean_error": 0.1},
        {"value": HOSTILE, "events": 100, "mean_error": 0.3},
    ]
    slices = {"carrier": rows, "origin": [{"value": "JFK", "events": 400, "mean_error": 0.15}]}
    models = tuple(
        ModelStatus(name, "river", 1, {}, {"accuracy": 0.5}, scores={"slices": slices})
        for name in ("logistic", "trees")
    )
    daemon.changes |= {"models": models}
    page.eventually("!document.getElementById('slices-card').hidden")
    told = page.text("slices")
    for part in (
        "carrier",
        "logistic",
        "trees",
        "all",
        "0.1500",
        "0.1000",
        "\u22120.0500",
        "+0.1500",
        "75 %",
        HOSTILE,
    ):
        assert part in told, part
    assert (
        page.text("slices-what")
        == "share of wrong predictions, since the beginning, and how it differs from that of all; lower is better"
    )
    page.evaluate("byId('slice').value = 'origin'; byId('slice').dispatchEvent(new Event('change'))")
    assert "JFK" in page.text("slices")
    assert "AA" not in page.text("slices")


def test_verdicts_have_their_place_where_there_are_any(page: Page, daemon: Scripted) -> None:
    assert page.evaluate("document.getElementById('verdicts-card').hidden")
    model = ModelStatus("logistic", "compiled", 1, {}, {"accuracy": 0.5}, scores=verdict("baseline_majority"))
    daemon.changes |= {"models": (model,)}
    page.eventually("!document.getElementById('verdicts-card').hidden")
    told = page.text("verdicts")
    for part in ("▲ better", "baseline_majority", "+0.1450", "+0.1400 and +0.1500", "9,000"):
        assert part in told
    assert page.text("calibration") == "calibration error: logistic 0.0210"


def test_reasons_for_not_being_ready_stand_in_the_open(page: Page, daemon: Scripted) -> None:
    daemon.changes |= {"unready": ("no partition is assigned",)}
    page.eventually("document.getElementById('state').innerText.includes('not ready')")
    assert page.text("notice") == "no partition is assigned"


def test_a_figure_of_a_tile_stands_on_one_line(page: Page, daemon: Scripted) -> None:
    daemon.changes |= {"labels": LABELS, "events_learned": 999_999, "events_per_second": 999_999.0}
    page.eventually("document.getElementById('learned').innerText === '999,999'")
    broken = "[...document.querySelectorAll('.tiles b')].filter(each => each.getClientRects().length !== 1)"
    for width in (320, 390, 1440):
        page.resize(width, 700)
        page.eventually(f"innerWidth === {width}")
        assert page.evaluate(f"{broken}.map(each => each.id)") == [], width


def test_nothing_is_wider_than_a_phone(page: Page, daemon: Scripted) -> None:
    model = ModelStatus(LONG, "river", 10**12, {"accuracy": 0.5}, {"accuracy": 0.5}, engine_why=LONG)
    daemon.changes |= {"models": (model,), "stream": LONG, "events_read": 10**15, "events_per_second": 1e9}
    page.eventually("document.getElementById('models').textContent.includes('a_feature')")
    for width in (800, 390, 320):
        page.resize(width, 700)
        page.eventually(f"innerWidth === {width} && modelsChart.plot?.width <= {width}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_can_be_worked_by_keyboard(page: Page) -> None:
    reached = []
    for _ in range(12):
        page.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.innerText"))
    assert reached[:4] == ["Skip to the figures", "theme", "metric", "over"]
    assert "models-chart" in reached
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.evaluate("document.getElementById('models-chart').focus()")
    page.press("ArrowLeft")
    page.eventually("/^2027-.* · logistic 0\\.\\d+/.test(document.getElementById('models-pick').textContent)")
    page.evaluate("document.getElementById('theme').focus()")
    page.press("Enter")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.press("Enter")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 16, 20)"


def test_a_line_can_be_hidden_by_its_button(page: Page) -> None:
    button = "document.querySelector('#models-legend button[data-name=trees]')"
    page.evaluate(f"{button}.focus()")
    page.press("Enter")
    page.eventually(f"{button}.getAttribute('aria-pressed') === 'false'")
    assert page.evaluate("document.activeElement.dataset.name") == "trees"
    assert page.evaluate("modelsChart.plot.series[2].show") is False


def test_the_charts_are_tables_too(page: Page) -> None:
    page.evaluate("document.querySelector('#models-data summary').click()")
    page.eventually("document.querySelectorAll('#models-data tbody tr').length > 3")
    assert page.evaluate("document.querySelector('#models-data caption').textContent").startswith("Score of")


def test_assistive_technology_finds_roles_and_names(page: Page) -> None:
    nodes = page.accessibility()
    roles = [role for role, _ in nodes]
    for role in ("banner", "main", "contentinfo", "status", "table", "rowheader", "columnheader"):
        assert role in roles, role
    headings = [name for role, name in nodes if role == "heading"]
    for name in ("flights", "Models against the baseline", "Drift alarms", "Worker and partitions", "Stages"):
        assert name in headings, name
    for role, name in nodes:
        if role in ("button", "combobox", "link", "table", "image", "region", "heading"):
            assert name.strip(), f"a {role} has no name"
    charts = [name for role, name in nodes if role == "group" and "logistic 0." in name]
    assert charts, "the chart does not say what it shows"
    assert page.evaluate("document.documentElement.lang") == "en"


def test_a_connection_that_is_lost_is_said_and_comes_back(chromium: Chromium, daemon: Scripted) -> None:
    first = Console("127.0.0.1", 0, daemon, CollectorRegistry(), sample_every_seconds=0.05)
    first.start()
    page = chromium.open(f"{first.url}/")
    page.eventually("store.points.length > 3")
    host, port = first.address
    first.stop()
    page.eventually("document.getElementById('state').innerText.includes('ended')")
    assert "The figures are of" in page.text("notice")
    page.evaluate("connection = 'open'; lose()")  # as after a network that broke, without a word
    page.eventually(
        "document.getElementById('notice').innerText.startsWith('Connection lost, trying again.')"
    )
    second = Console(host, port, daemon, CollectorRegistry(), sample_every_seconds=0.05)
    second.start()
    try:
        page.eventually("document.getElementById('state').innerText.includes('ready')")
        page.eventually("document.getElementById('notice').hidden")
    finally:
        page.close()
        second.stop()


def test_before_there_is_anything_it_says_so(chromium: Chromium) -> None:
    starting = Status("flights", "binary", "stream", "member", unready=("starting",))
    console = Console("127.0.0.1", 0, lambda: starting, CollectorRegistry(), sample_every_seconds=0.05)
    console.start()
    page = chromium.open(f"{console.url}/")
    try:
        page.eventually("store.latest !== null && document.getElementById('stream').innerText === 'flights'")
        assert page.text("notice") == "starting"
        assert page.text("models-chart") == "Waiting for scores."
        assert "None so far" in page.text("alarms")
        assert page.complaints == []
    finally:
        page.close()
        console.stop()
