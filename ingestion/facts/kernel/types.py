"""The kernel's records: rules in, state within, milestone rows out. All fixed-size: a device's state is bounded."""

from __future__ import annotations

from typing import Final

import numpy as np

NEVER: Final = 2**63 - 1
"""A moment (us) that does not come."""
NONE: Final = -(2**62)
"""Null in an int64 column of ROW."""
NONE32: Final = -(2**31)
"""Null in an int32 column of ROW. An int8 column's null is -1."""

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
        ("travel_mps", "f8"),
        ("stood_ms", "i8"),
        ("linger_ms", "i8"),
        ("unseen_ms", "i8"),
        ("tight_m", "f8"),
        ("tight_spread", "f8"),
        ("inside_spread", "f8"),
        ("max_blur_m", "f8"),
        ("merge_spread", "f8"),
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
        ("motion_ms", "i8"),
        ("leave_mps", "f8"),
        ("memory_ms", "i8"),
        ("noise_share", "f8"),
        ("walk_share", "f8"),
        ("unseen_mps", "f8"),
        ("garage_ms", "i8"),
        ("garage_rhythm", "f8"),
        ("garage_m", "f8"),
        ("garage_mps", "f8"),
        ("watermark_ms", "i8"),
    ],
    align=True,
)

RECORD: Final = np.dtype(
    [
        ("recv", "i8"),
        ("t", "i8"),
        ("lat", "i4"),
        ("lon", "i4"),
        ("acc", "f4"),
        ("v", "f4"),
        ("device", "i4"),
        ("act", "i1"),
        ("conf", "i1"),
        ("stated", "?"),
    ],
    align=True,
)
"""One measurement, 40 bytes: received (us) and measured (ms) since the epoch, place (1e-7 degrees), accuracy (m) and
speed (m/s), NaN where none; ``act`` -1 for a fix, else the index in ACTIVITIES with ``conf`` in percent; ``stated``:
received_at was stated, not observed."""

_ROW_LONG = ("event", "known", "anchor", "start", "end", "start_width", "end_width", "silence", "leg_start")
_ROW_INT = (
    "device",
    "lat",
    "lon",
    "uncertainty_cm",
    "radius_cm",
    "fixes",
    "accuracy_cm",
    "speed_before",
    "speed_after",
    "walked_cm",
    "leg_cm",
    "leg_speed",
    "leg_fixes",
    "leg_halts",
    "return_cm",
    "next_lat",
    "next_lon",
    "reasons",
)
_ROW_BYTE = ("kind", "status", "motion_before", "motion_after", "followed")
ROW: Final = np.dtype(
    [*((f, "i8") for f in _ROW_LONG), *((f, "i4") for f in _ROW_INT), *((f, "i1") for f in _ROW_BYTE)], align=True
)
"""One milestone of a fact (device, kind, anchor), known at ``known`` (us). Times and widths in ms, places in 1e-7
degrees, speeds in cm/s."""

SLOT_STOP, SLOT_LEFT, SLOT_QUEUE = 0, 1, 2
QUEUE: Final = 16
"""Closed facts that may wait for the watermark; beyond it the oldest becomes final early."""
SLOTS: Final = SLOT_QUEUE + QUEUE + 8
"""Work rows of a device: current stop, current candidate, the queue (with room for what one record can close)."""

_RING = (RING,)
_PEND = (PENDING,)

STATE: Final = np.dtype(
    [
        # what every fix touches, side by side
        ("now", "i8"),
        ("now_t", "i8"),
        ("t", "i8"),
        ("scale", "f8"),
        ("v", "f8"),
        ("v1", "f8"),
        ("acc", "f8"),
        ("blur", "f8"),
        ("calm_t", "i8"),
        ("calm_at", "i8"),
        ("calm_since", "i8"),
        ("queue_due", "i8"),
        ("motion_t", "i8"),
        ("lat", "i4"),
        ("lon", "i4"),
        ("calm_lat", "i4"),
        ("calm_lon", "i4"),
        ("scale_lat", "i4"),
        ("scale_room", "i4"),
        ("device", "i4"),
        ("has", "i1"),
        ("at_rest", "i1"),
        ("leg", "i1"),
        ("left", "i1"),
        ("pend_n", "i1"),
        ("pend_fast", "i1"),
        ("motion", "i1"),
        ("mute", "i1"),
        ("queue_n", "i1"),
        ("ring_head", "i1"),
        ("ring_n", "i1"),
        ("ring_tail", "i1"),
        ("zeros", "i4"),
        # rest
        ("rest_lat", "i4"),
        ("rest_lon", "i4"),
        ("rest_scale", "f8"),
        ("rest_in_t", "i8"),
        ("rest_dlat", "i8"),
        ("rest_dlon", "i8"),
        ("rest_d2", "f8"),
        ("rest_tight2", "f8"),
        ("rest_acc", "f8"),
        ("rest_radius", "f8"),
        ("rest_inside2", "f8"),
        ("rest_merge2", "f8"),
        ("rest_end", "i8"),
        ("rest_leave", "i8"),
        ("rest_heard", "i8"),
        ("rest_all", "i4"),
        ("rest_n", "i4"),
        ("rest_next", "i4"),
        ("rest_lat0", "i4"),
        ("rest_lon0", "i4"),
        ("rest_silence", "i8"),
        ("out_t", "i8"),
        ("out_n", "i4"),
        ("out_far", "i4"),
        # leg
        ("fast_t", "i8"),
        ("fast_v", "f8"),
        ("leg_t", "i8"),
        ("leg_gap", "i8"),
        ("leg_path", "f8"),
        ("leg_speed", "f8"),
        ("leg_lat", "i4"),
        ("leg_lon", "i4"),
        ("leg_strong", "i4"),
        ("leg_n", "i4"),
        ("leg_halts", "i4"),
        ("leg_motion", "i4", (5,)),
        ("slow_v", "f8"),
        ("slow_t", "i8"),
        ("slow_acc", "f8"),
        ("slow_gap", "i8"),
        ("slow_lat", "i4"),
        ("slow_lon", "i4"),
        # the candidate's place
        ("left_w", "i8"),
        ("left_dlat", "i8"),
        ("left_dlon", "i8"),
        ("left_acc", "f8"),
        ("left_last_t", "i8"),
        ("left_walked", "f8"),
        ("left_speed", "f8"),
        ("left_lat0", "i4"),
        ("left_lon0", "i4"),
        ("left_n", "i4"),
        ("left_rode", "i4"),
        # where it fell silent before
        ("gone_t", "i8"),
        ("gone_m2", "f8"),
        ("came_m2", "f8"),
        ("gone_lat", "i4"),
        ("gone_lon", "i4"),
        # a run of reported zeros
        ("zero_lat", "i4"),
        ("zero_lon", "i4"),
        ("zero_acc", "f8"),
        # suspicious fixes that wait
        ("pend_t", "i8", _PEND),
        ("pend_lat", "i4", _PEND),
        ("pend_lon", "i4", _PEND),
        ("pend_acc", "f8", _PEND),
        ("pend_v", "f8", _PEND),
        # recent fixes
        ("ring_t", "i8", _RING),
        ("ring_lat", "i4", _RING),
        ("ring_lon", "i4", _RING),
        # rows at work
        ("work", ROW, (SLOTS,)),
    ],
    align=True,
)
"""All that is remembered of a device: fixed size, no pointers; a copy is a checkpoint."""

ROOM: Final = 48
"""Rows that one record can emit at the most (a full queue, and every milestone of a stop and a candidate)."""

SINK: Final = np.dtype([("n", "i8"), ("rows", ROW, (ROOM,))], align=True)
"""Where a record's milestones go: ``rows[:n]``."""
