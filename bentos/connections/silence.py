"""The end of connections that ask nothing.

uvicorn looks at a connection only once it has answered there, and forgets to when anything comes after that, be it an
empty line: whoever sent nothing, or no question, was kept for ever, and as many of them as a server may open files
shut everybody else out. So each connection has one timer from its beginning to its end, which looks now and then.
"""

from __future__ import annotations

import asyncio
from asyncio.events import TimerHandle
from collections.abc import Callable


class Silence:
    """Looks after one connection."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, after_s: float, asks: Callable[[], bool], end: Callable[[], None]
    ) -> None:
        """From now on, until ``cancel``. ``asks``: whether a question is there and not yet answered; ``end`` is called
        once it has not been so for ``after_s`` seconds."""
        self._loop = loop
        self._after_s = after_s
        self._asks = asks
        self._end = end
        self.since = loop.time()
        """When the last question was answered, in the loop's seconds; before that, when the connection began."""
        self._timer: TimerHandle | None = loop.call_later(after_s, self._look)

    def cancel(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        asks = self._asks()
        if self._timer is None:  # gone meanwhile
            return
        left = self._after_s if asks else self.since + self._after_s - self._loop.time()
        if left <= 0:
            self._end()
        self._timer = self._loop.call_later(left if left > 0 else self._after_s, self._look)
