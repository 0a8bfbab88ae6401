"""Column contracts between the stages (Arrow). All times are UTC, ``timestamp[us, UTC]``.

Units: lat/lon degrees WGS84, ``*_m`` metres, ``*_s`` seconds, ``*_mps`` metres per second.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

TIME: Final = pa.timestamp("us", tz="UTC")

ACTIVITIES: Final = ("still", "on_foot", "cycling", "in_vehicle", "unknown")
"""The phone's own motion activity, in the order of its integer codes 0..4 in the kernel."""

KINDS: Final = ("stop", "halt", "vehicle_left")
STATUSES: Final = ("OPEN", "PROVISIONAL", "FINAL", "RETRACTED")
FOLLOWED: Final = ("unknown", "rest", "foot", "vehicle", "silence")
"""What followed a vehicle leg's end, as far as known at the revision."""

FIXES: Final = pa.schema(
    [
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("event_time", TIME, nullable=False),
        pa.field("lat", pa.float64(), nullable=False),
        pa.field("lon", pa.float64(), nullable=False),
        pa.field("accuracy_m", pa.float64()),
        pa.field("speed_mps", pa.float64()),
        pa.field("received_at", TIME),
    ]
)
"""Input of ``parked facts build``; rows in any order. ``received_at`` null = as if live (received when measured)."""

MOTION: Final = pa.schema(
    [
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("event_time", TIME, nullable=False),
        pa.field("received_at", TIME),
        pa.field("activity", pa.string(), nullable=False),
        pa.field("confidence", pa.float64()),
    ]
)
"""Motion activity as the phone sent it; ``confidence`` 0-1."""

_PROVENANCE: Final = [
    pa.field("source", pa.string(), nullable=False),
    pa.field("source_offset", pa.int64(), nullable=False),
    pa.field("payload_hash", pa.string(), nullable=False),
    pa.field("as_if_live", pa.bool_(), nullable=False),
]

RAW_FIXES: Final = pa.schema([*FIXES, pa.field("platform", pa.string()), *_PROVENANCE])
"""A raw segment's columns: FIXES + where the record came from. ``payload_hash`` is the hex SHA-256 (first 32
digits) of the record's content: device, event_time and what was measured, not when or how it was received
(``ingestion/raw/content.py``); ``platform`` is android, ios or null; ``as_if_live`` marks received_at as stated, not
observed."""

RAW_MOTION: Final = pa.schema([*MOTION, pa.field("platform", pa.string()), *_PROVENANCE])

FACTS: Final = pa.schema(
    [
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("fact_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("started_at", TIME, nullable=False),
        pa.field("ended_at", TIME),
        pa.field("lat", pa.float64(), nullable=False),
        pa.field("lon", pa.float64(), nullable=False),
        pa.field("uncertainty_m", pa.float64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("revision", pa.int32(), nullable=False),
        pa.field("rules_version", pa.string(), nullable=False),
        pa.field("available_at", TIME, nullable=False),
        # evidence, as known at this revision
        pa.field("started_uncertainty_s", pa.float64(), nullable=False),
        pa.field("ended_uncertainty_s", pa.float64()),
        pa.field("radius_m", pa.float64()),
        pa.field("fixes", pa.int32(), nullable=False),
        pa.field("accuracy_m", pa.float64()),
        pa.field("silence_s", pa.float64(), nullable=False),
        pa.field("speed_before_mps", pa.float64()),
        pa.field("speed_after_mps", pa.float64()),
        pa.field("motion_before", pa.string()),
        pa.field("motion_after", pa.string()),
        pa.field("followed_by", pa.string()),
        pa.field("walked_m", pa.float64()),
        pa.field("leg_started_at", TIME),
        pa.field("leg_distance_m", pa.float64()),
        pa.field("leg_max_speed_mps", pa.float64()),
        pa.field("leg_fixes", pa.int32()),
        pa.field("leg_halts", pa.int32()),
        pa.field("return_m", pa.float64()),
        pa.field("next_leg_lat", pa.float64()),
        pa.field("next_leg_lon", pa.float64()),
        pa.field("reasons", pa.string(), nullable=False),
        pa.field("as_if_live", pa.bool_(), nullable=False),
    ]
)
"""One row per fact revision, ordered by (device_id, available_at, kind, started_at, fact_id, revision).

``started_at``/``ended_at``: arrival/departure of a stop or halt; for ``vehicle_left``: when the vehicle was left and
when a vehicle leg next began (null while it has not). Evidence columns that do not apply to a kind are null:

* ``uncertainty_m``: of ``vehicle_left``, the vehicle stands within it about two times in three (68 %, the level at
  which phones state accuracy), as ``benchmarks.stops.uncertainty`` and ``near_doors`` measure. Of a stop: half its
  accuracy and radius.
* ``started_uncertainty_s``, ``ended_uncertainty_s``: width of the interval the moment lies in.
* ``radius_m``: largest distance of the evidence from the centre (stop, halt).
* ``fixes``: fixes the row rests on. ``accuracy_m``: their mean reported accuracy.
* ``silence_s``: longest gap without a fix inside (stop, halt) or right after (vehicle_left).
* ``speed_before_mps``/``speed_after_mps``: approach and departure speed.
* ``motion_before``/``motion_after``: the phone's own activity (one of ACTIVITIES), null where none was sent.
* ``followed_by`` (vehicle_left): one of FOLLOWED. ``walked_m``: farthest seen on foot from the vehicle so far.
* ``leg_*`` (vehicle_left): the vehicle leg that ended here: start, path length, top speed, fixes, halts within.
* ``return_m`` (vehicle_left): distance from here to where the next vehicle leg began (``next_leg_lat``,
  ``next_leg_lon``); null until it does.
* ``reasons``: comma-separated reason codes. ``as_if_live``: rests on stated, not observed, arrival times.
"""

SCORES: Final = pa.schema(
    [
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("fact_id", pa.string(), nullable=False),
        pa.field("decided_at", TIME, nullable=False),
        pa.field("left_at", TIME, nullable=False),
        pa.field("lat", pa.float64(), nullable=False),
        pa.field("lon", pa.float64(), nullable=False),
        pa.field("probability", pa.float64(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
    ]
)
"""One row per candidate (``vehicle_left`` fact) and decision moment."""

LABELS: Final = pa.schema(
    [
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("at", TIME, nullable=False),
        pa.field("lat", pa.float64()),
        pa.field("lon", pa.float64()),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
        pa.field("known_at", TIME, nullable=False),
    ]
)
"""A judgment about a moment and place. ``verdict``: parked or not_parked; ``source``: truth, person, motion, mode;
``known_at``: when the judgment reached us (training as of k sees labels with known_at <= k)."""

COVERAGE: Final = pa.schema(
    [
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("from", TIME, nullable=False),
        pa.field("to", TIME, nullable=False),
        pa.field("source", pa.string(), nullable=False),
    ]
)
"""Where a source's labels are complete: in it, a candidate without a ``parked`` label is not a parking."""

PREDICTIONS: Final = pa.schema(
    [
        pa.field("answer_id", pa.string(), nullable=False),
        pa.field("answered_at", TIME, nullable=False),
        pa.field("asked_at", TIME, nullable=False),
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("candidate_id", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("probability", pa.float64(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
        pa.field("model_tag", pa.string(), nullable=False),
        pa.field("generation", pa.int64(), nullable=False),
        pa.field("rules_version", pa.string(), nullable=False),
        pa.field("features", pa.string(), nullable=False),
    ]
)
"""One row per candidate scored while answering. ``asked_at``: the moment the question was about; ``rank``: 0 is the
newest candidate; ``state``: the answer given (parked, driving, unknown, score); ``features``: JSON object, the exact
features the model was fed."""
