"""The live page of a real daemon while it learns the demo's flights; takes the screenshots when asked to.

``SCREENSHOTS=docs/screenshots`` (``make screenshots``) writes them there; otherwise no file is touched.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium_for_tests import Chromium, Page

pytestmark = pytest.mark.chromium

FOLDER = os.environ.get("SCREENSHOTS")
EVENTS = 336_776 if FOLDER else 200_000  # so many that pictures of it are taken, one a second
WAIT_SECONDS = 120.0  # kernels may have to be compiled first, and a whole year be learned


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A demo that stays, and the address that it prints."""
    folder = tmp_path_factory.mktemp("demo")
    command = [
        sys.executable,
        "-u",
        "-m",
        "streamlearn",
        "demo",
        "--source",
        "files",
        "--delayed-labels",
        "--stay",
        "--port",
        "0",
    ]
    demo = subprocess.Popen(
        [*command, "--events", str(EVENTS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    assert demo.stdout is not None
    overdue = threading.Timer(WAIT_SECONDS, demo.kill)
    overdue.start()
    found = next((match for line in demo.stdout if (match := re.match(r"live page: (\S+)", line))), None)
    overdue.cancel()
    assert found, "the demo told no address"
    rest: list[str] = []
    drain = threading.Thread(target=lambda: rest.extend(demo.stdout or ()))
    drain.start()
    yield found[1]
    demo.send_signal(signal.SIGINT)
    assert demo.wait(30) == 0, "".join(rest)
    drain.join(10)
    demo.stdout.close()
    assert any("events read" in line for line in rest)


@pytest.fixture(scope="module")
def page(chromium: Chromium, address: str) -> Iterator[Page]:
    page = chromium.open(f"{address}/", width=1440, height=1000)
    yield page
    assert page.complaints == []
    assert {url for url in page.requests if url.startswith("http") and not url.startswith(address)} == set()
    page.close()


def test_the_curves_of_the_models_move_and_drift_is_marked(page: Page) -> None:
    page.eventually("modelsChart.plot !== null", WAIT_SECONDS)
    page.eventually("modelsChart.data[0].length > 1", 30)  # it may be at its end when the page opens
    page.eventually("Number(modelsChart.host.dataset.alarms) > 0", 60)
    page.eventually(f"store.latest.events_read === {EVENTS}", WAIT_SECONDS)
    assert page.evaluate("scored().map(({name}) => name)") == [
        "logistic",
        "mlp",
        "baseline_majority",
        "baseline_no_change",
    ]
    assert "better than baseline" in page.text("best-note")
    assert {"decode", "features", "learn", "evaluate"} <= set(
        re.findall(r"^\w+", page.text("stages"), re.MULTILINE)
    )
    assert "local files" in page.text("worker")


def test_labels_and_slices_are_those_of_the_daemon(page: Page) -> None:
    page.eventually(f"store.latest.events_read === {EVENTS}", WAIT_SECONDS)
    page.eventually("store.latest.labels.labels.joined > 0 && store.latest.labels.events.expired > 0", 30)
    told = page.evaluate("store.latest.labels")
    assert sum(told["events"].values()) + told["pending_events"] == EVENTS
    assert told["events"]["resolved"] == told["labels"]["joined"]
    joined = f"{told['labels']['joined']:,}"
    page.eventually(f"document.getElementById('labels-labels').innerText.includes('{joined}')")
    assert "2 h" in page.text("labels-figures")
    assert "UA" in page.text("slices")
    assert page.evaluate("store.points.at(-1).scores.fading.logistic.accuracy") > 0.5


@pytest.mark.skipif(FOLDER is None, reason="make screenshots")
def test_screenshots(page: Page) -> None:
    folder = Path(str(FOLDER))
    folder.mkdir(parents=True, exist_ok=True)
    page.eventually(f"store.latest.events_read === {EVENTS}", WAIT_SECONDS)
    for name, width, dark in (("light", 1440, False), ("dark", 1440, True), ("phone", 390, False)):
        page.prefer(dark=dark)
        page.resize(width, 1000)
        page.eventually(f"innerWidth === {width} && modelsChart.plot.width < {width}")
        page.resize(width, min(int(page.evaluate("document.documentElement.scrollHeight")), 1700))
        page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 600)))")
        page.screenshot(folder / f"page-{name}.png")
        assert (folder / f"page-{name}.png").stat().st_size > 20_000
    page.prefer(dark=False)
    page.resize(1440, 1500)
    page.evaluate("document.getElementById('labels-card').scrollIntoView()")
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 600)))")
    page.screenshot(folder / "page-cards.png")
