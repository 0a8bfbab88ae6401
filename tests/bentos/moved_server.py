"""The fake server with a system clock that a test moves: ``<home>/moved`` says by how many seconds.

Moved is what our clock says, and what a library asks of Python's ``time.time``; no monotonic clock is.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import bentos.wiring
from bentos.config import ServingConfig
from bentos.feedback.confirmations import LabelStore
from bentos.metrics.prometheus import Metrics
from bentos.runtime import Runtime
from bentos.web.gatekeeper import build_gatekeeper
from parked.settings import load_settings
from tests.bentos.fakes import NOW, FakeSource

BEGAN_S = time.monotonic()
MOVED = load_settings().home / "moved"


def moved_clock() -> datetime:
    """``NOW`` at the start, and moved."""
    return NOW + timedelta(seconds=time.monotonic() - BEGAN_S + float(MOVED.read_text(encoding="ascii")))


def moved_time() -> float:
    return moved_clock().timestamp()


time.time = moved_time
time.time_ns = lambda: int(moved_time() * 1e9)


def build_runtime(config: ServingConfig) -> Runtime:
    settings = load_settings()
    return Runtime(
        settings,
        config,
        clock=moved_clock,
        metrics=Metrics(),
        open_source=FakeSource,
        labels=LabelStore(settings.database),
        gatekeeper=build_gatekeeper(settings, config, moved_clock),
    )


bentos.wiring.build_runtime = build_runtime

from bentos.service import WhereYouParked  # noqa: E402, F401  the service looks its wiring up when a worker starts
