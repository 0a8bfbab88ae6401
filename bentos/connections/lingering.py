"""An end that waits for what the client is still saying.

Where a connection is closed with bytes of the client's unread, the system resets it, and a client that writes all it
has before it reads (Python's ``http.client``) never sees the answer: only that the pipe is broken. So who is answered
before it has said all is told that nothing more comes, and is listened to for a moment, as RFC 9112 (9.6) wants it.
"""

from __future__ import annotations

import asyncio
from asyncio.events import TimerHandle
from collections.abc import Callable
from typing import Final

LINGER_S: Final = 2.0
"""How long the rest of a request is let pass unread."""


class Lingering:
    """A connection's transport, as whoever answers there sees it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, whole: Callable[[], bool]
    ) -> None:
        """``whole``: whether the client has said all that is answered."""
        self._loop = loop
        self._transport = transport
        self._whole = whole
        self._timer: TimerHandle | None = None

    @property
    def begun(self) -> bool:
        """Whether the last has been said: what comes from the client is for nobody."""
        return self._timer is not None

    def write(self, data: bytes) -> None:
        """As a transport's; nothing is said after the end."""
        if not self.begun:
            self._transport.write(data)

    def is_closing(self) -> bool:
        """As a transport's."""
        return self.begun or self._transport.is_closing()

    def close(self) -> None:
        """The end, once the client has closed or time is up, unless it has said all."""
        if self.is_closing():
            return
        if self._whole():
            self._transport.close()
            return
        self._timer = self._loop.call_later(LINGER_S, self._transport.close)
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def cancel(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
