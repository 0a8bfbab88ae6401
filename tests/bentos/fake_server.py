"""The real BentoML service over fake stores: what the server tests start in a process of its own."""

from __future__ import annotations

import bentos.wiring
from bentos.config import ServingConfig
from bentos.feedback.confirmations import LabelStore
from bentos.metrics.prometheus import Metrics
from bentos.runtime import Runtime
from bentos.web.gatekeeper import build_gatekeeper
from parked.clock import fixed_clock
from parked.settings import load_settings
from tests.bentos.fakes import NOW, FakeSource


def build_runtime(config: ServingConfig) -> Runtime:
    settings = load_settings()
    return Runtime(
        settings,
        config,
        clock=fixed_clock(NOW),
        metrics=Metrics(),
        open_source=FakeSource,
        labels=LabelStore(settings.database),
        monotonic=lambda: 0.0,  # the clock stands still
        gatekeeper=build_gatekeeper(settings, config, fixed_clock(NOW)),
    )


bentos.wiring.build_runtime = build_runtime

from bentos.service import WhereYouParked  # noqa: E402, F401  the service looks its wiring up when a worker starts
