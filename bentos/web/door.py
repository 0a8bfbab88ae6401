"""The HTTP door: strict requests in, one error shape out.

The outermost ASGI app, around BentoML's own: its middlewares cost as much as a whole answer, and its request handling
four times that (docs/serving.md), answers 4xx as a list, masks 5xx, accepts bodies of any size, logs rejected input
(coordinates!) with a traceback and knows no GET. What they would have done for our paths is done here: request ids,
timeouts, metrics. BentoML's documentation, health and metrics routes stay as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import lru_cache
from time import perf_counter
from typing import Any

from bentos.metrics.files import reading
from bentos.web.endpoints import ENDPOINTS, Endpoint, Worker, as_http, let_in, understood
from bentos.web.http import (
    SOON,
    App,
    HeaderList,
    Headers,
    HttpError,
    Receive,
    Reply,
    Scope,
    Send,
    json_of,
    late,
    media_type,
    no_sockets,
    no_such_path,
    not_allowed,
    read_body,
    request_id,
    send_json,
    theirs,
)
from bentos.web.pool import Pool
from bentos.web.refusals import sound_host
from bentos.web.static_files import there_is

TICK_S = 0.25
"""How often counts are carried over to the metrics and late requests looked for."""

_OURS = ("/readyz", "/docs.json")
_BENTOML_PATHS = ("/metrics", "/livez", "/healthz", "/schema.json", "/")
_READS = ("GET", "HEAD")


class Door:
    """An ASGI app around BentoML's. ``worker()`` is None until BentoML has built the service."""

    def __init__(self, app: App, worker: Callable[[], Worker | None]) -> None:
        self._app = app
        self._worker = worker
        # One thread each: Feast's embedded SQLite store is one connection, and the work is Python anyway.
        self._pools = {pool: Pool(pool) for pool in ("features", "labels", "explain")}
        self._begun: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._ticking = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer our own paths; hand BentoML its own; 404 the rest."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began = perf_counter()
        path: str = scope["path"]
        endpoint = ENDPOINTS.get(path)
        headers: Headers = dict(scope["headers"])
        ident = request_id(headers)
        worker = self._worker()
        bentomls = endpoint is None and (path in _BENTOML_PATHS or there_is(path))
        handshake = scope["method"] == "GET" and headers.get(b"upgrade", b"").lower() == b"websocket"
        if bentomls and scope["method"] in _READS and not handshake:
            if worker is not None:
                worker.metrics.carry_over(len(self._begun))
            async with reading() if path == "/metrics" else nullcontext():
                return await self._app(scope, receive, theirs(send, ident, ENDPOINTS))
        if not self._ticking:
            self._tick(asyncio.get_running_loop())
        task = asyncio.current_task()
        assert task is not None
        self._begun[task] = began
        extra: tuple[tuple[bytes, bytes], ...] = ()
        try:
            if handshake:
                raise no_sockets()
            if worker is None:
                raise HttpError(503, "not_ready", "the service is starting; ask again", headers=SOON)
            if endpoint is not None:
                status, body = 200, json_of(await self._answer(worker, endpoint, scope, headers, receive))
            elif bentomls or path in _OURS:
                status, body = _open(worker, path, scope["method"])
            else:
                raise no_such_path(ENDPOINTS)
        except HttpError as error:
            status, body, extra = error.status, error.body(), error.headers
            if worker is not None:
                worker.metrics.tally.errors[error.code] += 1
        finally:
            del self._begun[task]
            self._late.discard(task)
        await send_json(send, status, body, ident, extra)
        if worker is not None:
            worker.metrics.tally.request(path if endpoint is not None else "other", status, perf_counter() - began)

    def at_once(self, path: str, headers: HeaderList, body: bytes, client: Sequence[Any] | None) -> Reply | None:
        """The reply to a question POSTed to ``path`` that has arrived whole and can be answered without waiting.

        ``headers``: names in lower case. None: it cannot; nothing was done, so it is to come in as everyone does.
        Never raises.
        """
        worker, endpoint = self._worker(), ENDPOINTS[path]
        if worker is None or len(body) > worker.config.max_body_bytes or not _inline(worker, endpoint):
            return None
        told: Headers = dict(headers)
        if b"x-forwarded-for" in told:  # whose question a proxy hands on is uvicorn's to find out
            return None
        if len(told) < len(headers) or not sound_host(told.get(b"host")):  # to be looked at closer
            return None
        if not self._ticking:
            self._tick(asyncio.get_running_loop())
        began = perf_counter()
        status = 200
        extra: HeaderList = ()
        try:
            grant = let_in(worker, endpoint, "POST", headers, client)
            media_type(told)
            answer = json_of(endpoint.answer(worker, understood(endpoint, body, grant), grant))
        except Exception as raised:
            error = as_http(raised, path)
            status, answer, extra = error.status, error.body(), error.headers
            worker.metrics.tally.errors[error.code] += 1
        worker.metrics.tally.request(path, status, perf_counter() - began)
        return Reply(status, answer, request_id(told), extra)

    async def _answer(
        self, worker: Worker, endpoint: Endpoint, scope: Scope, headers: Headers, receive: Receive
    ) -> object:
        try:
            grant = let_in(worker, endpoint, scope["method"], scope["headers"], scope.get("client"))
            media_type(headers)
            body = await self._body(worker, headers, receive)
            request = understood(endpoint, b"" if scope["method"] == "GET" else body, grant)
            if _inline(worker, endpoint):
                return endpoint.answer(worker, request, grant)
            return await self._pools[endpoint.pool].run(worker.config, endpoint.answer, worker, request, grant)
        except asyncio.CancelledError:
            raise self._if_late(504) from None
        except Exception as error:
            raise as_http(error, scope["path"]) from None

    async def _body(self, worker: Worker, headers: Headers, receive: Receive) -> bytes:
        try:
            return await read_body(headers, receive, worker.config.max_body_bytes)
        except asyncio.CancelledError:
            raise self._if_late(408) from None

    def _if_late(self, status: int) -> BaseException:
        """What a cancelled request is: late, if the tick cancelled it; else the server is ending."""
        task = asyncio.current_task()
        if task not in self._late:
            return asyncio.CancelledError()
        task.uncancel()
        return late(status)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Carry counts over and end what is late. One timer for all requests: one each costs more than many answers."""
        self._ticking = True
        loop.call_later(TICK_S, self._tick, loop)
        worker = self._worker()
        if worker is None:
            return
        worker.metrics.carry_over(len(self._begun))
        limit = perf_counter() - worker.config.timeout_s
        for task, began in list(self._begun.items()):
            if began < limit and task not in self._late:
                self._late.add(task)
                task.cancel()


def _open(worker: Worker, path: str, method: str) -> tuple[int, bytes]:
    """What needs no token and names no device: readiness and the OpenAPI document. Raises HttpError 405."""
    if method not in _READS or path not in _OURS:
        raise not_allowed(_READS)
    if path == "/docs.json":
        return 200, _document(worker.gatekeeper.asks)
    readiness = worker.readiness()
    return 200 if readiness.ready else 503, json_of({"ready": readiness.ready, "reasons": readiness.reasons})


@lru_cache(maxsize=2)
def _document(tokens: bool) -> bytes:
    from bentos.web.openapi import document

    return json_of(document(tokens=tokens))


def _inline(worker: Worker, endpoint: Endpoint) -> bool:
    """Whether the event loop itself may answer: nothing is waited for."""
    return endpoint.pool == "none" or (endpoint.pool == "features" and worker.application.inline)
