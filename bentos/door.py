"""The HTTP door: strict requests in, one error shape out, answered inside BentoML's own middlewares.

An ASGI layer (``Service.add_asgi_middleware``) rather than BentoML's request handling, because that one answers 4xx as
a list, masks 5xx, accepts bodies of any size, logs rejected input (coordinates!) with a traceback, knows no GET, and
costs three times the work of the answer itself (DESIGN.md §8). BentoML's metrics, timeout, health and
documentation routes stay in force around and beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from bentos.config import ServingConfig
from bentos.gatekeeper import EVERYTHING, FORBIDDEN, Gatekeeper, Grant, Refusal, authorize
from bentos.messages import (
    ConfirmRequest,
    ErrorAnswer,
    Fault,
    ModelRequest,
    Question,
    ScoreRequest,
    WhereParkedRequest,
)
from bentos.messages_explain import CorrectRequest, ExplainRequest
from bentos.ports import NotReadyError, Readiness, UnknownAnswerError
from parked.errors import ConflictError, UserError
from parked.tokens import Kind

if TYPE_CHECKING:
    from bentos.application import Application
    from bentos.hindsight import Hindsight
    from bentos.metrics import Metrics

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


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


class HttpError(Exception):
    """An answer that is an error."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        field: str | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.headers = headers
        super().__init__(message)

    @classmethod
    def of(cls, refusal: Refusal) -> HttpError:
        """What the gatekeeper says."""
        return cls(refusal.status, refusal.code, refusal.message, headers=refusal.headers())


@dataclass(frozen=True)
class _Endpoint:
    """How a path is answered: the request's type, the use case, and which pool of threads it may block."""

    request: type[Question]
    answer: Callable[[Worker, Any, Grant], BaseModel]
    """(worker, request, what its sender may) → answer"""
    pool: str
    methods: tuple[str, ...] = ("POST",)
    kind: Kind = "read"
    """What a token must be for."""


_ENDPOINTS = {
    "/where_parked": _Endpoint(WhereParkedRequest, lambda w, ask, _: w.application.where_parked(ask), "features"),
    "/score": _Endpoint(ScoreRequest, lambda w, ask, _: w.application.score(ask), "features"),
    "/confirm": _Endpoint(ConfirmRequest, lambda w, ask, _: w.application.confirm(ask), "labels", kind="write"),
    "/correct": _Endpoint(CorrectRequest, lambda w, ask, may: w.hindsight.correct(ask, may), "labels", kind="write"),
    "/explain": _Endpoint(ExplainRequest, lambda w, ask, may: w.hindsight.explain(ask, may), "explain"),
    "/model": _Endpoint(ModelRequest, lambda w, _ask, _may: w.application.model(), "none", ("GET", "POST")),
}
_SOON = ((b"retry-after", b"1"),)
_QUEUES = {"explain": 8}
"""Requests that may wait for a pool, where that is not ``max_waiting``: explaining takes tens of milliseconds."""

_BENTOML_PATHS = ("/metrics", "/livez", "/healthz", "/docs.json", "/schema.json", "/")
_BENTOML_PREFIXES = ("/static_content/", "/assets/")


class Door:
    """ASGI middleware. ``worker()`` is None until BentoML has built the service."""

    def __init__(self, app: App, worker: Callable[[], Worker | None]) -> None:
        self._app = app
        self._worker = worker
        # One thread: Feast's embedded online store is one SQLite connection, and the work is Python anyway.
        self._pools = {
            "features": ThreadPoolExecutor(1, thread_name_prefix="features"),
            "labels": ThreadPoolExecutor(1, thread_name_prefix="labels"),
            "explain": ThreadPoolExecutor(1, thread_name_prefix="explain"),
        }
        self._waiting = dict.fromkeys(self._pools, 0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer our own paths; hand BentoML its own; 404 the rest."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        path: str = scope["path"]
        endpoint = _ENDPOINTS.get(path)
        if endpoint is None and (path in _BENTOML_PATHS or path.startswith(_BENTOML_PREFIXES)):
            return await self._app(scope, receive, send)
        worker = self._worker()
        try:
            if worker is None:
                raise HttpError(503, "not_ready", "the service is starting; ask again")
            if path == "/readyz":
                return await _send_readiness(send, worker.readiness())
            if endpoint is None:
                raise HttpError(404, "not_found", f"no such path; see /docs.json for {', '.join(_ENDPOINTS)}")
            answer = await self._answer(worker, endpoint, scope, receive)
        except HttpError as error:
            return await _send_error(send, worker, error)
        await _send_json(send, 200, answer.__pydantic_serializer__.to_json(answer))

    async def _answer(self, worker: Worker, endpoint: _Endpoint, scope: Scope, receive: Receive) -> BaseModel:
        grant = authorize(worker.gatekeeper, scope)  # before anything is read: strangers cost nothing
        if isinstance(grant, Refusal):
            raise HttpError.of(grant)
        request = await _parse(endpoint, scope, receive, worker.config.max_body_bytes)
        _require(grant, endpoint.kind, request.about())
        try:
            if endpoint.pool == "none":
                return endpoint.answer(worker, request, grant)
            return await self._on_thread(worker, endpoint, request, grant)
        except NotReadyError as error:
            raise HttpError(503, "not_ready", str(error), headers=_SOON) from None
        except UnknownAnswerError as error:
            raise HttpError(404, "unknown_answer", str(error)) from None
        except ConflictError as error:
            raise HttpError(409, "conflict", str(error)) from None
        except UserError as error:
            raise HttpError(400, "invalid_request", str(error)) from None
        except (HttpError, asyncio.CancelledError):
            raise
        except Exception as error:
            # The text may hold the request's values; log what and where, not the values.
            log.error("request_failed", path=scope["path"], error=type(error).__name__, exc_info=True)
            raise HttpError(500, "internal", "the request failed; the server's log says why") from None

    async def _on_thread(self, worker: Worker, endpoint: _Endpoint, request: Question, grant: Grant) -> BaseModel:
        """Run the use case on its pool; a full queue or a slow store is a quick 503, not a pile-up."""
        pool = endpoint.pool
        if self._waiting[pool] >= _QUEUES.get(pool, worker.config.max_waiting):
            raise HttpError(503, "overloaded", "too many requests are waiting; ask again", headers=_SOON)
        loop = asyncio.get_running_loop()
        self._waiting[pool] += 1
        try:
            work = loop.run_in_executor(self._pools[pool], endpoint.answer, worker, request, grant)
            config = worker.config
            # Beside the hot path there is time: the first confirmation opens the database, an explanation loads a model.
            patience = config.store_timeout_s if pool == "features" else 0.9 * config.timeout_s
            return await asyncio.wait_for(work, patience)
        except TimeoutError:
            raise HttpError(503, "store_slow", "the store did not answer in time; ask again", headers=_SOON) from None
        finally:
            self._waiting[pool] -= 1


def _require(grant: Grant, kind: Kind, devices: Sequence[str]) -> None:
    """Raises HttpError 403 unless the token is for this and for each device, known to us or not."""
    if grant is EVERYTHING:
        return
    if not grant.may(kind) or not all(map(grant.allows, devices)):
        raise HttpError.of(FORBIDDEN)
    if len(devices) > 1:
        grant.charge(len(devices) - 1)


async def _parse(endpoint: _Endpoint, scope: Scope, receive: Receive, limit: int) -> Question:
    """The validated request. Raises HttpError 400, 405, 413, 415, 422."""
    method: str = scope["method"]
    if method not in endpoint.methods:
        raise HttpError(405, "method_not_allowed", f"use {' or '.join(endpoint.methods)}")
    headers = dict(scope["headers"])
    kind = headers.get(b"content-type", b"application/json").split(b";")[0].strip().lower()
    if kind not in (b"application/json", b""):
        raise HttpError(415, "unsupported_media_type", "send application/json")
    body = await _body(headers, receive, limit)
    if method == "GET" or (not body and endpoint.request is ModelRequest):
        return endpoint.request()
    try:
        return endpoint.request.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise HttpError(400, "invalid_json", first["msg"]) from None
        field = ".".join(str(part) for part in first["loc"]) or None
        raise HttpError(422, "invalid_request", first["msg"], field) from None


async def _body(headers: dict[bytes, bytes], receive: Receive, limit: int) -> bytes:
    too_large = HttpError(413, "too_large", f"the body is larger than {limit} bytes")
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > limit:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HttpError(400, "disconnected", "the client went away")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large
        chunks.append(chunk)
        if not message.get("more_body"):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _send_readiness(send: Send, readiness: Readiness) -> None:
    body = to_json({"ready": readiness.ready, "reasons": readiness.reasons})
    await _send_json(send, 200 if readiness.ready else 503, body)


async def _send_error(send: Send, worker: Worker | None, error: HttpError) -> None:
    if worker is not None:
        worker.metrics.errors.labels(error.code).inc()
    fault = ErrorAnswer(error=Fault(code=error.code, message=error.message, field=error.field))
    await _send_json(send, error.status, fault.model_dump_json(exclude_none=True).encode(), error.headers)


async def _send_json(send: Send, status: int, body: bytes, more: Sequence[tuple[bytes, bytes]] = ()) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
