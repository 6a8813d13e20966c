"""The console's server: uvicorn on a thread of its own, on a socket that we bound ourselves.

The belt never waits for it. It installs no signal handlers, writes no access log, and ends within
``stop``'s budget whatever its clients do.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from threading import Event, Thread

import uvicorn
from prometheus_client import CollectorRegistry

from streamlearn.console.app import encode_json, make_app
from streamlearn.console.feed import Feed
from streamlearn.console.history import History
from streamlearn.console.status import Status
from streamlearn.errors import ConfigError

SAMPLE_EVERY_SECONDS = 1.0  # as often as the daemon takes a picture; more often would show nothing new
# A few pages, Prometheus and health checks need a handful. A flood is answered 503, so that it cannot
# take the file descriptors that Kafka and checkpoints need.
CONNECTIONS_MAX = 128
_STOP_SECONDS = 3.0


class Console:
    """Serves metrics, health, the API and the live page.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes a free one. Loopback unless the config says otherwise: the
        console has no log-in.
    state
        Takes the picture that is shown. Called from other threads, several at once; must not wait for
        the belt, or a belt that hangs could not be seen to hang.
    registry
        What ``/metrics`` shows.
    sample_every_seconds
        How often the picture goes to the pages that are open, and into the history.

    >>> state = lambda: Status("flights", "binary", "stream", "leader")
    >>> console = Console("127.0.0.1", 0, state, CollectorRegistry())
    >>> console.start()
    >>> console.url
    'http://127.0.0.1:...'
    >>> console.stop()
    """

    def __init__(
        self,
        host: str,
        port: int,
        state: Callable[[], Status],
        registry: CollectorRegistry,
        *,
        sample_every_seconds: float = SAMPLE_EVERY_SECONDS,
    ) -> None:
        self._host = host
        self._port = port
        self._state = state
        self._sample_every_seconds = sample_every_seconds
        self._history = History()
        self._feed = Feed()
        self._socket: socket.socket | None = None
        self._stopping = Event()
        self._server = _Server(
            uvicorn.Config(
                make_app(state, registry, self._history, self._feed),
                http="h11",
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=CONNECTIONS_MAX,
                timeout_graceful_shutdown=1,
            )
        )
        self._threads: list[Thread] = []

    def start(self) -> None:
        """Listen, and return when answers come. Raises ConfigError when the address cannot be had."""
        self._socket = _bind(self._host, self._port)
        serve = Thread(target=self._server.run, args=([self._socket],), name="console", daemon=True)
        sample = Thread(target=self._sample, name="console-history", daemon=True)
        self._threads = [serve, sample]
        for thread in self._threads:
            thread.start()
        while not self._server.ready.wait(0.1):
            assert serve.is_alive(), "the console's server ended before it began"

    def stop(self) -> None:
        """Stop listening; answers under way have a second. Does nothing when not started."""
        self._stopping.set()
        self._feed.end()
        self._server.should_exit = True
        for thread in self._threads:
            thread.join(_STOP_SECONDS)
        if self._socket is not None:
            self._socket.close()
        self._threads, self._socket = [], None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port where it listens, the port as it came out."""
        assert self._socket is not None, "the console is not started"
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    @property
    def url(self) -> str:
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _sample(self) -> None:
        while not self._stopping.wait(self._sample_every_seconds):
            picture = self._state()
            self._history.add(picture)
            self._feed.publish(encode_json(picture))


class _Server(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _unavailable(host, port, error) from error
    try:
        # A restarted daemon must get its port back while old connections are still winding down.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise _unavailable(host, port, error) from error
    return listener


def _unavailable(host: str, port: int, error: OSError) -> ConfigError:
    return ConfigError(
        f"the console cannot listen on {host}:{port}: {error.strerror or error}",
        remedy="set http.port to a free port (0 takes any), http.host to an address of this machine, "
        "or http.enabled = false",
    )
