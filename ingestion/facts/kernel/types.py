"""The kernel's records: rules in, state within, milestone rows out. All fixed-size: a device's state is bounded."""

from __future__ import annotations

from typing import Final

import numpy as np

NONE: Final = -(2**62)
"""Null in an integer column of ROW."""

RING: Final = 64
"""Thinned recent fixes kept per device (one per >= 5 s: covers the rest window of <= 300 s)."""
RING_MS: Final = 5000
PENDING: Final = 4
"""Suspicious fixes that may wait for the look-ahead."""

STOP, HALT, LEFT = 0, 1, 2
OPEN, PROVISIONAL, FINAL, RETRACTED = 0, 1, 2, 3
UNKNOWN, REST, FOOT, VEHICLE, SILENCE = 0, 1, 2, 3, 4
A_STILL, A_FOOT, A_CYCLING, A_VEHICLE, A_UNKNOWN = 0, 1, 2, 3, 4

# Reason codes, one bit each; the texts are in REASONS.
R_SPEED, R_MOTION, R_SILENCE, R_MERGED, R_INTERVAL, R_NO_PAUSE, R_GARAGE, R_SETTLED, R_WALKED, R_RESUMED, R_SPARSE = (
    1,
    2,
    4,
    8,
    16,
    32,
    64,
    128,
    256,
    512,
    1024,
)
REASONS: Final = (
    "speed",
    "motion_activity",
    "silence",
    "merged",
    "interval_departure",
    "no_pause",
    "garage",
    "settled",
    "walked_off",
    "drove_on",
    "sparse",
)

RULES: Final = np.dtype(
    [
        ("max_accuracy_m", "f8"),
        ("assumed_accuracy_m", "f8"),
        ("teleport_mps", "f8"),
        ("spike_m", "f8"),
        ("spike_return", "f8"),
        ("spike_ms", "i8"),
        ("jump_m", "f8"),
        ("jump_ms", "i8"),
        ("look_ahead", "i8"),
        ("window_ms", "i8"),
        ("radius_m", "f8"),
        ("inside_m", "f8"),
        ("exit_fixes", "i8"),
        ("exit_ms", "i8"),
        ("far_m", "f8"),
        ("silence_ms", "i8"),
        ("silence_mps", "f8"),
        ("walk_mps", "f8"),
        ("merge_ms", "i8"),
        ("merge_m", "f8"),
        ("fast_mps", "f8"),
        ("vehicle_mps", "f8"),
        ("vehicle_m", "f8"),
        ("again_m", "f8"),
        ("sparse_ms", "i8"),
        ("still_mps", "f8"),
        ("roll_ms", "i8"),
        ("resume_ms", "i8"),
        ("resume_m", "f8"),
        ("foot_m", "f8"),
        ("foot_ms", "i8"),
        ("foot_mps", "f8"),
        ("settle_ms", "i8"),
        ("settle_m", "f8"),
        ("halt_ms", "i8"),
        ("motion_confidence", "f8"),
        ("watermark_ms", "i8"),
    ],
    align=True,
)

ROW: Final = np.dtype(
    [
        ("device", "i8"),
        ("event", "i8"),
        ("known", "i8"),
        ("kind", "i8"),
        ("status", "i8"),
        ("anchor", "i8"),
        ("start", "i8"),
        ("end", "i8"),
        ("lat", "i8"),
        ("lon", "i8"),
        ("uncertainty_cm", "i8"),
        ("start_width", "i8"),
        ("end_width", "i8"),
        ("radius_cm", "i8"),
        ("fixes", "i8"),
        ("accuracy_cm", "i8"),
        ("silence", "i8"),
        ("speed_before", "i8"),
        ("speed_after", "i8"),
        ("motion_before", "i8"),
        ("motion_after", "i8"),
        ("followed", "i8"),
        ("walked_cm", "i8"),
        ("leg_start", "i8"),
        ("leg_cm", "i8"),
        ("leg_speed", "i8"),
        ("leg_fixes", "i8"),
        ("leg_halts", "i8"),
        ("return_cm", "i8"),
        ("next_lat", "i8"),
        ("next_lon", "i8"),
        ("reasons", "i8"),
    ],
    align=True,
)
"""One milestone of a fact (device, kind, anchor). Times and widths in ms, places in 1e-7 degrees, speeds in cm/s,
NONE = null."""

CONTENT_FROM: Final = 4
"""ROW's fields from this index on are what a revision says (compared to tell a change)."""

SLOT_STOP, SLOT_LEFT, SLOT_QUEUE = 0, 1, 2
QUEUE: Final = 16
"""Closed facts that may wait for the watermark; beyond it the oldest becomes final early."""
SLOTS: Final = SLOT_QUEUE + 2 * QUEUE
"""Work rows of a device: current stop, current candidate, the queue (with room for what one record can close)."""

_RING = (RING,)
_PEND = (PENDING,)

STATE: Final = np.dtype(
    [
        ("n_out", "i8"),
        ("device", "i8"),
        ("now", "i8"),
        ("now_t", "i8"),
        # gate
        ("has", "i8"),
        ("t", "i8"),
        ("lat", "i8"),
        ("lon", "i8"),
        ("acc", "f8"),
        ("pend_n", "i8"),
        ("pend_fast", "i8"),
        ("pend_t", "i8", _PEND),
        ("pend_lat", "i8", _PEND),
        ("pend_lon", "i8", _PEND),
        ("pend_acc", "f8", _PEND),
        ("pend_v", "f8", _PEND),
        # recent fixes
        ("ring_head", "i8"),
        ("ring_n", "i8"),
        ("ring_t", "i8", _RING),
        ("ring_lat", "i8", _RING),
        ("ring_lon", "i8", _RING),
        ("zeros", "i8"),
        ("zero_lat", "i8"),
        ("zero_lon", "i8"),
        ("zero_acc", "f8"),
        ("mute", "i8"),
        ("v", "f8"),
        ("v1", "f8"),
        ("v2", "f8"),
        # rest
        ("at_rest", "i8"),
        ("rest_lat0", "i8"),
        ("rest_lon0", "i8"),
        ("rest_dlat", "i8"),
        ("rest_dlon", "i8"),
        ("rest_n", "i8"),
        ("rest_acc", "f8"),
        ("rest_in_t", "i8"),
        ("rest_in_lat", "i8"),
        ("rest_in_lon", "i8"),
        ("rest_silence", "i8"),
        ("rest_radius", "f8"),
        ("out_n", "i8"),
        ("out_far", "i8"),
        ("out_t", "i8"),
        ("last_stop", "i8"),
        # leg
        ("leg", "i8"),
        ("leg_t", "i8"),
        ("leg_lat", "i8"),
        ("leg_lon", "i8"),
        ("leg_path", "f8"),
        ("leg_speed", "f8"),
        ("leg_strong", "i8"),
        ("leg_n", "i8"),
        ("leg_halts", "i8"),
        ("leg_motion", "i8", (5,)),
        ("calm_t", "i8"),
        ("calm_lat", "i8"),
        ("calm_lon", "i8"),
        ("fast_t", "i8"),
        ("fast_lat", "i8"),
        ("fast_lon", "i8"),
        ("fast_v", "f8"),
        ("slow_v", "f8"),
        ("slow_t", "i8"),
        ("slow_lat", "i8"),
        ("slow_lon", "i8"),
        ("slow_acc", "f8"),
        ("slow_gap", "i8"),
        # the candidate's place
        ("left", "i8"),
        ("left_w", "i8"),
        ("left_dlat", "i8"),
        ("left_dlon", "i8"),
        ("left_lat0", "i8"),
        ("left_lon0", "i8"),
        ("left_n", "i8"),
        ("left_acc", "f8"),
        ("left_last_t", "i8"),
        ("left_walked", "f8"),
        ("left_speed", "f8"),
        # motion activity
        ("motion", "i8"),
        ("motion_t", "i8"),
        # watermark queue
        ("queue_n", "i8"),
        ("queue_due", "i8"),
    ],
    align=True,
)
