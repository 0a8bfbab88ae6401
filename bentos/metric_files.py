"""What killed workers left of their metrics, where all workers of a server write (prometheus_client's files).

A worker that ends in good order takes its gauges of the living with it; one that is killed cannot, and would be shown
as ready with its model for ever. What it counted stays: a counter that goes back is a lie too.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from parked.worker_status import process_started

_LIVE: Final = re.compile(r"gauge_live[a-z]*_([0-9]+)\.db")


def forget_dead(environment: Mapping[str, str] = os.environ) -> None:
    """Remove the gauges of processes that have ended. Does nothing where metrics are of one process.

    A process that was given a dead worker's number keeps that worker's values: the kernel goes round all numbers first.
    """
    folder = environment.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        return
    for file in Path(folder).glob("gauge_live*.db"):
        named = _LIVE.fullmatch(file.name)
        if named is not None and process_started(int(named[1])) is None:
            with contextlib.suppress(OSError):  # another worker was quicker
                file.unlink()
