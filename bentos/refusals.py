"""What is refused before it is a request for anybody."""

from __future__ import annotations

from typing import Final

from bentos.http import CLOSE, HeaderList, HttpError

HEAD_BYTES: Final = 32_768
"""Of a request's line and headers. Tokens and ids take less than one thousand."""

NO_HTTP: Final = HttpError(400, "invalid_http", "Invalid HTTP request received.", headers=(CLOSE,))
NO_TUNNEL: Final = HttpError(400, "invalid_http", "this server opens no tunnels", headers=(CLOSE,))
TOO_LONG: Final = HttpError(
    431, "head_too_large", f"the request's headers are larger than {HEAD_BYTES} bytes", headers=(CLOSE,)
)


def head_size(url: bytes, headers: HeaderList) -> int:
    """Bytes of a request's target, and of its headers' names and values."""
    return len(url) + sum(len(name) + len(value) for name, value in headers)
