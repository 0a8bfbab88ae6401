"""Stopping without losing a request. Nothing else is asked of uvicorn and circus than to wait for this.

Left alone, uvicorn closes a connection that is kept alive in the moment it is told to stop, with whatever question is
on its way there; and while workers end, circus' socket goes on taking connections that nobody will answer. So:

1. The supervisor no longer hears who knocks (``listen_no_more``): a client's SYN is dropped, not refused. Who is
   refused in the end, or let in by the next server on this port, has asked nothing yet. Where a single worker is
   stopped (a rolling restart) this is left out: its siblings let them in.
2. A worker takes in for ``LET_IN_S`` who had knocked before, then closes its own door, and tells everyone with each
   answer that this connection ends (``Connection: close``); ``/readyz`` says that it stops.
3. When every connection has ended so, at most ``DRAIN_S`` later (some clients keep one and ask nothing), uvicorn's own
   stop begins: it waits for what is still being answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import signal
import socket
import struct
from collections.abc import Callable, Coroutine, Iterable, MutableMapping
from types import FrameType
from typing import Any, Final

import structlog

from bentos.connections.admission import Admission
from bentos.connections.opening import Opening
from bentos.connections.protocol import install
from bentos.connections.short_way import ShortWay
from bentos.web.http import CLOSE, App, Receive, Scope, Send, json_of, request_id, send_json

log = structlog.get_logger(__name__)

LET_IN_S: Final = 0.2
"""Who knocked before the supervisor stopped listening is in the queue by then, and each worker looks there every
millisecond or so."""
DRAIN_S: Final = 1.0
"""How long a worker waits for connections that are kept alive to be used once more."""
LOOK_S: Final = 0.02

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_NO_SYN: Final = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
"""Classic BPF: load the TCP flags (byte 13 of the header); a set SYN bit (0x02) drops the packet; keep the others."""
_ATTACH_FILTER: Final = 26
"""``SO_ATTACH_FILTER`` of Linux' asm-generic/socket.h; Python does not name it."""


def listen_no_more(sockets: Iterable[socket.socket]) -> None:
    """Drop whoever knocks from now on; who has knocked is still let in. Does nothing where the system cannot.

    ``shutdown`` would refuse them, and reset those who wait to be let in.
    """
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in _NO_SYN))
    program = struct.pack("HP", len(_NO_SYN), ctypes.addressof(code))
    for listening in sockets:
        with contextlib.suppress(OSError):
            listening.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)


def supervise() -> None:
    """In BentoML's supervisor, once it runs: stop listening before the workers are told to stop.

    Its signal handler belongs to circus, which holds the socket. Elsewhere (a worker, a build) it is another's, and
    this does nothing.
    """
    for number in SIGNALS:
        theirs: Any = signal.getsignal(number)
        arbiter = getattr(getattr(getattr(theirs, "__self__", None), "controller", None), "arbiter", None)
        sockets = getattr(arbiter, "sockets", None)
        if sockets is None:
            continue

        def stop(
            number: int, frame: FrameType | None, theirs: Any = theirs, sockets: dict[str, socket.socket] = sockets
        ) -> None:
            listen_no_more(sockets.values())
            theirs(number, frame)

        signal.signal(number, stop)


class Drain:
    """An ASGI app around a worker's whole app. Costs a call a request while nothing is being stopped."""

    def __init__(
        self, app: App, short: ShortWay | None = None, *, workers: int = 1, opening: Opening | None = None
    ) -> None:
        """``short``: the way past this that uvicorn's connections are to have while nothing is being stopped.
        ``workers``: how many share the port, with this one. ``opening``: when it begins to listen; None: at once."""
        self._workers = workers
        self._app = app
        self._short = short
        self._opening = opening
        self._leaving = False
        self._admission: Admission | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on; while stopping, end the connection with the answer."""
        if scope["type"] == "lifespan":
            self._listen(asyncio.get_running_loop())
            if self._opening is not None:
                send = self._opening.held(send)
        elif self._leaving:
            send = _last(send)
            if scope.get("path") == "/readyz":
                return await _stopping(scope, send)
        await self._app(scope, receive, send)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the place of uvicorn's signal handlers, if it is uvicorn that runs us."""
        for number in SIGNALS:
            theirs: Any = signal.getsignal(number)
            server = getattr(theirs, "__self__", None)
            if not hasattr(server, "server_state"):
                continue
            if self._short is not None:
                install(self._short, server)
            if self._admission is None:
                self._admission = Admission(loop, workers=self._workers)
                self._do(self._admission.watch(server))

            def stop(number: int, frame: FrameType | None, theirs: Any = theirs, server: Any = server) -> None:
                if self._leaving:  # told twice: at once, then
                    self._stop(lambda: theirs(number, frame))
                    return
                self._leaving = True
                if self._short is not None:
                    self._short.close()
                loop.call_soon_threadsafe(self._begin, server, lambda: theirs(number, None))

            signal.signal(number, stop)

    def _begin(self, server: Any, stop: Any) -> None:
        self._do(self._drain(server, stop))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self, server: Any, stop: Any) -> None:
        try:
            await asyncio.sleep(LET_IN_S)
            if self._admission is not None:
                self._admission.close()
            for listening in getattr(server, "servers", ()):  # not there before it listens
                listening.close()
            for _ in range(int(DRAIN_S / LOOK_S)):
                if not server.server_state.connections:
                    break
                await asyncio.sleep(LOOK_S)
            log.info("drained", connections_left=len(server.server_state.connections))
        finally:
            self._stop(stop)

    def _stop(self, stop: Callable[[], object]) -> None:
        stop()
        if self._opening is not None:  # after it: uvicorn must know that it is to end before it listens
            self._opening.end()


def _last(send: Send) -> Send:
    """``send`` that says: this connection ends."""

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), CLOSE]
        await send(message)

    return sending


async def _stopping(scope: Scope, send: Send) -> None:
    told = json_of({"ready": False, "reasons": ["this worker is stopping"]})
    await send_json(send, 503, told, request_id(dict(scope["headers"])))
