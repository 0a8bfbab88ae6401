"""Work that may block, on one thread, waited for with patience that ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from bentos.config import ServingConfig
from bentos.web.http import SOON, HttpError

_QUEUES = {"explain": 8}
"""Requests that may wait for a pool, where that is not ``max_waiting``: explaining takes tens of milliseconds."""


class Pool:
    """One thread for work that may block; a full queue or a stuck store is a quick 503, not a pile-up."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting = 0
        self._stuck: Future[object] | None = None

    async def run(self, config: ServingConfig, work: Callable[..., object], *arguments: object) -> object:
        """``work(*arguments)`` on the thread. Raises HttpError 503."""
        if self._stuck is not None and not self._stuck.done():
            raise HttpError(503, "store_slow", "the store does not answer; ask again", headers=SOON)
        if self._waiting >= _QUEUES.get(self._name, config.max_waiting):
            raise HttpError(503, "overloaded", "too many requests are waiting; ask again", headers=SOON)
        # Beside the hot path there is time: the first confirmation opens a database, an explanation loads a model.
        patience = config.store_timeout_s if self._name == "features" else 0.9 * config.timeout_s
        self._waiting += 1
        doing = self._threads.submit(work, *arguments)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(doing), patience)
        except TimeoutError:
            if not doing.cancel():
                self._stuck = doing  # it still blocks the thread: nobody else need wait to learn that
            raise HttpError(503, "store_slow", "the store did not answer in time; ask again", headers=SOON) from None
        finally:
            self._waiting -= 1
