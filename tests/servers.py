"""What the tests' own servers have in common: a free port, and the wait until they answer."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def until_it_answers(
    ask: Callable[[], object], away: type[Exception], server: subprocess.Popen[bytes], patience_s: float
) -> None:
    """Ask until that raises ``away`` no more; raises it where the server ended, or does not answer in time."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            ask()
            return
        except away:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
