"""Chromium without a window, driven over its DevTools protocol through a pipe: no port, no further package.

Source: https://chromedevtools.github.io/devtools-protocol/, ``--remote-debugging-pipe``: the browser reads
commands on file descriptor 3 and answers on 4, each a JSON document that ends with a zero byte.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",  # containers that run as root have none
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)
ANSWER_SECONDS = 20.0
Fields = dict[str, Any]


def find_chromium() -> str | None:
    """Return where Chromium is; None: nowhere on the path."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Chromium:
    """One browser. Use as a context manager."""

    def __init__(self, binary: str) -> None:
        self._binary = binary
        self._number = 0
        self._buffer = b""
        self._answers: dict[int, Fields] = {}
        self.pages: dict[str, Page] = {}  # by session

    def __enter__(self) -> Chromium:
        self._folder = TemporaryDirectory(prefix="streamlearn-chromium-", ignore_cleanup_errors=True)
        read_commands, self._commands = os.pipe()
        self._read_answers, write_answers = os.pipe()
        # The shell puts the two ends where the browser looks for them.
        pipes = f'exec "$@" 3<&{read_commands} 4>&{write_answers}'
        self._process = subprocess.Popen(
            [
                "bash",
                "-c",
                pipes,
                "chromium",
                self._binary,
                *FLAGS,
                f"--user-data-dir={self._folder.name}",
                "about:blank",
            ],
            pass_fds=(read_commands, write_answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": self._folder.name},
        )
        os.close(read_commands)
        os.close(write_answers)
        self.call("Browser.getVersion")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.call("Browser.close")
            self._process.wait(10)
        except (OSError, AssertionError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._commands)
        os.close(self._read_answers)
        self._folder.cleanup()

    def call(self, method: str, session: str | None = None, **params: Any) -> Fields:
        """Send a command and return its result."""
        self._number += 1
        number = self._number
        command = {"id": number, "method": method, "params": params}
        if session is not None:
            command["sessionId"] = session
        data = json.dumps(command).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        deadline = time.monotonic() + ANSWER_SECONDS
        while number not in self._answers:
            assert time.monotonic() < deadline, f"Chromium did not answer {method} within {ANSWER_SECONDS} s"
            self.listen(0.1)
        answer = self._answers.pop(number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: Fields = answer["result"]
        return result

    def listen(self, seconds: float) -> None:
        """Take in what the browser says, for at most so long."""
        if not select.select([self._read_answers], [], [], seconds)[0]:
            return
        read = os.read(self._read_answers, 1 << 20)
        assert read, "Chromium has ended"
        *documents, self._buffer = (self._buffer + read).split(b"\0")
        for document in documents:
            said = json.loads(document)
            if "id" in said:
                self._answers[said["id"]] = said
            elif said.get("sessionId") in self.pages:
                self.pages[said["sessionId"]].hear(said["method"], said["params"])

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        """Open an address in a tab with a store of its own."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self.pages[session] = Page(self, session, context)
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        page.prefer(dark=dark)
        page.call("Page.navigate", url=url)
        page.loaded("location.href !== 'about:blank'")
        return page


class Page:
    """A tab, and everything that it complained of or asked for."""

    def __init__(self, browser: Chromium, session: str, context: str) -> None:
        self._browser = browser
        self._session = session
        self._context = context
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def call(self, method: str, **params: Any) -> Fields:
        return self._browser.call(method, self._session, **params)

    def loaded(self, is_new: str) -> None:
        """Wait until a document has loaded, one of which the expression is true."""
        self.eventually(f"document.readyState === 'complete' && {is_new}")

    def reload(self) -> None:
        """Load the page again, and wait for it."""
        self.evaluate("window.isOld = true")
        self.call("Page.reload")
        self.loaded("window.isOld === undefined")

    def hear(self, method: str, params: Fields) -> None:
        """Take note of an event."""
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(str([each.get("value") for each in params["args"]]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def eventually(self, expression: str, seconds: float = 15.0) -> Any:
        """Return the expression's first true value; fail when there is none in time."""
        return self._until(lambda: self.evaluate(expression), expression, seconds)

    def _until(self, condition: Callable[[], Any], what: str, seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}; {self.complaints}"
            self._browser.listen(0.05)
        return value

    def text(self, element: str) -> str:
        """Return what an element shows, by its id."""
        return str(self.evaluate(f"document.getElementById({json.dumps(element)}).innerText"))

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        code = {"Enter": 13, "Tab": 9, " ": 32}.get(key, 0)
        extra = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **extra
            )

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def prefer(self, *, dark: bool) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def accessibility(self) -> list[tuple[str, str]]:
        """Return role and name of every node that assistive technology is told of."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node["ignored"]
        ]

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write what is seen, or the whole page, as PNG."""
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(picture))

    def close(self) -> None:
        self._browser.call("Target.disposeBrowserContext", browserContextId=self._context)
        del self._browser.pages[self._session]
