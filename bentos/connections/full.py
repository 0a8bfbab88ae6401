"""A worker that has no room for one connection more: whose silence is longest goes, else who knocks is told so.

Both at once. Who waits in the system's queue until somebody leaves learns nothing, and nor does whoever asks
``/livez``.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from typing import Any, Final

from bentos.web.http import CLOSE, SOON, HttpError, request_id

SILENT_S: Final = 0.5
"""Whoever asked nothing for so long may be asked to knock again."""
MOST: Final = 8
"""One in so many goes at once: to find the most silent of all each time somebody knocks would cost too much."""
HELD: Final = 32
"""Who was refused is listened to for a moment (``HELD_S``), at most so many at once, and fewer than ``SPARE`` files."""
HELD_S: Final = 0.1

FULL: Final = HttpError(503, "overloaded", "too many connections are open; ask again", headers=SOON)


def make_room(connections: Iterable[Any], now_s: float) -> int:
    """End the connections that have asked nothing for longest, an eighth of all at most; returns how many.

    ``connections``: of ``bentos.connections.protocol.Protocol``. ``now_s``: by the loop's clock.
    """
    known = [(one, one.silent_since()) for one in tuple(connections) if hasattr(one, "silent_since")]
    silent = [(since, one) for one, since in known if since is not None and since < now_s - SILENT_S]
    silent.sort(key=lambda pair: pair[0])
    going = silent[: max(len(known) // MOST, 1)]
    for _, one in going:
        one.transport.close()
    return len(going)


class Refusing:
    """Tells who knocks that there is no room, whatever is going to be asked."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held: set[socket.socket] = set()

    def refuse(self, connection: socket.socket) -> None:
        """Answer 503 and close."""
        connection.setblocking(False)
        with contextlib.suppress(OSError):
            connection.recv(65_536)  # closed with bytes unread, it would be reset, and the answer lost
        with contextlib.suppress(OSError):
            connection.send(_refusal())
            connection.shutdown(socket.SHUT_WR)
        if len(self._held) >= HELD:
            connection.close()
            return
        self._held.add(connection)
        self._loop.call_later(HELD_S, self._let_go, connection)

    def _let_go(self, connection: socket.socket) -> None:
        self._held.discard(connection)
        with contextlib.suppress(OSError):
            connection.recv(65_536)
        connection.close()


def _refusal() -> bytes:
    body = FULL.body()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id({})),
        *FULL.headers,
        CLOSE,
    ]
    lines = [b"%b: %b\r\n" % header for header in headers]
    return b"".join([b"HTTP/1.1 503 Service Unavailable\r\n", *lines, b"\r\n", body])
