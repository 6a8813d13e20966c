"""Server-sent events: each page that is open gets each picture, as soon as it can take it.

A picture is encoded once, on the console's own thread, for all pages. Nothing queues: a page that is slow gets
the newest picture when it has taken the one before, and misses those between. So a page costs the server one
picture of memory at most, and the belt nothing.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import asyncio
from threading import Event
from typing import NamedTuple

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

PAGES_MAX = 16
LOOK_SECONDS = 0.1  # between two looks whether there is a new picture
RETRY_MILLISECONDS = 2000  # after which a browser tries again


class _Sent(NamedTuple):
    number: int
    data: bytes


class Feed:
    """What is sent to the pages that are open; an ASGI application for the address that they read.

    >>> feed = Feed()
    >>> feed.publish(b'{"stream":"flights"}')
    >>> feed.pages
    0
    """

    def __init__(self) -> None:
        self._last = _Sent(0, b"")  # a tuple is put in place whole, so no lock
        self._ended = Event()
        self.pages = 0  # touched by the server's thread alone

    def publish(self, data: bytes) -> None:
        """Send this line of JSON to all pages. Called by one thread; never waits."""
        assert b"\n" not in data, "a line feed would end the event"
        self._last = _Sent(self._last.number + 1, data)

    def end(self) -> None:
        """Tell all pages that the daemon has ended in order, and let them go."""
        self._ended.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.pages >= PAGES_MAX:
            refused = PlainTextResponse("too many pages are open", 503, headers={"retry-after": "5"})
            await refused(scope, receive, send)
            return
        self.pages += 1
        gone = asyncio.ensure_future(_left(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await _write(send, b"retry: %d\n\n" % RETRY_MILLISECONDS)
            await self._follow(gone, send)
        finally:
            gone.cancel()
            self.pages -= 1

    async def _follow(self, gone: asyncio.Future[None], send: Send) -> None:
        seen = 0
        while not gone.done():
            if self._ended.is_set():
                await _write(send, b"event: end\ndata: {}\n\n", more=False)
                return
            last = self._last
            if last.number == seen:
                await asyncio.wait([gone], timeout=LOOK_SECONDS)
                continue
            seen = last.number
            # Waits here while the page's socket is full: what is published meanwhile is not for it.
            await _write(send, b"data: " + last.data + b"\n\n")


_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8")]


async def _left(receive: Receive) -> None:
    """Return when the page is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _write(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})
