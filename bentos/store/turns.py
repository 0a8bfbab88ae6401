"""A lock that is given in the order in which it was asked for.

``threading.Lock`` gives it to whoever comes first when it is free, which is mostly who just had it: a thread that reads
all the time keeps another waiting for as long as it likes (measured: 0.6 s and more behind reads of 2 ms).
"""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """A context manager for any number of threads. Not to be entered twice by one."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()  # until who is before hands over

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False
