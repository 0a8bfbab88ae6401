"""Work done in threads ahead of who asks for it; what comes of it keeps its order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")


def in_order(tasks: Iterable[Callable[[], T]], pool: Executor, ahead: int) -> Iterator[T]:
    """What each task returns, in their order, while up to ``ahead`` of those after it are under way.

    Raises what a task raises, in its turn.
    """
    going: deque[Future[T]] = deque()
    for task in tasks:
        going.append(pool.submit(task))
        while len(going) > ahead:
            yield going.popleft().result()
    while going:
        yield going.popleft().result()


def one_ahead(items: Iterator[T], pool: Executor) -> Iterator[T]:
    """The items, none of which is None; while one is used the next one is made."""
    following = pool.submit(next, items, None)
    while (item := following.result()) is not None:
        following = pool.submit(next, items, None)
        yield item
