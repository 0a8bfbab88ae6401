"""Settings of the serving stage alone (``PARKED_SERVE_<NAME>`` in the environment); the rest is ``parked.settings``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from parked.settings import read_settings
from parked.tokens import FASTEST_PER_S, SLOWEST_PER_S, is_rate


def _rate(told: float) -> float:
    if not is_rate(told):
        raise ValueError(f"Input should be from {SLOWEST_PER_S:g} to {FASTEST_PER_S:g}, or 0 for no limit")
    return told


class ServingConfig(BaseSettings):
    """How one server behaves. Read once at start-up."""

    model_config = SettingsConfigDict(env_prefix="PARKED_SERVE_", frozen=True, extra="ignore", allow_inf_nan=False)

    workers: int = Field(default=1, ge=1, le=64, description="server processes sharing the port")
    timeout_s: float = Field(
        default=2.0,
        gt=0,
        description="a request older than this is answered 504; each one holds a timer, so keep it low",
    )
    stale_after_s: float = Field(
        default=172_800.0, gt=0, description="an answer that rests on older facts is marked stale (phones move daily)"
    )
    store_timeout_s: float = Field(default=1.0, gt=0, description="a feature store slower than this is answered 503")
    max_waiting: int = Field(default=256, ge=1, description="requests waiting for the feature store before 503")
    max_body_bytes: int = Field(default=1_048_576, ge=1024, description="a larger request body is answered 413")
    auth: Literal["open", "tokens"] = Field(
        default="open",
        description="tokens: every question needs a bearer token (`parked tokens`); open: for loopback addresses only",
    )
    rate_per_s: Annotated[float, AfterValidator(_rate)] = Field(
        default=500.0,
        description="requests a second of one token over all workers before 429, where it has no limit of its own; "
        "a batch counts its items; 0: no limit",
    )
    log_queue: int = Field(
        default=400_000,
        ge=0,
        description="rows (one for each candidate weighed; 0.7 kB each) that may wait for the prediction log before "
        "answers are dropped; from half of it on answers slow down for its writer; 0: no log, and nothing to explain",
    )
    log_flush_rows: int = Field(default=10_000, ge=1, description="the prediction log writes a part at this many rows")
    log_flush_s: float = Field(default=2.0, gt=0, description="and at the latest after this long")


def load_config(**overrides: object) -> ServingConfig:
    """The serving settings from the environment, with ``overrides`` (None: not given) on top.

    Raises SettingError naming the first wrong setting.
    """
    return read_settings(ServingConfig, overrides)
