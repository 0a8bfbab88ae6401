"""What the phone's positioning reports of a true motion: when it samples, how wrong it is, what it claims."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ingestion.simulator.kinematics import Motion
from ingestion.simulator.phones import Phone
from ingestion.simulator.scenario import Firmware, NoiseProfile
from ingestion.simulator.streets import Array
from ingestion.simulator.track import CANYON, INDOOR, UNDERGROUND
from parked import libm

Mask = npt.NDArray[np.bool_]

# by environment: open, canyon, indoor, underground
SIGMA_M: Final = np.array([3.6, 11.0, 20.0, 60.0])
"""Standard deviation per axis of the slow error (m)."""
WHITE_M: Final = np.array([0.8, 2.5, 3.0, 10.0])
"""Standard deviation per axis of what changes from fix to fix (m)."""
CORRELATION_S: Final = np.array([60.0, 35.0, 420.0, 420.0])
"""Correlation time of the slow error (s)."""
CLAIM_PER_SIGMA: Final = 1.5
"""68 % of a two-dimensional Gaussian error lies within 1.51 sigma of an axis."""
IOS_LEVELS_M: Final = np.array([5.0, 10.0, 30.0, 50.0, 65.0, 100.0, 165.0, 200.0, 500.0, 1000.0, 2000.0, 4000.0])
IOS_EDGES_M: Final = np.array([6.0, 18.0, 36.0, 52.0, 80.0, 130.0, 180.0, 300.0, 700.0, 1400.0, 2800.0])
ANDROID_BEST_M: Final = 3.0
"""Levels iOS reports, and the best accuracy Android reports, as seen in the MobilityNet recordings."""


@dataclass(frozen=True)
class Fixes:
    """Fixes of one device in order of measurement; arrays of shape (n,). Times: seconds since the start of the span."""

    t: Array
    east: Array
    north: Array
    accuracy_m: Array
    speed_mps: Array
    """NaN where the phone sent none."""


def gauss_markov(t: Array, correlation_s: Array, noise: Array) -> Array:
    """First-order Gauss-Markov process of unit variance at irregular times.

    ``e[i] = phi[i] e[i-1] + sqrt(1 - phi[i]^2) noise[i]`` with ``phi = exp(-dt / correlation)`` (Rankin 1994), by
    doubling prefix composition of the affine steps instead of a loop: O(n log n), exact.

    t, correlation_s, noise: shape (n,), t ascending, noise standard normal.
    """
    keep = libm.exp(-np.diff(t, prepend=-np.inf) / correlation_s)
    value = np.sqrt(1 - keep**2) * noise
    shift = 1
    while shift < len(t) and keep.max() > 1e-9:
        value[shift:] += keep[shift:] * value[:-shift].copy()
        keep[shift:] *= keep[:-shift].copy()
        keep[:shift] = 0.0
        shift *= 2
    return np.asarray(value)


def awake_spans(motion: Motion, stays: npt.NDArray[np.int64], phone: Phone, span_s: float) -> tuple[Array, Array]:
    """Begin and end of the times at which the phone samples densely: from waking in a leg to a while after it."""
    leaves, arrives = motion.leaves[stays[:-1]], motion.arrives[stays[1:]] + phone.linger_s
    parts = leaves[1:] > arrives[:-1]
    begins = leaves[np.concatenate([[True], parts])] if len(leaves) else leaves
    ends = arrives[np.concatenate([parts, [True]])] if len(arrives) else arrives
    arc = np.interp(begins, motion.leaves, motion.arc)
    woken = np.interp(arc + phone.wakes_after_m, motion.arc, motion.arrives) if phone.sleeps else begins
    inside = (woken < ends) & (woken < span_s)
    return woken[inside], np.minimum(ends[inside], span_s)


def sample_times(
    motion: Motion, begins: Array, ends: Array, phone: Phone, span_s: float, rng: np.random.Generator
) -> tuple[Array, Mask]:
    """When the phone takes fixes (ascending, whole milliseconds, distinct), and which are the first after waking."""
    step = phone.interval_s or 2.0
    counts = np.maximum(1, np.ceil((ends - begins) / step)).astype(np.int64)
    first = np.cumsum(counts) - counts
    own = np.repeat(np.arange(len(counts)), counts)
    ticks = begins[own] + (np.arange(len(own)) - first[own]) * step + 1.0
    ticks += step * rng.uniform(-0.08, 0.08, len(ticks)) + rng.exponential(0.05 * step, len(ticks))
    waking = np.zeros(len(ticks), dtype=np.bool_)
    waking[first] = True
    keep = rng.random(len(ticks)) > 0.03
    if not phone.interval_s:
        count = np.floor(motion.arc_at(ticks, motion.phase(ticks)) / phone.filter_m)
        keep &= (np.diff(count, prepend=-1.0) > 0) | (rng.random(len(ticks)) < 0.01)
    keep |= waking
    ticks, waking = ticks[keep], waking[keep]
    if not phone.sleeps:
        rest = np.cumsum(rng.uniform(0.4, 1.6, int(1.2 * span_s / phone.rest_interval_s) + 9)) * phone.rest_interval_s
        inside = np.searchsorted(begins, rest, side="right") - 1
        awake = (inside >= 0) & (rest < np.append(ends, 0.0)[inside])
        rest = rest[~awake]
        ticks = np.concatenate([ticks, rest])
        waking = np.concatenate([waking, np.zeros(len(rest), dtype=np.bool_)])
    milliseconds, where = np.unique(np.round(ticks * 1000).astype(np.int64), return_index=True)
    t = milliseconds / 1000.0
    inside_span = (t >= 0) & (t < span_s)
    return t[inside_span], waking[where][inside_span]


def observe(
    motion: Motion, stays: npt.NDArray[np.int64], phone: Phone, firmware: Firmware, noise: NoiseProfile, span_s: float,
    rng: np.random.Generator,
) -> Fixes:  # fmt: skip
    """The fixes a phone measures. ``stays`` are the nodes of ``motion`` at which the person is at a place."""
    begins, ends = awake_spans(motion, stays, phone, span_s)
    t, waking = sample_times(motion, begins, ends, phone, span_s, rng)
    heard = _heard(t, motion, begins, ends, noise, rng)
    t, waking = t[heard], waking[heard]
    phase = motion.phase(t)
    env = motion.phase_env[phase].astype(np.int64)
    east, north = motion.place(motion.arc_at(t, phase))
    sigma = _sigma(env, waking, phone, noise)
    network = _network(env, phone, noise, rng)
    sigma = np.where(network, rng.lognormal(math.log(220.0), 0.6, len(t)), sigma)
    white = noise.gps_scale * WHITE_M[env] * phone.quality
    slow = np.where(network, 1.0, CORRELATION_S[env])
    east = east + sigma * gauss_markov(t, slow, rng.standard_normal(len(t))) + white * rng.standard_normal(len(t))
    north = north + sigma * gauss_markov(t, slow, rng.standard_normal(len(t))) + white * rng.standard_normal(len(t))
    believed = np.maximum(np.hypot(sigma, white), 1.0) * CLAIM_PER_SIGMA * phone.optimism
    accuracy = believed * libm.exp(0.3 * gauss_markov(t, np.full(len(t), 90.0), rng.standard_normal(len(t))))
    jump_east, jump_north, distrust = _jumps(len(t), noise, rng)
    accuracy = np.where(distrust, rng.uniform(400.0, 3_000.0, len(t)), accuracy)
    speed = _speed(motion.speed_at(t, phase), env, phone, rng)
    if noise.gps_scale == 0:
        speed = motion.speed_at(t, phase)
    speed = np.where(network, np.nan, speed)
    claimed = _as_reported(accuracy, phone) * firmware.accuracy_scale
    return Fixes(t, east + jump_east, north + jump_north, claimed, speed)


def _heard(t: Array, motion: Motion, begins: Array, ends: Array, noise: NoiseProfile, rng: np.random.Generator) -> Mask:
    """Fixes that are not lost to a gap or a garage."""
    heard = np.ones(len(t), dtype=np.bool_)
    awake_s = float((ends - begins).sum())
    gaps = int(rng.poisson(noise.gaps_per_hour * awake_s / 3600.0))
    if gaps:
        # gaps fall evenly over the awake time: place them on its own clock, then on the real one
        clock = np.concatenate([[0.0], np.cumsum(ends - begins)])
        drawn = rng.uniform(0.0, awake_s, gaps)
        span = np.searchsorted(clock, drawn, side="right") - 1
        starts = np.sort(begins[span] + drawn - clock[span])
        stops = np.maximum.accumulate(starts + libm.exp(rng.uniform(math.log(60.0), math.log(600.0), gaps)))
        at = np.searchsorted(starts, t, side="right") - 1
        heard &= ~((at >= 0) & (t < stops[at]))
    if noise.garage_silence:
        heard &= motion.phase_env[motion.phase(t)] != UNDERGROUND
    return heard


def _sigma(env: npt.NDArray[np.int64], waking: Mask, phone: Phone, noise: NoiseProfile) -> Array:
    """Standard deviation per axis of the slow error (m). The first fix after waking is a cold start."""
    indoors = env >= INDOOR
    sky = SIGMA_M[np.where(indoors, 0, env)] * noise.gps_scale
    sigma = np.where(indoors, np.maximum(sky, SIGMA_M[env] * noise.drift_scale), sky) * phone.quality
    cold = 4.0 if noise.gps_scale >= 1 else 1.0
    return np.asarray(np.where(waking, cold * sigma, sigma))


def _network(env: npt.NDArray[np.int64], phone: Phone, noise: NoiseProfile, rng: np.random.Generator) -> Mask:
    share = np.where(env >= INDOOR, 0.4, 0.06) if phone.low_power else np.where(env >= INDOOR, 0.02, 0.002)
    return np.asarray(rng.random(len(env)) < share * noise.network_rate)


def _jumps(count: int, noise: NoiseProfile, rng: np.random.Generator) -> tuple[Array, Array, Mask]:
    """Displacement of each fix (m), and which of the displaced claim a bad accuracy. Runs of 1-3 share one jump."""
    starts = np.flatnonzero(rng.random(count) < noise.jump_rate / 1.3)
    lengths = 1 + (rng.random(len(starts)) < 0.2) + (rng.random(len(starts)) < 0.1)
    distance, angle = rng.uniform(1_000.0, 5_000.0, len(starts)), rng.uniform(0, 2 * np.pi, len(starts))
    doubted = rng.random(len(starts)) >= noise.jump_trusted_share
    east, north, distrust = np.zeros(count), np.zeros(count), np.zeros(count, dtype=np.bool_)
    for offset in range(3):
        at = starts + offset
        chosen = (offset < lengths) & (at < count)
        at = at[chosen]
        east[at], north[at] = (distance * np.cos(angle))[chosen], (distance * np.sin(angle))[chosen]
        distrust[at] = doubted[chosen]
    return east, north, distrust


def _speed(true: Array, env: npt.NDArray[np.int64], phone: Phone, rng: np.random.Generator) -> Array:
    """The speed column: Doppler noise 0.25 m/s, more in canyons; null or 0 as the phone's style is."""
    count = len(true)
    spread = np.where(env == CANYON, 0.7, 0.25)
    measured = np.maximum(0.0, true + spread * rng.standard_normal(count))
    measured = np.where(measured < 0.35, 0.0, measured)
    lost, zeroed = rng.random(count) < np.where(env >= INDOOR, 0.5, 0.02), rng.random(count) < 0.5
    if phone.speed_style == "none":
        return np.full(count, np.nan)
    if phone.speed_style == "zero":
        return np.where(zeroed, 0.0, measured)
    return np.asarray(np.where(lost, np.nan, measured))


def _as_reported(accuracy: Array, phone: Phone) -> Array:
    if phone.platform == "ios":
        return np.asarray(IOS_LEVELS_M[np.searchsorted(IOS_EDGES_M, accuracy)])
    return np.asarray(np.maximum(ANDROID_BEST_M, np.round(accuracy, 3)))
