"""The real service, real stores and all, on a clock that a test moves: the moment written in ``<home>/now``."""

from __future__ import annotations

from datetime import datetime

import bentos.wiring
from parked.settings import load_settings


def moved_clock() -> datetime:
    return datetime.fromisoformat((load_settings().home / "now").read_text(encoding="utf-8"))


bentos.wiring.system_clock = moved_clock

from bentos.service import WhereYouParked  # noqa: E402, F401  the service looks its clock up when a worker starts
