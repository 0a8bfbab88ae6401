"""A wish for another protocol is passed over, as a server may do (RFC 9110, 7.8): the request is answered in this one.

The parser stops after the head of a request that asks for one, and takes all that follows, its body too, for the other
protocol's. ``curl --http2`` and Java's client ask so with their first request.
"""

from __future__ import annotations

import httptools

from bentos.web.http import HeaderList


def plain_head(method: bytes, url: bytes, version: str, headers: HeaderList) -> bytes:
    r"""The request's head without the wish, to be parsed anew.

    >>> plain_head(b"GET", b"/", "1.1", [(b"connection", b"Upgrade, close"), (b"upgrade", b"h2c")])
    b'GET / HTTP/1.1\r\nconnection:  close\r\nupgrade: h2c\r\n\r\n'
    """
    lines = [b"%b %b HTTP/%b\r\n" % (method, url, version.encode())]
    for name, value in headers:
        if name == b"connection":
            value = b",".join(token for token in value.split(b",") if token.strip().lower() != b"upgrade")
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join([*lines, b"\r\n"])


def new_parser(protocol: object) -> httptools.HttpRequestParser:
    """As uvicorn makes its own: what comes after a request that says ``Connection: close`` is passed over."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
