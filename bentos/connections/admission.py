"""Letting in everyone who knocks: at once, and into the worker that has the fewest.

libuv takes one connection at each turn of the loop, and between two turns answers all it has: of 128 clients that come
together the last waits for eight thousand answers. So whoever is in the queue is let in whenever somebody knocks. Where
several workers hear the same knock, the quickest would take everyone (seen: sixteen connections, all in one of two
workers): so each waits before it opens, the longer the more it has. There are never more than files may be open
(``bentos.connections.open_files``).
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any, Final

import structlog

from bentos.connections.full import Refusing, make_room
from bentos.connections.open_files import room

log = structlog.get_logger(__name__)

AT_ONCE: Final = 8
"""Connections taken before those that are there get a turn."""
AMONG_SEVERAL: Final = 2
"""The same, where other workers hear the knock too."""
_WAIT_S: Final = 0.0001
"""For each connection that a worker has already, while others hear the knock too."""
_LONGEST_WAIT_S: Final = 0.003
_NO_ROOM_S: Final = 0.1
"""Until one more is tried, where the last could not be taken."""
_FULL_S: Final = 0.05
"""Until it is looked again who could go, where nobody could."""
_LOOK_S: Final = 0.005


class Admission:
    """Takes connections in the place of uvicorn's own listener, into uvicorn's own protocol."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, workers: int = 1) -> None:
        """``workers``: how many listen at the same sockets, with this one."""
        self._loop = loop
        self._alone = workers == 1
        self._server: Any = None
        self._sockets: list[socket.socket] = []
        self._coming: set[asyncio.Task[Any]] = set()
        self._room = 0
        self._look_again_s = 0.0
        self._refusing = Refusing(loop)

    async def watch(self, server: Any) -> None:
        """Begin once a ``uvicorn.Server`` listens; returns at once where it never will."""
        while not server.started:
            if server.should_exit:
                return
            await asyncio.sleep(_LOOK_S)
        if server.should_exit:
            return
        self._server = server
        for its in server.servers:
            for theirs in its.sockets:
                # A descriptor of our own: theirs is closed with their listener.
                ours = socket.socket(fileno=os.dup(theirs.fileno()))
                ours.setblocking(False)
                self._sockets.append(ours)
                self._hear(ours)
            its.close()
        self._room = room()

    def close(self) -> None:
        """Take nobody any more."""
        while self._sockets:
            ours = self._sockets.pop()
            self._loop.remove_reader(ours.fileno())
            ours.close()

    def _hear(self, ours: socket.socket) -> None:
        if ours in self._sockets:
            self._loop.add_reader(ours.fileno(), self._knocked, ours)

    def _knocked(self, ours: socket.socket) -> None:
        has = self._has()
        if self._alone or not has:
            self._take(ours)
            return
        self._loop.remove_reader(ours.fileno())
        self._loop.call_later(min(has * _WAIT_S, _LONGEST_WAIT_S), self._open, ours)

    def _open(self, ours: socket.socket) -> None:
        if ours in self._sockets:
            self._hear(ours)
            self._take(ours)

    def _take(self, ours: socket.socket) -> None:
        for _ in range(AT_ONCE if self._alone else AMONG_SEVERAL):
            try:
                connection, _ = ours.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # too many open files
                log.warning("connection_not_taken", error=error.strerror)
                self._loop.remove_reader(ours.fileno())
                self._loop.call_later(_NO_ROOM_S, self._hear, ours)
                return
            full = self._has() >= self._room
            if full and not self._makes_room():
                self._refusing.refuse(connection)
                continue
            accepted = self._loop.connect_accepted_socket(self._protocol, connection, ssl=self._server.config.ssl)
            coming = self._loop.create_task(accepted)
            self._coming.add(coming)
            coming.add_done_callback(self._came)
            if full:
                return  # who goes is gone by the loop's next turn

    def _has(self) -> int:
        return len(self._server.server_state.connections) + len(self._coming)

    def _makes_room(self) -> bool:
        """Whether somebody goes for one more to come. Where nobody can, it is not looked again for a moment."""
        now_s = self._loop.time()
        if now_s < self._look_again_s:
            return False
        if make_room(self._server.server_state.connections, now_s):
            return True
        self._look_again_s = now_s + _FULL_S
        return False

    def _protocol(self) -> asyncio.BaseProtocol:
        """As ``uvicorn.Server.startup`` makes one."""
        server = self._server
        made: asyncio.BaseProtocol = server.config.http_protocol_class(
            config=server.config, server_state=server.server_state, app_state=server.lifespan.state
        )
        return made

    def _came(self, coming: asyncio.Task[Any]) -> None:
        self._coming.discard(coming)
        if not coming.cancelled() and coming.exception() is not None:
            log.warning("connection_not_taken", error=repr(coming.exception()))
