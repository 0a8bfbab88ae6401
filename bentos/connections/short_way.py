"""What all connections of a worker share: which questions may be answered where they are read, and by whom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from bentos.connections.rounds import Rounds
from bentos.web.http import HeaderList, Reply

Answer = Callable[[str, HeaderList, bytes, Sequence[Any] | None], Reply | None]
"""(path, headers, body, the peer's address) → the reply; None: this is to go uvicorn's way."""


class ShortWay:
    """See the module."""

    def __init__(self, paths: Iterable[str], answer: Answer, head_s: float = 2.0) -> None:
        """``paths``: whose POSTs may go the short way. ``answer`` never raises. ``head_s``: for a head to arrive."""
        self.head_s = head_s
        self.paths = {path.encode(): path for path in paths}
        self.answer = answer
        self.rounds = Rounds()
        self._dated: Any = None
        self._heads: dict[int, bytes] = {}

    def close(self) -> None:
        """From now on everything goes uvicorn's way."""
        self.paths = {}

    def wire(self, reply: Reply, dated: list[tuple[bytes, bytes]]) -> bytes:
        """A reply as it is sent. ``dated``: uvicorn's own headers, a new list every second."""
        status, body, ident, more = reply
        parts = [
            self._head(status, dated),
            b"%d\r\nx-request-id: %b\r\n" % (len(body), ident),
            *[b"%b: %b\r\n" % header for header in more],
            b"\r\n",
            body,
        ]
        return b"".join(parts)

    def _head(self, status: int, dated: list[tuple[bytes, bytes]]) -> bytes:
        if dated is not self._dated:
            self._dated, self._heads = dated, {}
        found = self._heads.get(status)
        if found is None:
            lines = b"".join([b"%b: %b\r\n" % header for header in dated])
            found = STATUS_LINE[status] + lines + b"content-type: application/json\r\ncontent-length: "
            self._heads[status] = found
        return found
