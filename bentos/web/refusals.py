"""What is refused before it is a request for anybody."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from bentos.web.http import CLOSE, HeaderList, HttpError

HEAD_BYTES: Final = 32_768
"""Of a request's line and headers. Tokens and ids take less than one thousand."""

NO_HTTP: Final = HttpError(400, "invalid_http", "Invalid HTTP request received.", headers=(CLOSE,))
NO_TUNNEL: Final = HttpError(400, "invalid_http", "this server opens no tunnels", headers=(CLOSE,))
TOO_LONG: Final = HttpError(
    431, "head_too_large", f"the request's headers are larger than {HEAD_BYTES} bytes", headers=(CLOSE,)
)

TOO_MUCH_AROUND: Final = HttpError(
    400, "invalid_http", "the body's chunk extensions or trailers are too long", headers=(CLOSE,)
)
CHUNK_BYTES: Final = 8
"""What each byte of a body in chunks may bring with it: its chunk's size and two ends of lines, and some more."""

_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Za-z:.]+\])(?::[0-9]*)?")


class StoppedError(Exception):
    """Of a parser's callback: what has come is refused, and what follows it is nobody's request."""


@lru_cache(maxsize=256)
def sound_host(value: bytes | None) -> bool:
    """Whether a ``Host`` names a host (RFC 9112, 3.2); one of no characters is one. None: there is none.

    >>> sound_host(b"parked.example:3000"), sound_host(b"[::1]"), sound_host(b"a b"), sound_host(None)
    (True, True, False, False)
    """
    return value is not None and _HOST.fullmatch(value) is not None


def unsound(version: str, url: bytes, headers: HeaderList) -> HttpError | None:
    """Why a head (names in lower case) is refused that the parser took; None: it is sound.

    Whoever stands between us and a client may read such a head in another way, and take part of a body for the next
    request, or ours for another host's (RFC 9112, 3.2 and 6.1).
    """
    hosts = [value for name, value in headers if name == b"host"]
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if version not in ("1.1", "1.0"):
        return _invalid("this server speaks HTTP/1.1")
    if b"#" in url:
        return _invalid("the request's target has a fragment")
    if len(hosts) > 1:
        return _invalid("the request has several Host headers")
    if version == "1.1" and not hosts:
        return _invalid("the request has no Host header")
    if hosts and not sound_host(hosts[0]):
        return _invalid("the request's Host header names no host")
    if codings and version == "1.0":
        return _invalid("HTTP/1.0 has no Transfer-Encoding")
    if codings and [coding.lower() for coding in codings] != [b"chunked"]:
        return _invalid("the only Transfer-Encoding here is chunked")
    return None


def in_chunks(headers: HeaderList) -> bool:
    """Whether a sound head's body comes in chunks."""
    return any(name == b"transfer-encoding" for name, _ in headers)


def _invalid(why: str) -> HttpError:
    return HttpError(400, "invalid_http", why, headers=(CLOSE,))


def head_size(url: bytes, headers: HeaderList) -> int:
    """Bytes of a request's target, and of its headers' names and values."""
    return len(url) + sum(len(name) + len(value) for name, value in headers)
