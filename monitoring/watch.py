"""Looking again and again: what ``parked monitor watch`` does between two Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import TypeVar

from parked.errors import ParkedError

Seen = TypeVar("Seen")


def watch(
    look: Callable[[], Seen],
    *,
    every_s: float,
    tell: Callable[[Seen | ParkedError], None],
    stop: threading.Event | None = None,
) -> int:
    """Call ``look`` now and every ``every_s`` seconds, ``tell`` what it gave; the number of looks once stopped.

    Of a look that a ``ParkedError`` ends (another monitor at work, nothing published yet) the error is told, and the
    next one tries again. Stops at SIGINT or SIGTERM, or when ``stop`` is set (then signals are left alone); a look that
    is going on is finished first.
    """
    if stop is None:
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
    looks = 0
    while not stop.is_set():
        seen: Seen | ParkedError
        try:
            seen = look()
        except ParkedError as error:
            seen = error
        looks += 1
        tell(seen)
        stop.wait(every_s)
    return looks
