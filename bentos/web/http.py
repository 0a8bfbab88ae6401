"""HTTP as the door speaks it: bounded bodies in, one error shape out, an id on every answer."""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from bentos.messages import ErrorAnswer, Fault
from bentos.web.repeated import repeated_key
from parked.tokens import Refusal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = dict[bytes, bytes]
HeaderList = Sequence[tuple[bytes, bytes]]

Request = TypeVar("Request", bound=BaseModel)

_OWN_ID = re.compile(rb"[\x21-\x7e]{1,128}")
CLOSE = (b"connection", b"close")
"""This connection ends with the answer."""
SOON = ((b"retry-after", b"1"),)
"""It is worth asking again."""

_random = random.Random()
"""Seeded by the system, once per process: asking it for every request costs more than routing the request."""

_JSON = (b"content-type", b"application/json")


class HttpError(Exception):
    """An answer that is an error."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        field: str | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.headers = headers
        super().__init__(message)

    def body(self) -> bytes:
        """The one shape of every error."""
        fault = ErrorAnswer(error=Fault(code=self.code, message=self.message, field=self.field))
        return fault.model_dump_json(exclude_none=True).encode()


class Reply(NamedTuple):
    """An answer ready to be sent."""

    status: int
    body: bytes
    ident: bytes
    """Of the request."""
    headers: HeaderList
    """Beyond those every answer has."""


def request_id(headers: Headers) -> bytes:
    """The client's own ``x-request-id`` where it is 1 to 128 visible ASCII characters; else one made here."""
    told = headers.get(b"x-request-id")
    if told is not None and _OWN_ID.fullmatch(told):
        return told
    return b"%032x" % _random.getrandbits(128)


def media_type(headers: Headers) -> None:
    """Raises HttpError 415 for anything but JSON, and for what is compressed."""
    coded = headers.get(b"content-encoding")
    if coded is not None and coded.strip().lower() not in (b"identity", b""):
        raise HttpError(415, "unsupported_media_type", "send application/json, not compressed")
    kind = headers.get(b"content-type", b"application/json")
    if kind != b"application/json" and kind.split(b";")[0].strip().lower() not in (b"application/json", b""):
        raise HttpError(415, "unsupported_media_type", "send application/json")


async def read_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    """The whole body. Raises HttpError 413 beyond ``limit`` bytes, before they are read where that can be known."""
    too_large = f"the body is larger than {limit} bytes"
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > limit:
        raise HttpError(413, "too_large", too_large, headers=(CLOSE,))
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HttpError(400, "disconnected", "the client went away")
        chunk: bytes = message.get("body", b"")
        more = message.get("more_body")
        if not more and not chunks and len(chunk) <= limit:
            return chunk
        size += len(chunk)
        if size > limit:
            raise HttpError(413, "too_large", too_large, headers=(CLOSE,))
        chunks.append(chunk)
        if not more:
            return b"".join(chunks)


def parse(kind: type[Request], body: bytes) -> Request:
    """The validated request. Raises HttpError 400 for what is no JSON or holds a key twice, 422 naming the first field
    that is wrong."""
    try:
        request = kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise HttpError(400, "invalid_json", first["msg"]) from None
        field = ".".join(str(part) for part in first["loc"]) or None
        raise HttpError(422, "invalid_request", first["msg"].removeprefix("Value error, "), field) from None
    twice = repeated_key(body, request)
    if twice is not None:
        raise HttpError(400, "invalid_json", "an object holds this key twice", twice)
    return request


def no_such_path(paths: Iterable[str]) -> HttpError:
    """A path that is not there; ``paths`` are."""
    return HttpError(404, "not_found", f"no such path; see /docs.json for {', '.join(paths)}")


def no_sockets() -> HttpError:
    """The answer to a WebSocket's handshake."""
    return HttpError(404, "not_found", "there are no web sockets here; see /docs.json")


def not_allowed(methods: Sequence[str]) -> HttpError:
    """Another method than a path has."""
    allowed = ", ".join(methods)
    return HttpError(405, "method_not_allowed", f"use {allowed}", headers=((b"allow", allowed.encode()),))


def refused(refusal: Refusal) -> HttpError:
    """What the gatekeeper says."""
    return HttpError(refusal.status, refusal.code, refusal.message, headers=tuple(refusal.headers()))


def late(status: int) -> HttpError:
    """The answer to a request that took too long: 408 while it was being sent, 504 after."""
    if status == 408:
        return HttpError(408, "request_timeout", "the request did not arrive in time", headers=(CLOSE,))
    return HttpError(504, "timeout", "the request took too long; ask again")


def json_of(answer: object) -> bytes:
    """An answer as JSON; what is not finite is null. Bytes are JSON already."""
    if isinstance(answer, bytes):
        return answer
    if isinstance(answer, BaseModel):
        return answer.__pydantic_serializer__.to_json(answer)
    return to_json(answer, inf_nan_mode="null")


async def send_json(
    send: Send, status: int, body: bytes, ident: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    """Send an answer with its id."""
    fixed = [_JSON, (b"content-length", b"%d" % len(body)), (b"x-request-id", ident), *headers]
    await send({"type": "http.response.start", "status": status, "headers": fixed})
    await send({"type": "http.response.body", "body": body})


def theirs(send: Send, ident: bytes, paths: Iterable[str]) -> Send:
    """``send`` for answers that others make: with the request's id, and their errors in our shape. ``paths``: ours."""
    refused = False

    async def sending(message: MutableMapping[str, Any]) -> None:
        nonlocal refused
        if message["type"] == "http.response.start":
            status: int = message["status"]
            refused = status >= 400
            if refused:
                error = no_such_path(paths) if status == 404 else HttpError(status, "internal", "the request failed")
                return await send_json(send, status, error.body(), ident)
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", ident)]
        elif refused:
            return
        await send(message)

    return sending
