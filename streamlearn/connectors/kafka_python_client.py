"""kafka-python's network client, and the end of every socket that it opened.

kafka-python 3.0.12 forgets sockets: one whose connection is refused, one that is still connecting when its
client is closed, and one whose last bytes could not be written before that. The garbage collector closes
them at some later time. Here they end when their client ends.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket
from kafka.net.selector import NetworkSelector

_SCHEME = "direct"

_opened: WeakKeyDictionary[NetworkSelector, list[socket.socket]] = WeakKeyDictionary()


class _NotedSocket(KafkaNetSocket):  # type: ignore[misc]
    """Connects as kafka-python does without a proxy; takes note of the socket for the client that owns it."""

    SCHEMES = (_SCHEME,)

    async def connect(
        self, net: NetworkSelector, addrinfo: Any, socket_options: Sequence[Any] = (), timeout_at: Any = None
    ) -> socket.socket:
        self._net = net
        connected: socket.socket = await super().connect(net, addrinfo, socket_options, timeout_at=timeout_at)
        return connected

    def socket(self, *kind: int) -> socket.socket:
        opened: socket.socket = super().socket(*kind)
        open_ones = [each for each in _opened.get(self._net, ()) if each.fileno() >= 0]
        _opened[self._net] = [*open_ones, opened]
        return opened


class ClosingClient(KafkaNetClient):  # type: ignore[misc]
    """For the argument ``kafka_client`` of kafka-python's consumers and producers.

    >>> client = ClosingClient(bootstrap_servers=["localhost:9092"])
    >>> client.close()
    """

    def __init__(self, **configs: Any) -> None:
        super().__init__(**{**configs, "proxy_url": f"{_SCHEME}://"})

    def close(self, node_id: Any = None) -> None:
        """Close one connection, or everything: then no socket stays open, whatever it was doing."""
        super().close(node_id=node_id)
        if node_id is None:
            for opened in _opened.pop(self._net, ()):
                opened.close()
