"""When one of several workers begins to let in who knocks: once it can answer, if another does so meanwhile.

BentoML builds the service and uvicorn listens before the online store is open and the model loaded. So a worker that
took the place of one that was killed turned everybody away (503) whom its sibling would have answered, for a second
or three, and heard most of them, having no connection yet.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import structlog

from bentos.web.http import Send

log = structlog.get_logger(__name__)

LOOK_S: Final = 0.02


class Opening:
    """Holds back the end of a worker's start, before which uvicorn does not listen."""

    def __init__(self, stands_back: Callable[[], bool]) -> None:
        """``stands_back``: whether who knocks had better be let in by others, or later."""
        self._stands_back = stands_back
        self._over = False

    def end(self) -> None:
        """Wait no longer: the worker is to stop."""
        self._over = True

    def held(self, send: Send) -> Send:
        """``send`` of a lifespan that says only then that the application has started."""

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "lifespan.startup.complete":
                began = time.monotonic()
                while not self._over and self._stands_back():
                    await asyncio.sleep(LOOK_S)
                log.info("listens", stood_back_s=round(time.monotonic() - began, 2))
            await send(message)

        return sending
