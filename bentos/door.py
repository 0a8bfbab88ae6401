"""The HTTP door: strict requests in, one error shape out.

The outermost ASGI app, around BentoML's own: its middlewares cost as much as a whole answer, and its request handling
four times that (docs/serving.md), answers 4xx as a list, masks 5xx, accepts bodies of any size, logs rejected input
(coordinates!) with a traceback and knows no GET. What they would have done for our paths is done here: request ids,
timeouts, metrics. BentoML's documentation, health and metrics routes stay as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from bentos.config import ServingConfig
from bentos.gatekeeper import EVERYTHING, FORBIDDEN, Gatekeeper, Grant, Refusal, authorize
from bentos.http import (
    App,
    Headers,
    HttpError,
    Receive,
    Scope,
    Send,
    json_of,
    late,
    media_type,
    not_allowed,
    parse,
    read_body,
    refused,
    request_id,
    send_json,
    with_id,
)
from bentos.messages import ConfirmRequest, ModelRequest, Question, ScoreRequest, WhereParkedRequest
from bentos.messages_explain import CorrectRequest, ExplainRequest
from bentos.ports import NothingWeighedError, NotReadyError, Readiness, UnknownAnswerError
from parked.errors import ConflictError, UserError
from parked.tokens import Kind

if TYPE_CHECKING:
    from bentos.application import Application
    from bentos.hindsight import Hindsight
    from bentos.metrics import Metrics

log = structlog.get_logger(__name__)

TICK_S = 0.25
"""How often counts are carried over to the metrics and late requests looked for."""


class Worker(Protocol):
    """What the door needs of ``bentos.runtime.Runtime``."""

    config: ServingConfig
    metrics: Metrics
    application: Application
    hindsight: Hindsight
    gatekeeper: Gatekeeper

    def readiness(self) -> Readiness:
        """Whether questions can be answered."""
        ...


@dataclass(frozen=True)
class Endpoint:
    """How a path is answered."""

    request: type[Question]
    answer: Callable[[Worker, Any, Grant], object]
    """(worker, request, what its sender may) → answer"""
    pool: str
    """Which thread it may block: ``features`` only where the store's reads block, ``none`` never."""
    methods: tuple[str, ...] = ("POST",)
    kind: Kind = "read"
    """What a token must be for."""


ENDPOINTS = {
    "/where_parked": Endpoint(WhereParkedRequest, lambda w, ask, _: w.application.where_parked(ask), "features"),
    "/score": Endpoint(ScoreRequest, lambda w, ask, _: w.application.score(ask), "features"),
    "/confirm": Endpoint(ConfirmRequest, lambda w, ask, _: w.application.confirm(ask), "labels", kind="write"),
    "/correct": Endpoint(CorrectRequest, lambda w, ask, may: w.hindsight.correct(ask, may), "labels", kind="write"),
    "/explain": Endpoint(ExplainRequest, lambda w, ask, may: w.hindsight.explain(ask, may), "explain"),
    "/model": Endpoint(ModelRequest, lambda w, _ask, _may: w.application.model(), "none", ("GET", "POST")),
}
_SOON = ((b"retry-after", b"1"),)
_QUEUES = {"explain": 8}
"""Requests that may wait for a pool, where that is not ``max_waiting``: explaining takes tens of milliseconds."""

_OURS = ("/readyz", "/docs.json")
_BENTOML_PATHS = ("/metrics", "/livez", "/healthz", "/schema.json", "/")
_BENTOML_PREFIXES = ("/static_content/", "/assets/")
_READS = ("GET", "HEAD")


class Door:
    """An ASGI app around BentoML's. ``worker()`` is None until BentoML has built the service."""

    def __init__(self, app: App, worker: Callable[[], Worker | None]) -> None:
        self._app = app
        self._worker = worker
        # One thread each: Feast's embedded SQLite store is one connection, and the work is Python anyway.
        self._pools = {pool: _Pool(pool) for pool in ("features", "labels", "explain")}
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
        bentomls = endpoint is None and (path in _BENTOML_PATHS or path.startswith(_BENTOML_PREFIXES))
        if bentomls and scope["method"] in _READS:
            if worker is not None:
                worker.metrics.carry_over(len(self._begun))
            return await self._app(scope, receive, with_id(send, ident))
        if not self._ticking:
            self._tick(asyncio.get_running_loop())
        task = asyncio.current_task()
        assert task is not None
        self._begun[task] = began
        extra: tuple[tuple[bytes, bytes], ...] = ()
        try:
            if worker is None:
                raise HttpError(503, "not_ready", "the service is starting; ask again", headers=_SOON)
            if endpoint is not None:
                status, body = 200, json_of(await self._answer(worker, endpoint, scope, headers, receive))
            elif bentomls or path in _OURS:
                status, body = _open(worker, path, scope["method"])
            else:
                raise HttpError(404, "not_found", f"no such path; see /docs.json for {', '.join(ENDPOINTS)}")
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

    async def _answer(
        self, worker: Worker, endpoint: Endpoint, scope: Scope, headers: Headers, receive: Receive
    ) -> object:
        if scope["method"] not in endpoint.methods:
            raise not_allowed(endpoint.methods)
        grant = authorize(worker.gatekeeper, scope)  # before anything is read: strangers cost nothing
        if isinstance(grant, Refusal):
            raise refused(grant)
        request = await self._request(worker, endpoint, scope, headers, receive)
        if grant is not EVERYTHING:
            _require(grant, endpoint.kind, request.about())
        try:
            if endpoint.pool == "none" or (endpoint.pool == "features" and worker.application.inline):
                return endpoint.answer(worker, request, grant)
            return await self._pools[endpoint.pool].run(worker.config, endpoint.answer, worker, request, grant)
        except NotReadyError as error:
            raise HttpError(503, "not_ready", str(error), headers=_SOON) from None
        except NothingWeighedError as error:
            raise HttpError(404, "nothing_weighed", str(error)) from None
        except UnknownAnswerError as error:
            raise HttpError(404, "unknown_answer", str(error)) from None
        except ConflictError as error:
            raise HttpError(409, "conflict", str(error)) from None
        except UserError as error:
            raise HttpError(400, "invalid_request", str(error)) from None
        except HttpError:
            raise
        except asyncio.CancelledError:
            raise self._if_late(504) from None
        except Exception as error:
            # The text may hold the request's values; log what and where, not the values.
            log.error("request_failed", path=scope["path"], error=type(error).__name__, exc_info=True)
            raise HttpError(500, "internal", "the request failed; the server's log says why") from None

    async def _request(
        self, worker: Worker, endpoint: Endpoint, scope: Scope, headers: Headers, receive: Receive
    ) -> Question:
        media_type(headers)
        try:
            body = await read_body(headers, receive, worker.config.max_body_bytes)
        except asyncio.CancelledError:
            raise self._if_late(408) from None
        if scope["method"] == "GET" or (not body and endpoint.request is ModelRequest):
            return endpoint.request()
        return parse(endpoint.request, body)

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
    from bentos.openapi import document

    return json_of(document(tokens=tokens))


def _require(grant: Grant, kind: Kind, devices: Sequence[str]) -> None:
    """Raises HttpError 403 unless the token is for this and for each device, known to us or not."""
    if not grant.may(kind) or not all(map(grant.allows, devices)):
        raise refused(FORBIDDEN)
    if len(devices) > 1:
        grant.charge(len(devices) - 1)


class _Pool:
    """One thread for work that may block; a full queue or a stuck store is a quick 503, not a pile-up."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting = 0
        self._stuck: Future[object] | None = None

    async def run(self, config: ServingConfig, work: Callable[..., object], *arguments: object) -> object:
        """``work(*arguments)`` on the thread. Raises HttpError 503."""
        if self._stuck is not None and not self._stuck.done():
            raise HttpError(503, "store_slow", "the store does not answer; ask again", headers=_SOON)
        if self._waiting >= _QUEUES.get(self._name, config.max_waiting):
            raise HttpError(503, "overloaded", "too many requests are waiting; ask again", headers=_SOON)
        # Beside the hot path there is time: the first confirmation opens a database, an explanation loads a model.
        patience = config.store_timeout_s if self._name == "features" else 0.9 * config.timeout_s
        self._waiting += 1
        doing = self._threads.submit(work, *arguments)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(doing), patience)
        except TimeoutError:
            if not doing.cancel():
                self._stuck = doing  # it still blocks the thread: nobody else need wait to learn that
            raise HttpError(503, "store_slow", "the store did not answer in time; ask again", headers=_SOON) from None
        finally:
            self._waiting -= 1
