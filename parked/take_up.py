"""Waiting until the running servers answer with what was published (``parked.worker_status`` is what they say)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from parked.worker_status import WorkerStatus, live_workers

LOOK_S: Final = 0.05
"""How often a publisher looks; a worker polls its pointer ten times less often."""


@dataclass(frozen=True)
class TakeUp:
    """What became of a publication in the running workers."""

    workers: int
    """Live ones; 0: no server is running."""
    trouble: str | None
    """Why not all of them serve it, in one line; None where they do."""


Wait = Callable[[int], TakeUp]
"""Waits until a generation is served by all workers, refused by one, or late."""


def judge(statuses: Iterable[WorkerStatus], generation: int) -> tuple[str | None, list[WorkerStatus]]:
    """Who refuses ``generation`` and why (one line; None: nobody), and who does not serve it yet."""
    waiting = []
    for status in statuses:
        if status.refused is not None and status.refused_generation == generation:
            return f"worker {status.pid} refuses it: {status.refused}", []
        if status.generation < generation:
            waiting.append(status)
    return None, waiting


def await_generation(
    folder: Path,
    generation: int,
    *,
    timeout_s: float,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> TakeUp:
    """Wait until every live worker answers with ``generation`` or a later one.

    Ends at once where there is no worker, or where one refuses it. Workers that end meanwhile are not waited for; one
    that starts meanwhile is.
    """
    until = monotonic() + timeout_s
    while True:
        statuses = live_workers(folder)
        trouble, waiting = judge(statuses, generation)
        if trouble or not waiting:
            return TakeUp(len(statuses), trouble)
        if monotonic() >= until:
            late = ", ".join(str(status.pid) for status in waiting)
            why = next((f": {status.waits}" for status in waiting if status.waits), "")
            return TakeUp(len(statuses), f"worker {late} did not take it up within {timeout_s:g} s{why}")
        sleep(LOOK_S)
