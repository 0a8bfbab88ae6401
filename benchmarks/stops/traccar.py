"""Traccar's motion rule, written anew from its published source: the rule a fleet server would apply.

The distance logic of ``NewMotionProcessor.updateState`` (github.com/traccar/traccar, package org.traccar.session.state,
commit 171a48b8, 2026): moving once a fix lies ``MOVED_M`` from one of the last ``WINDOW_S``; stopped once all of them
lie within it. A fix that far from an older one, but too slowly, starts a new stop at once. A
stop lasts from the oldest fix of the window that showed it to the last fix before moving (the event times its tests
name). Its default of 500 m would miss places a walk apart; 100 m is what the other tools get. The older logic, by the
motion flag, does worse on phones: their speed at rest is noise, and people walk about indoors.
"""

from __future__ import annotations

import time
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from numba import njit

MOVED_M: Final = 100.0
WINDOW_S: Final = 300.0
METRES_PER_DEGREE: Final = 111_195.08


@njit(cache=True)
def _stops(
    device: npt.NDArray[np.int64],
    t: npt.NDArray[np.float64],
    lat: npt.NDArray[np.float64],
    lon: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Rows (n, 3): device, begin and end of each stop."""
    out = np.zeros((2 * len(t) + 1, 3))
    n = oldest = 0
    moving, start = False, 0.0
    for i in range(len(t)):
        if i == 0 or device[i] != device[i - 1]:
            if i and not moving:
                out[n, 0], out[n, 1], out[n, 2] = device[i - 1], start, t[i - 1]
                n += 1
            oldest, moving, start = i, False, t[i]
            continue
        far = -1
        squeeze = np.cos(np.radians(lat[i]))
        for j in range(i - 1, oldest - 1, -1):
            east = (lon[i] - lon[j] + 180.0) % 360.0 - 180.0
            if np.hypot(east * squeeze, lat[i] - lat[j]) * METRES_PER_DEGREE >= MOVED_M:
                far = j
                break
        if far >= 0:
            east = (lon[i] - lon[far] + 180.0) % 360.0 - 180.0
            metres = np.hypot(east * squeeze, lat[i] - lat[far]) * METRES_PER_DEGREE
            passed = t[i] - t[far]
            if passed <= WINDOW_S or metres >= MOVED_M / WINDOW_S * passed:
                if not moving:
                    out[n, 0], out[n, 1], out[n, 2] = device[i], start, t[i - 1]
                    n += 1
                    moving = True
            else:
                if not moving:
                    out[n, 0], out[n, 1], out[n, 2] = device[i], start, t[far]
                    n += 1
                moving, start = False, t[i]
        elif moving and t[i] - t[oldest] >= WINDOW_S:
            moving, start = False, t[oldest]
        while oldest < i and t[i] - t[oldest + 1] >= WINDOW_S:
            oldest += 1
    if len(t) and not moving:
        out[n, 0], out[n, 1], out[n, 2] = device[-1], start, t[-1]
        n += 1
    return out[:n]


def traccar(fixes: pd.DataFrame) -> tuple[float, pd.DataFrame]:
    """Seconds the rule took, and its stops (device_id, arrived, left). ``fixes``: by phone and time, each once."""
    codes, names = pd.factorize(fixes["device_id"])
    device = codes.astype(np.int64)
    t, lat, lon = (fixes[c].to_numpy() for c in ("t", "lat", "lon"))
    _stops(device[:2], t[:2], lat[:2], lon[:2])  # compiled
    began = time.perf_counter()
    rows = _stops(device, t, lat, lon)
    took = time.perf_counter() - began
    who = np.asarray(names)[rows[:, 0].astype(np.int64)]
    return took, pd.DataFrame({"device_id": who, "arrived": rows[:, 1], "left": rows[:, 2]})
