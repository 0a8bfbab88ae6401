"""The real adapters of a worker: Feast, the operations database, the system clock. Tests wire fakes instead."""

from __future__ import annotations

from pathlib import Path

from bentos.config import ServingConfig
from bentos.feedback.confirmations import LabelStore
from bentos.metrics.prometheus import Metrics
from bentos.ports import FeatureSource
from bentos.runtime import Runtime
from bentos.web.gatekeeper import build_gatekeeper
from parked.clock import system_clock
from parked.pointer import Pointer, read_pointer
from parked.settings import Settings, load_settings

SEED_FILE = Path(__file__).with_name("seed.json")
"""Only in a built bento (``bentos.build``): the model that was champion when it was built."""


def served_settings(seed: Pointer | None) -> Settings:
    """The environment's settings; where they name no rules version, a bento serves its own model's."""
    settings = load_settings()
    if seed is not None and "rules" not in settings.model_fields_set:
        return load_settings(rules=seed.rules_version)
    return settings


def build_runtime(config: ServingConfig) -> Runtime:
    """This worker's runtime from the environment (``PARKED_*``); nothing slow happens before ``start``."""
    seed = read_pointer(SEED_FILE)
    settings = served_settings(seed)

    def open_source() -> FeatureSource:
        if settings.online_store == "lmdb":
            from bentos.store.lmdb_source import LmdbSource

            return LmdbSource.open(settings)
        # Importing Feast takes seconds of CPU: on the runtime's thread, while the worker is already alive.
        from bentos.store.features import FeastSource

        return FeastSource.open(settings)

    return Runtime(
        settings,
        config,
        clock=system_clock,
        metrics=Metrics(),
        open_source=open_source,
        labels=LabelStore(settings.database, wait_s=0.8 * config.timeout_s),  # who asks waits for 0.9
        seed=seed,
        gatekeeper=build_gatekeeper(settings, config, system_clock),
    )
