"""uvicorn's HTTP protocol with a short way for questions that have arrived whole and need not wait.

A task, an ASGI scope and three messages are worth their price where an answer waits for something. Ours mostly waits
for nothing, and that machinery costs a quarter of it (docs/adr/0015). So a question that is read whole in one piece is
answered where it is read. Whatever is unusual (another path or method, HTTP/1.0, a body in pieces, a client that
closes, reads slowly or expects ``100 Continue``, a question behind one that is still being answered) goes uvicorn's own
way, and so does everything while a worker is being stopped. Only what is no request for this server (no HTTP, a head
too large or too late, a tunnel) is refused here.
"""

# mypy: disable-error-code="misc"
from __future__ import annotations

import contextlib
import logging
import os
import socket
from asyncio.events import TimerHandle
from functools import partial
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bentos.connections.lingering import Lingering
from bentos.connections.short_way import ShortWay
from bentos.connections.silence import Silence
from bentos.connections.upgrade import new_parser, plain_head
from bentos.web import refusals
from bentos.web.http import HttpError, Reply, late, request_id
from bentos.web.refusals import HEAD_BYTES, NO_HTTP, StoppedError, head_size

UNREAD_S = 20.0
"""How long a client may take nothing of what is sent to it. Whoever does not read would be kept for ever: what is
written is waited for, also by what closes a connection."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    _silence: Silence
    _end: Lingering

    def __init__(self, *arguments: Any, short: ShortWay, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._short = short
        self.turn = 0
        self._fd: int | None = None
        """Of the connection, where what is written to it goes out as it is."""
        self._logs = self.access_log and self.access_logger.isEnabledFor(logging.INFO)
        self._held: bytes | None = None
        """The body so far of a question that may go the short way; None: there is none."""
        self._heading = False
        """A head has begun to arrive."""
        self._head_bytes = 0
        self._head_timer: TimerHandle | None = None
        self._refusal: HttpError | None = None
        self._plain_head: bytes | None = None
        """Of a request that asks for another protocol: what to read in its place."""
        self._around: int | None = None
        """While a body comes in chunks: how many bytes more may come that are none of it."""

    def connection_made(self, transport: Any) -> None:
        """The beginning."""
        super().connection_made(transport)
        theirs = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # no TCP
            theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD_S * 1000))
        if transport.get_extra_info("sslcontext") is None:
            self._fd = theirs.fileno()
        self._end = Lingering(self.loop, transport, self._said_all)
        self._silence = Silence(self.loop, self.timeout_keep_alive, self._asks, transport.close)

    def on_message_begin(self) -> None:
        """A request begins; the scope it may never need is made in ``_usual``."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._heading = True

    def on_headers_complete(self) -> None:
        """Hold a question back until it is whole, if it may go the short way."""
        parser = self.parser
        self._heading = False
        if self._head_bytes > HEAD_BYTES and head_size(self.url, self.headers) > HEAD_BYTES:
            self._refusal = refusals.TOO_LONG
            raise StoppedError
        elif parser.should_upgrade():
            self._asks_for_another()
        elif (
            self.url in self._short.paths
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not self.expect_100_continue
            and not self.flow.write_paused
            and (self.cycle is None or self.cycle.response_complete)
            and not self._logs
            and self.limit_concurrency is None
        ):
            self._held = b""
        else:
            self._usual()

    def on_body(self, body: bytes) -> None:
        """Part of a body."""
        if self._held is None:
            super().on_body(body)
            if self._around is not None:
                self._around += len(body) * (1 + refusals.CHUNK_BYTES)
        else:
            self._held += body

    def on_chunk_header(self) -> None:
        """A chunk of a body begins. What comes as headers from now on is its trailers, which are read by nobody."""
        if self._held is not None:
            self._let_go()
        self.headers = []

    def on_message_complete(self) -> None:
        """Answer what was held back."""
        body = self._held
        if body is not None and self._refusal is None:
            path = self._short.paths.get(self.url)
            reply = None if path is None else self._short.answer(path, self.headers, body, self.client)
            if reply is not None:
                self._held = None
                self._reply(reply)
                return
            self._let_go()
        if self._refusal is None and self._plain_head is None:
            super().on_message_complete()
            self.cycle.more_body, self._around = False, None

    def data_received(self, data: bytes) -> None:
        """Something came; its turn comes before anything else happens to this connection."""
        self._short.rounds.take(self, data)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's, of which uvicorn's says less
        """The client says no more; whether it is to be told what it asked before (else the connection ends now)."""
        self._short.rounds.hurry(self)
        last = self.cycle
        if last is None or last.response_complete or last.more_body:
            return False
        last.keep_alive = False
        return True

    def shutdown(self) -> None:
        """The worker is stopping."""
        self._short.rounds.hurry(self)
        super().shutdown()

    def feed(self, data: bytes) -> None:
        """What was held back and is not whole by the end of ``data`` goes uvicorn's way after all."""
        if self.parser is None or self._refusal is not None or self._end.begun:  # gone, or goes
            return
        open_before = self.headers if self._heading else None
        self._head_bytes = self._head_bytes + len(data) if self._heading else len(data)
        if self._around is not None:
            self._around -= len(data)
        self._parse(data)
        if self._held is not None and self._refusal is None:
            if self._end.is_closing():  # what came was no HTTP; it has been told so
                self._held = None
            else:
                with contextlib.suppress(StoppedError):
                    self._let_go()
        if self._around is not None and self._around < 0:
            self._refusal = refusals.TOO_MUCH_AROUND
        if self._heading or self._head_timer is not None or self._refusal is not None:
            if self._heading and self.headers is not open_before:  # what came before it in ``data`` is none of it
                self._head_bytes = len(data) - data.rfind(b" " + self.url) if self.url else 0
            self._head_left_open()

    def _parse(self, data: bytes) -> None:
        anew = 0
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserError:
                self._refuse(self._refusal or NO_HTTP)
            except httptools.HttpParserUpgrade as upgrade:
                (end,) = upgrade.args  # of the head
                head, self._plain_head = self._plain_head, None
                if head is not None and end > anew:
                    self.parser = new_parser(self)
                    data, anew = head + data[end:], len(head)
                    continue
                self._refuse(self._refusal or NO_HTTP)
            return

    def _asks_for_another(self) -> None:
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if method == b"CONNECT":
            self._refusal, self._held = refusals.NO_TUNNEL, b""
        else:
            self._plain_head = plain_head(method, self.url, version, self.headers)

    def _head_left_open(self) -> None:
        """See to a head that is not whole, or was until now, or is too long."""
        if self._heading and self._head_bytes > 2 * HEAD_BYTES:
            self._refusal = refusals.TOO_LONG
        if self._refusal is not None:
            self._refuse(self._refusal)
        if self._heading and self._refusal is None and not self._end.is_closing():
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(self._short.head_s, self._too_late)
        elif self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_late(self) -> None:
        self._short.rounds.hurry(self)
        if self._heading:
            self._refuse(late(408))

    def _refuse(self, error: HttpError) -> None:
        if self._end.is_closing():
            return
        self._refusal = error
        before = self.cycle
        if before is None or before.response_complete or before.more_body:  # else in its turn: ``on_response_complete``
            if before is None or not (before.response_complete and before.more_body):  # else told all it asked
                self._write(Reply(error.status, error.body(), request_id({}), error.headers))
            self._end.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._short.rounds.hurry(self)
        super().connection_lost(exc)
        self._silence.cancel()
        self._end.cancel()
        if self._head_timer is not None:
            self._head_timer.cancel()

    def _let_go(self) -> None:
        body, self._held = self._held, None
        self._usual()
        if body:
            super().on_body(body)

    def _usual(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        refusal = refusals.unsound(self.parser.get_http_version(), url, headers)
        if refusal is not None:
            self._refusal = refusal
            raise StoppedError
        self._around = HEAD_BYTES if refusals.in_chunks(headers) else None
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()
        answering: Any = self.cycle
        answering.transport = self._end

    def _said_all(self) -> bool:
        return self._refusal is None and not self.cycle.more_body

    def _write(self, reply: Reply) -> None:
        """Write at once where nothing waits to be written: the loop sends what all are told at the end of its turn."""
        data = self._short.wire(reply, self.server_state.default_headers)
        transport, sent = self.transport, 0
        if self._fd is not None and not transport.is_closing() and not transport.get_write_buffer_size():
            with contextlib.suppress(OSError):  # full, or broken: the transport finds out which
                sent = os.write(self._fd, data)
        if sent < len(data):
            transport.write(data[sent:])

    def _reply(self, reply: Reply) -> None:
        self._write(reply)
        self.server_state.total_requests += 1
        self._silence.since = self.loop.time()

    def on_response_complete(self) -> None:
        """Answered uvicorn's way."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # ours is there already
        self._silence.since = self.loop.time()
        if self._refusal is not None:
            self._refuse(self._refusal)

    def silent_since(self) -> float | None:
        """Since when nothing is asked here, in the loop's seconds; None while a question waits for its answer."""
        return None if self._asks() and not self._end.begun else self._silence.since

    def _asks(self) -> bool:
        self._short.rounds.hurry(self)
        return self._heading or not (self.cycle is None or self.cycle.response_complete)


def install(short: ShortWay, server: Any) -> None:
    """Take the place of the protocol of a ``uvicorn.Server``, for connections made from now on."""
    if server.config.http_protocol_class is HttpToolsProtocol and not server.config.root_path:
        server.config.http_protocol_class = partial(Protocol, short=short)
