"""The console's routes: read-only, on GET, with nothing that a browser could be talked into.

Nothing here changes the daemon (`reads_are_pure`). The page is one file without outside requests, and
runs only the script and style whose hashes the policy names.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
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

from streamlearn.console.history import History
from streamlearn.console.status import Status

PAGE = files("streamlearn.console").joinpath("page.html").read_text(encoding="utf-8")


def make_app(state: Callable[[], Status], registry: CollectorRegistry, history: History) -> ASGIApp:
    """Return the console as an ASGI application.

    ========================  ======================================================================
    ``/``                     the live page
    ``/api/status``           ``Status`` as JSON
    ``/api/history``          the scores so far, as JSON
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
    history
        What ``/api/history`` shows; somebody else fills it.
    """

    # Plain functions: Starlette runs them on worker threads, so a slow scrape holds up no health check.
    def page(_request: Request) -> Response:
        return HTMLResponse(PAGE, headers={"content-security-policy": _POLICY})

    def status(_request: Request) -> Response:
        return _json(state())

    def past(_request: Request) -> Response:
        return _json(history.points())

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    def healthz(_request: Request) -> Response:
        picture = state()
        return _verdict({"healthy": picture.healthy, "reasons": picture.unhealthy}, ok=picture.healthy)

    def readyz(_request: Request) -> Response:
        picture = state()
        return _verdict({"ready": picture.ready, "reasons": picture.unready}, ok=picture.ready)

    routes = {
        "/": page,
        "/api/status": status,
        "/api/history": past,
        "/metrics": metrics,
        "/healthz": healthz,
        "/readyz": readyz,
    }
    return _GuardHeaders(
        Starlette(routes=[Route(path, endpoint, methods=["GET"]) for path, endpoint in routes.items()])
    )


def content_security_policy(page: str) -> str:
    """Return the policy under which a page may run its own inline script and style and nothing else.

    >>> content_security_policy("<style>a{}</style>")
    "default-src 'none'; style-src 'sha256-X1RutGBrXCt9KkSaXMK7tHftWiRscFHOhxsS8tv8hBk='; ..."
    """
    directives = ["default-src 'none'"]
    for directive, tag in (("style-src", "style"), ("script-src", "script")):
        inline = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        if inline:
            hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline)
            directives.append(f"{directive} " + " ".join(f"'sha256-{digest}'" for digest in hashes))
    directives += ["connect-src 'self'", "img-src data:", "base-uri 'none'", "form-action 'none'"]
    return "; ".join([*directives, "frame-ancestors 'none'"])


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


def _json(body: Any) -> Response:
    # msgspec writes NaN as null, which is what JSON has for a metric that is not defined yet.
    return Response(msgspec.json.encode(body), media_type="application/json")
