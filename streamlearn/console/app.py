"""The console's routes: read-only, on GET, with nothing that a browser could be talked into.

Nothing here changes the daemon (`reads_are_pure`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamlearn.console.feed import Feed
from streamlearn.console.history import History
from streamlearn.console.page import build_page, content_security_policy
from streamlearn.console.status import Status


def make_app(
    state: Callable[[], Status], registry: CollectorRegistry, history: History, feed: Feed
) -> ASGIApp:
    """Return the console as an ASGI application.

    ========================  ======================================================================
    ``/``                     the live page
    ``/api/status``           ``Status`` as JSON
    ``/api/history``          ``Past`` as JSON: the points of the past hour, and the drift alarms
    ``/api/events``           server-sent events: ``Status`` whenever there is a new one; ``end`` at the end
    ``/metrics``              Prometheus text, or OpenMetrics where the client asks for it
    ``/healthz``              200 while the belt goes round, else 503 with the reasons
    ``/readyz``               200 while there is an assignment and the belt moves, else 503 likewise
    ========================  ======================================================================

    Parameters
    ----------
    state
        Takes the picture. Called on a worker thread, at any time, several at once.
    registry
        What ``/metrics`` shows.
    history, feed
        What ``/api/history`` and ``/api/events`` show; somebody else fills them.
    """

    # Plain functions: Starlette runs them on worker threads, so a slow scrape holds up no health check.
    def page(_request: Request) -> Response:
        return HTMLResponse(PAGE, headers={"content-security-policy": _POLICY})

    def status(_request: Request) -> Response:
        return _json(state())

    def past(_request: Request) -> Response:
        return _json(history.past())

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    def healthz(_request: Request) -> Response:
        picture = state()
        return _verdict({"healthy": picture.healthy, "reasons": picture.unhealthy}, ok=picture.healthy)

    def readyz(_request: Request) -> Response:
        picture = state()
        return _verdict({"ready": picture.ready, "reasons": picture.unready}, ok=picture.ready)

    routes: dict[str, Any] = {
        "/": page,
        "/api/status": status,
        "/api/history": past,
        "/api/events": feed,
        "/metrics": metrics,
        "/healthz": healthz,
        "/readyz": readyz,
    }
    return _GuardHeaders(
        Starlette(routes=[Route(path, endpoint, methods=["GET"]) for path, endpoint in routes.items()])
    )


PAGE = build_page()
_POLICY = content_security_policy(PAGE)

_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass(frozen=True, slots=True)
class _GuardHeaders:
    """Puts the headers on every answer, errors too."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        await self.app(scope, receive, send_guarded)


def _verdict(body: dict[str, Any], *, ok: bool) -> Response:
    answer = _json(body)
    answer.status_code = 200 if ok else 503
    return answer


def encode_json(body: Any) -> bytes:
    """Return JSON in one line; NaN is null, which is what JSON has for a metric that is not defined yet."""
    return msgspec.json.encode(body)


def _json(body: Any) -> Response:
    return Response(encode_json(body), media_type="application/json")
