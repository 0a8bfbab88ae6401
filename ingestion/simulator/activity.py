"""The phone's own motion activity: right most of the time, and late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ingestion.simulator.kinematics import Motion
from ingestion.simulator.phones import Phone
from ingestion.simulator.scenario import NoiseProfile
from ingestion.simulator.streets import Array
from ingestion.simulator.track import STILL, VEHICLE

UNKNOWN: Final = 4
DELAY_RANGE_S: Final = (5.0, 210.0)
"""Reported "on foot" trails the true parking by a median 18 s (iOS) / 31 s (Android), up to 3.5 min (DESIGN.md)."""
_CONFUSED: Final = np.array([[1, 4, 3], [0, 4, 2], [1, 3, 4], [0, 2, 4]], dtype=np.int64)
"""What each true activity (still, on foot, cycling, in vehicle) is mistaken for."""


@dataclass(frozen=True)
class Activities:
    """Reports of one device in order of time; arrays of shape (n,). Times: seconds since the start of the span."""

    t: Array
    code: npt.NDArray[np.int64]
    """Index into ``parked.schemas.ACTIVITIES``."""
    confidence: Array


def perceived(motion: Motion, phone: Phone, rng: np.random.Generator) -> tuple[Array, npt.NDArray[np.int64]]:
    """What the phone believes from when on: (times, codes), after its delay; states shorter than that go unseen.

    A waiting vehicle is "still" to the phone only where it waits long (beyond ~20 s, and then only sometimes).
    """
    lasts = np.diff(motion.phase_at, append=motion.phase_at[-1] + 1e9)
    code = motion.phase_mode.astype(np.int64)
    waiting = (code == VEHICLE) & (motion.phase_acceleration == 0) & (motion.phase_speed == 0) & (lasts > 20.0)
    code = np.where(waiting & (rng.random(len(code)) < 0.35), STILL, code)
    real = lasts > 0
    at, code = motion.phase_at[real], code[real]
    at, code = _changes(at, code)
    delay = np.clip(phone.motion_delay_s * rng.lognormal(0.0, 0.65, len(at)), *DELAY_RANGE_S)
    seen = np.diff(at, append=np.inf) > delay
    at, code = _changes((at + delay)[seen], code[seen])
    return at, code


def report(
    motion: Motion, begins: Array, ends: Array, phone: Phone, noise: NoiseProfile, rng: np.random.Generator
) -> Activities:
    """The motion stream while the phone is awake (``begins``, ``ends``): Android repeats itself, iOS reports changes.

    Empty where the phone sends none.
    """
    at, code = perceived(motion, phone, rng)
    android = phone.platform == "android"
    every = phone.motion_interval_s * (1.0 if android else 5.0)
    counts = np.maximum(1, np.ceil((ends - begins) / every)).astype(np.int64)
    own = np.repeat(np.arange(len(counts)), counts)
    ticks = begins[own] + (np.arange(len(own)) - (np.cumsum(counts) - counts)[own]) * every
    ticks += rng.uniform(0.0, 0.6 * every, len(ticks))
    inside = np.searchsorted(begins, at, side="right") - 1
    in_awake = (inside >= 0) & (at < np.append(ends, 0.0)[inside])
    changes = at[in_awake]
    repeats = changes + rng.uniform(3.0, 15.0, len(changes))  # a change is told twice
    t = np.unique(np.round(np.concatenate([ticks, changes, repeats]), 3))
    now = np.searchsorted(at, t, side="right") - 1
    t, now = t[now >= 0], now[now >= 0]
    reported = code[now]
    count = len(t)
    wrong = rng.random(count) < noise.motion_error_rate
    reported = np.where(wrong, _CONFUSED[reported, rng.integers(0, 3, count)], reported)
    shrug = rng.random(count) < (0.15 if android else 0.25) * min(1.0, noise.motion_error_rate / 0.06)
    reported = np.where(shrug, UNKNOWN, reported)
    if android:
        sure = np.where(reported == UNKNOWN, 40, np.minimum(100, 100 - rng.exponential(6.0, count).astype(np.int64)))
        confidence = np.where(wrong, rng.integers(30, 80, count), np.maximum(30, sure)) / 100.0
    else:
        confidence = np.where(rng.random(count) < np.where(wrong, 0.5, 0.9), 1.0, rng.choice([1 / 3, 2 / 3], count))
    if not phone.sends_motion:
        count = 0
    return Activities(t[:count], reported[:count], confidence[:count])


def _changes(at: Array, code: npt.NDArray[np.int64]) -> tuple[Array, npt.NDArray[np.int64]]:
    """Only the entries that differ from the one before."""
    new = np.concatenate([[True], code[1:] != code[:-1]]) if len(code) else np.zeros(0, dtype=np.bool_)
    return at[new], code[new]
