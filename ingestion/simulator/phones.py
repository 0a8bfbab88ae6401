"""What kind of phone it is: platform, sampling, quality, delivery. Drawn once per device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ingestion.simulator.scenario import Firmware, NoiseProfile

_ANDROID_INTERVALS: Final = ((0.08, 1.0), (0.30, 3.0), (0.62, 5.0), (0.82, 10.0), (1.0, 30.0))
_IOS_INTERVALS: Final = ((0.10, 1.0), (0.40, 2.0), (0.75, 5.0), (1.0, 0.0))
"""(cumulative share, seconds between fixes while moving); 0 means the phone filters by distance instead."""


@dataclass(frozen=True)
class Phone:
    """Fixed for the whole simulation."""

    platform: str
    """android or ios"""
    interval_s: float
    """Between fixes while moving; 0: by distance."""
    filter_m: float
    """Distance filter, where ``interval_s`` is 0."""
    rest_interval_s: float
    """Mean time between fixes at rest."""
    linger_s: float
    """Time after arrival until the phone slows down."""
    sleeps: bool
    wakes_after_m: float
    low_power: bool
    """Balanced power mode: many network fixes."""
    quality: float
    """Multiplies position errors; ~1."""
    optimism: float
    """Multiplies the reported accuracy; honest only on average over phones."""
    speed_style: str
    """doppler; none (null always); zero (exactly 0 half of the time)"""
    sends_motion: bool
    motion_delay_s: float
    """Median time from a change of activity to its report."""
    motion_interval_s: float
    upload_s: float
    """0: each fix at once; else the period of batches."""


def draw_phone(firmware: Firmware, noise: NoiseProfile, rng: np.random.Generator) -> Phone:
    """A phone. Draws the same numbers whatever the firmware and noise are, so that a phone stays itself."""
    ios = bool(rng.random() < 0.5)
    interval_draw, sleep_draw, motion_draw, style_draw, upload_draw, power_draw = rng.random(6)
    filter_m, rest, linger, wakes, upload = rng.uniform((8, 120, 60, 100, 30), (40, 600, 480, 200, 900))
    quality, optimism, delay, motion_interval = rng.lognormal((0, 0, 0, 0), (0.25, 0.22, 0.25, 0.4))
    intervals = _IOS_INTERVALS if ios else _ANDROID_INTERVALS
    interval = next(seconds for share, seconds in intervals if interval_draw <= share)
    sleeps = firmware.always_sleeps or bool(sleep_draw < noise.sleep_share)
    style = "doppler" if style_draw < 0.68 or not noise.speed_faults else "none" if style_draw < 0.82 else "zero"
    return Phone(
        platform="ios" if ios else "android",
        interval_s=interval * firmware.interval_scale,
        filter_m=float(filter_m) * firmware.interval_scale,
        rest_interval_s=float(rest) * firmware.interval_scale,
        linger_s=120.0 if sleeps else float(linger),
        sleeps=sleeps,
        wakes_after_m=float(wakes),
        low_power=interval >= 30.0 or (interval >= 10.0 and bool(power_draw < 0.3)),
        quality=float(quality),
        optimism=float(optimism),
        speed_style=style,
        sends_motion=bool(motion_draw >= noise.motion_absent_share),
        motion_delay_s=(6.0 if ios else 16.0) * float(delay),
        motion_interval_s=float(np.clip(40.0 * motion_interval, 13.0, 90.0)),
        upload_s=0.0 if upload_draw >= noise.batch_share else float(upload),
    )
