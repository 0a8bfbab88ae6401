"""The OpenAPI document at ``/docs.json``: every path, request, answer and error as the door really gives them.

Built from the messages themselves. BentoML's own document knows neither our errors nor GET, names no version and shows
its own error schema; its Swagger page at ``/`` reads this one.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from bentos.messages import (
    ConfirmAnswer,
    ConfirmRequest,
    ErrorAnswer,
    ModelAnswer,
    ModelRequest,
    ReadyAnswer,
    ScoreAnswer,
    ScoreRequest,
    WhereParkedAnswer,
    WhereParkedRequest,
)
from bentos.messages_explain import CorrectAnswer, CorrectRequest, ExplainAnswer, ExplainRequest
from bentos.web.openapi_examples import EXAMPLES

API_VERSION: Final = "1.0.0"
"""Of the contract: a change that breaks a client raises the first number, a new field or path the second."""

_DESCRIPTION: Final = (
    "Where did this phone's owner park? Probabilities are a model's, places and times are facts. Times are ISO 8601 "
    "with an offset, in answers UTC; lengths are metres, durations seconds. Requests are strict: no unknown field, no "
    "NaN, no key twice."
)

ERRORS: Final[dict[int, tuple[str, str, str]]] = {
    400: ("invalid_json", "no JSON, a key twice, or a moment still to come", "expected value at line 1 column 1"),
    401: ("unauthorized", "no token, or one worth nothing", "send a valid token: Authorization: Bearer <token>"),
    403: ("forbidden", "the token is not for this device or kind of request", "this token may not do that"),
    404: (
        "unknown_answer",
        "no such answer for this token; nothing_weighed: without a candidate",
        "no such answer: never given, expired, or not yours",
    ),
    405: ("method_not_allowed", "another method", "use POST"),
    408: ("request_timeout", "the request did not arrive in time", "the request did not arrive in time"),
    409: ("conflict", "it clashes with what is stored", "this key was used for another confirmation; choose a new key"),
    413: ("too_large", "the body is larger than PARKED_SERVE_MAX_BODY_BYTES", "the body is larger than 1048576 bytes"),
    415: ("unsupported_media_type", "another media type than application/json", "send application/json"),
    422: ("invalid_request", "JSON, but not this request; field names the place", "Field required"),
    429: ("rate_limited", "this token asks faster than it may", "too many requests with this token; slow down"),
    431: (
        "head_too_large",
        "the line and headers are larger than 32 KiB",
        "the request's headers are larger than 32768 bytes",
    ),
    500: ("internal", "our mistake, in the server's log", "the request failed; the server's log says why"),
    504: ("timeout", "the request took too long", "the request took too long; ask again"),
    503: (
        "not_ready",
        "starting, overloaded, the store is slow, or labels cannot be stored now: ask again",
        "no model is published",
    ),
}
"""Status → a code, when it is given, an example's message. The one shape of all of them is ErrorAnswer."""

_REQUEST_ID: Final = {
    "name": "x-request-id",
    "in": "header",
    "required": False,
    "description": "1 to 128 visible ASCII characters that come back with the answer; else one is made",
    "schema": {"type": "string"},
}
_HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "Bearer"}},
    405: {"Allow": {"schema": {"type": "string"}}},
    429: {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "seconds"}},
    503: {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "seconds; not always there"}},
}
_ALWAYS: Final = (400, 401, 403, 405, 408, 413, 415, 422, 429, 431, 500, 503, 504)

_OPERATIONS: Final[tuple[tuple[str, str, type[BaseModel] | None, type[BaseModel], str, tuple[int, ...]], ...]] = (
    ("/where_parked", "post", WhereParkedRequest, WhereParkedAnswer, "Where is the vehicle of this phone's owner?", ()),
    ("/score", "post", ScoreRequest, ScoreAnswer, "Probabilities of many candidates at once, without a decision.", ()),
    ("/confirm", "post", ConfirmRequest, ConfirmAnswer, "A person says: it was (not) parked there then.", (409,)),
    ("/correct", "post", CorrectRequest, CorrectAnswer, "A person says: this answer was wrong.", (404, 409)),
    ("/explain", "post", ExplainRequest, ExplainAnswer, "Why was this answered? By the model that did.", (404,)),
    ("/model", "get", None, ModelAnswer, "What is being served.", ()),
    ("/model", "post", ModelRequest, ModelAnswer, "What is being served, for clients that only POST.", ()),
)
"""path, method, request, answer, in a sentence, errors beside those that every path has."""


def document(*, tokens: bool) -> dict[str, Any]:
    """The OpenAPI 3.1 document. ``tokens``: whether a bearer token is asked for."""
    paths: dict[str, dict[str, Any]] = {}
    for path, method, request, answer, summary, errors in _OPERATIONS:
        paths.setdefault(path, {})[method] = _operation(path, method, request, answer, summary, errors)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Where You Parked",
            "version": API_VERSION,
            "description": _DESCRIPTION,
        },
        "servers": [{"url": "."}],
        "tags": [
            {"name": "questions", "description": "read: a token needs `read` and the device"},
            {"name": "labels", "description": "write: a token needs `write` and the device"},
            {"name": "service", "description": "name no device and are open to all"},
        ],
        "security": [{"bearer": []}] if tokens else [{}, {"bearer": []}],
        "paths": {**paths, **_infrastructure()},
        "components": {
            "schemas": _schemas(),
            "parameters": {"RequestId": _REQUEST_ID},
            "responses": {str(status): _error(status) for status in sorted(ERRORS)},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Made by `parked tokens create`; asked for where PARKED_SERVE_AUTH=tokens.",
                }
            },
        },
    }


def _operation(
    path: str,
    method: str,
    request: type[BaseModel] | None,
    answer: type[BaseModel],
    summary: str,
    errors: tuple[int, ...],
) -> dict[str, Any]:
    writes = path in ("/confirm", "/correct")
    operation: dict[str, Any] = {
        "parameters": [{"$ref": "#/components/parameters/RequestId"}],
        "operationId": path.strip("/") if method == "post" and path != "/model" else f"{method}_{path.strip('/')}",
        "summary": summary,
        "description": " ".join((answer.__doc__ or "").split()).replace("``", "`"),
        "tags": ["labels" if writes else "questions"],
        "responses": {
            "200": _content(answer, "the answer", EXAMPLES.get(answer, {})),
            **{str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted({*_ALWAYS, *errors})},
        },
    }
    if request is not None:
        needed = request is not ModelRequest
        operation["requestBody"] = {"required": needed, **_content(request, None, EXAMPLES.get(request, {}))}
    return operation


def _content(model: type[BaseModel], description: str | None, examples: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": _ref(model)}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    body: dict[str, Any] = {"content": {"application/json": content}}
    return body if description is None else {"description": description, **body}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _error(status: int) -> dict[str, Any]:
    code, when, message = ERRORS[status]
    error: dict[str, Any] = {"code": code, "message": message}
    if status == 422:
        error["field"] = "device_id"
    answer = _content(ErrorAnswer, when, {code: {"error": error}})
    return {**answer, "headers": _HEADERS[status]} if status in _HEADERS else answer


def _infrastructure() -> dict[str, Any]:
    def text(summary: str, kind: str = "text/plain") -> dict[str, Any]:
        answer = {"description": "it is", "content": {kind: {"schema": {"type": "string"}}}}
        return {"get": _open(summary, {"200": answer})}

    ready = EXAMPLES[ReadyAnswer]
    document_itself = {
        "description": "OpenAPI 3.1",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    return {
        "/livez": text("Does the process live?"),
        "/readyz": {
            "get": _open(
                "Can questions be answered? With the reasons where not, or where a newer model was refused.",
                {
                    "200": _content(ReadyAnswer, "yes", {"ready": ready["ready"]}),
                    "503": _content(ReadyAnswer, "not yet", {"not ready": ready["not ready"]}),
                },
            )
        },
        "/metrics": text("Prometheus metrics of all workers."),
        "/docs.json": {"get": _open("This document.", {"200": document_itself})},
    }


def _open(summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    refused = {"405": {"$ref": "#/components/responses/405"}}
    return {"summary": summary, "tags": ["service"], "security": [], "responses": {**responses, **refused}}


def _schemas() -> dict[str, Any]:
    requests: list[type[BaseModel]] = [o[2] for o in _OPERATIONS if o[2] is not None]
    answers: list[type[BaseModel]] = [*(o[3] for o in _OPERATIONS), ErrorAnswer, ReadyAnswer]
    told = [(model, "validation") for model in requests] + [(model, "serialization") for model in answers]
    _, schemas = models_json_schema(
        list(dict.fromkeys(told)),  # type: ignore[arg-type]
        ref_template="#/components/schemas/{model}",
    )
    found: dict[str, Any] = schemas["$defs"]
    return found
