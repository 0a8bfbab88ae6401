"""What may be asked: the paths, who may ask there, how a question is understood, and what its answers' errors are.

Everything here is for a request that has arrived; how it arrives and how long it may take is ``bentos.web.door``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from bentos.config import ServingConfig
from bentos.messages import ConfirmRequest, ModelRequest, Question, ScoreRequest, WhereParkedRequest
from bentos.messages_explain import CorrectRequest, ExplainRequest
from bentos.ports import NothingWeighedError, NotReadyError, Readiness, UnknownAnswerError
from bentos.web.gatekeeper import EVERYTHING, FORBIDDEN, Gatekeeper, Grant, Refusal, authorize
from bentos.web.http import SOON, HeaderList, HttpError, not_allowed, parse, refused
from parked.errors import ConflictError, UserError
from parked.tokens import Kind

if TYPE_CHECKING:
    from bentos.application import Application
    from bentos.feedback.hindsight import Hindsight
    from bentos.metrics.prometheus import Metrics

log = structlog.get_logger(__name__)


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
    kind: Kind | None = "read"
    """What a token must be for; None: any token will do."""


ENDPOINTS = {
    "/where_parked": Endpoint(WhereParkedRequest, lambda w, ask, _: w.application.where_parked(ask), "features"),
    "/score": Endpoint(ScoreRequest, lambda w, ask, _: w.application.score(ask), "features"),
    "/confirm": Endpoint(ConfirmRequest, lambda w, ask, _: w.application.confirm(ask), "labels", kind="write"),
    "/correct": Endpoint(CorrectRequest, lambda w, ask, may: w.hindsight.correct(ask, may), "labels", kind="write"),
    "/explain": Endpoint(ExplainRequest, lambda w, ask, may: w.hindsight.explain(ask, may), "explain"),
    "/model": Endpoint(ModelRequest, lambda w, _ask, _may: w.application.model(), "none", ("GET", "POST"), kind=None),
}
SHORT = tuple(path for path, endpoint in ENDPOINTS.items() if endpoint.pool == "features")
"""Those that are mostly answered without waiting (``bentos.connections.protocol``)."""


def let_in(worker: Worker, endpoint: Endpoint, method: str, headers: HeaderList, client: Sequence[Any] | None) -> Grant:
    """What the sender of a request may. Raises HttpError 405, 401 and what else the gatekeeper says.

    Nothing of the body is needed: strangers cost nothing.
    """
    if method not in endpoint.methods:
        raise not_allowed(endpoint.methods)
    grant = authorize(worker.gatekeeper, headers, client)
    if isinstance(grant, Refusal):
        raise refused(grant)
    return grant


def understood(endpoint: Endpoint, body: bytes, grant: Grant) -> Question:
    """The question a body asks, which its sender may ask. Raises HttpError 400, 422, 403, 429."""
    if not body and endpoint.request is ModelRequest:
        return endpoint.request()
    request = parse(endpoint.request, body)
    if grant is not EVERYTHING:
        _require(grant, endpoint.kind, request.about())
    return request


def _require(grant: Grant, kind: Kind | None, devices: Sequence[str]) -> None:
    """Raises HttpError 403 unless the token is for this and for each device, known to us or not."""
    if (kind is not None and not grant.may(kind)) or not all(map(grant.allows, devices)):
        raise refused(FORBIDDEN)
    if len(devices) > 1:
        grant.charge(len(devices) - 1)


def as_http(error: Exception, path: str) -> HttpError:
    """What is told of an error while answering."""
    match error:
        case HttpError():
            return error
        case NotReadyError():
            return HttpError(503, "not_ready", str(error), headers=SOON)
        case NothingWeighedError():
            return HttpError(404, "nothing_weighed", str(error))
        case UnknownAnswerError():
            return HttpError(404, "unknown_answer", str(error))
        case ConflictError():
            return HttpError(409, "conflict", str(error))
        case UserError():
            return HttpError(400, "invalid_request", str(error))
    # The text may hold the request's values; log what and where, not the values.
    log.error("request_failed", path=path, error=type(error).__name__, exc_info=error)
    return HttpError(500, "internal", "the request failed; the server's log says why")
