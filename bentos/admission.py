"""Letting in everyone who knocks, at once.

libuv takes one connection at each turn of the loop, and between two turns answers all it has: of 128 clients that come
together the last waits for eight thousand answers. So whoever is in the queue is let in whenever somebody knocks.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog

log = structlog.get_logger(__name__)

AT_ONCE: Final = 8
"""Connections taken before those that are there get a turn. More, and one of several workers would take them all."""
_LOOK_S: Final = 0.005


class Admission:
    """Takes connections beside uvicorn's own listener, into uvicorn's own protocol."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._sockets: list[socket.socket] = []
        self._coming: set[asyncio.Task[Any]] = set()

    async def watch(self, server: Any) -> None:
        """Begin once a ``uvicorn.Server`` listens; returns at once where it never will."""
        while not server.started:
            if server.should_exit:
                return
            await asyncio.sleep(_LOOK_S)
        listening = [one for its in server.servers for one in its.sockets]
        self.begin(listening, lambda: _protocol(server), server.config.ssl)

    def begin(self, listening: Iterable[Any], protocol: Callable[[], asyncio.BaseProtocol], ssl: Any = None) -> None:
        """Take what knocks at these sockets; each connection gets a new ``protocol()``."""
        for theirs in listening:
            # A descriptor of our own: the loop watches theirs already.
            ours = socket.socket(fileno=os.dup(theirs.fileno()))
            ours.setblocking(False)
            self._sockets.append(ours)
            self._loop.add_reader(ours.fileno(), self._take, ours, protocol, ssl)

    def close(self) -> None:
        """Take nobody any more."""
        while self._sockets:
            ours = self._sockets.pop()
            self._loop.remove_reader(ours.fileno())
            ours.close()

    def _take(self, ours: socket.socket, protocol: Callable[[], asyncio.BaseProtocol], ssl: Any) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, _ = ours.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # too many open files: uvicorn's listener will say so too
                log.warning("connection_not_taken", error=error.strerror)
                return
            coming = self._loop.create_task(self._loop.connect_accepted_socket(protocol, connection, ssl=ssl))
            self._coming.add(coming)
            coming.add_done_callback(self._came)

    def _came(self, coming: asyncio.Task[Any]) -> None:
        self._coming.discard(coming)
        if not coming.cancelled() and coming.exception() is not None:
            log.warning("connection_not_taken", error=repr(coming.exception()))


def _protocol(server: Any) -> asyncio.BaseProtocol:
    """As ``uvicorn.Server.startup`` makes one."""
    made: asyncio.BaseProtocol = server.config.http_protocol_class(
        config=server.config, server_state=server.server_state, app_state=server.lifespan.state
    )
    return made
