"""Looking again and again: what ``parked monitor watch`` does between two Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

from parked.errors import ParkedError


def watch(
    look: Callable[[], str],
    *,
    every_s: float,
    tell: Callable[[str], None],
    stop: threading.Event | None = None,
) -> int:
    """Call ``look`` now and every ``every_s`` seconds, ``tell`` what it said; the number of looks once stopped.

    A look that a ``ParkedError`` ends (another monitor at work, nothing published yet) is told like any other, and the
    next one tries again. Stops at SIGINT or SIGTERM, or when ``stop`` is set (then signals are left alone); a look that
    is going on is finished first.
    """
    if stop is None:
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
    looks = 0
    while not stop.is_set():
        try:
            said = look()
        except ParkedError as error:
            said = f"no look: {error}"
        looks += 1
        tell(said)
        stop.wait(every_s)
    return looks
