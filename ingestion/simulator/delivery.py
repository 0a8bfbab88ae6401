"""When what a phone measured reaches us: at once, in batches, hours late; some of it twice, a little out of order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ingestion.simulator.phones import Phone
from ingestion.simulator.scenario import NoiseProfile
from ingestion.simulator.streets import Array


@dataclass(frozen=True)
class Outages:
    """Times at which a phone cannot upload; ascending, possibly touching. Seconds since the start of the span."""

    begins: Array
    ends: Array


def draw_outages(noise: NoiseProfile, span_s: float, rng: np.random.Generator) -> Outages:
    """Outages of 0.5-9 h (log-normal around 1.6 h), at the profile's rate."""
    count = int(rng.poisson(noise.outages_per_week * span_s / (7 * 86_400.0)))
    begins = np.sort(rng.uniform(0.0, span_s, count))
    lengths = np.clip(rng.lognormal(math.log(1.6), 0.8, count), 0.5, 9.0) * 3600.0
    return Outages(begins, np.maximum.accumulate(begins + lengths))


def received(t: Array, phone: Phone, outages: Outages, noise: NoiseProfile, rng: np.random.Generator) -> Array:
    """When each measurement (ascending ``t``, seconds) arrives. Order is kept but for the profile's few stragglers."""
    lag = rng.lognormal(math.log(1.5), 0.6, len(t))
    sent = np.ceil(t / phone.upload_s) * phone.upload_s if phone.upload_s else t
    at = np.searchsorted(outages.begins, sent, side="right") - 1
    held = (at >= 0) & (sent < np.append(outages.ends, 0.0)[at])
    sent = np.where(held, np.append(outages.ends, 0.0)[at], sent)
    arrives = np.maximum.accumulate(sent + lag)
    straggles = rng.random(len(t)) < noise.out_of_order_rate
    return np.asarray(arrives + np.where(straggles, rng.uniform(30.0, 900.0, len(t)), 0.0))
