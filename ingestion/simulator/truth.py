"""What really happened, as tables: every episode, and the labels and coverage that follow from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingestion.simulator.kinematics import Motion
from ingestion.simulator.scenario import Scenario
from ingestion.simulator.streets import Array, StreetPlan
from ingestion.simulator.track import Marked
from parked.schemas import COVERAGE, LABELS, TIME

TRUTH: Final = pa.schema(
    [
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("started_at", TIME, nullable=False),
        pa.field("ended_at", TIME),
        pa.field("lat", pa.float64(), nullable=False),
        pa.field("lon", pa.float64(), nullable=False),
        pa.field("place", pa.string(), nullable=False),
        pa.field("stopped_at", TIME, nullable=False),
        pa.field("walk_m", pa.float64()),
    ]
)
"""Every true episode that begins within the span, ordered by start.

``kind``: stay, parked, dropoff, pickup, wait (in the car, engine off, nobody leaves), fuel, drive_through, bus_alight,
taxi_alight, passenger_alight, bike_left, bus_stop, red_light, rail_crossing, jam.
``started_at``/``ended_at``: from arrival to departure; for ``parked`` from when the driver walked off to when the car
drove off. ``ended_at`` is null where that lies beyond the span.
``place``: role of the place (stay: where one is; parked: where one went).
``stopped_at``: when the vehicle came to rest (parked; else ``started_at``).
``walk_m``: straight distance from the car to the door (parked).
"""

ALIGHT_KINDS: Final = ("bus_alight", "taxi_alight", "passenger_alight", "bike_left")
NOT_PARKED_KINDS: Final = (*ALIGHT_KINDS, "dropoff", "pickup", "wait", "fuel", "drive_through")
"""Episodes that get a ``not_parked`` label of their own; red lights, jams and bus stops follow from the coverage."""


def truth_table(
    device_id: str, marked: Sequence[Marked], motion: Motion, plan: StreetPlan, scenario: Scenario
) -> pa.Table:
    """The TRUTH rows of one device."""
    nodes = motion.node_of
    start = nodes[np.array([mark.start for mark in marked], dtype=np.int64)]
    end = nodes[np.array([mark.start if mark.end is None else mark.end for mark in marked], dtype=np.int64)]
    where = nodes[np.array([mark.stopped for mark in marked], dtype=np.int64)]
    door = nodes[np.array([mark.stopped if mark.door is None else mark.door for mark in marked], dtype=np.int64)]
    leaving = np.array([mark.start_leaving for mark in marked])
    started = np.where(leaving, motion.leaves[start], motion.arrives[start])
    ended = np.where([mark.end is None for mark in marked], np.inf, motion.leaves[end])
    stopped = np.where(leaving, motion.arrives[where], started)
    walked = np.hypot(motion.east[door] - motion.east[where], motion.north[door] - motion.north[where])
    lat, lon = plan.to_lat_lon(motion.east[where], motion.north[where])
    inside = np.flatnonzero(started < scenario.span_s)
    order = inside[np.lexsort((stopped[inside], started[inside]))]
    kinds = np.array([mark.kind for mark in marked], dtype=object)
    places = np.array([mark.place for mark in marked], dtype=object)
    over = ended[order] < scenario.span_s
    return pa.table(
        [
            constant(device_id, len(order)),
            pa.array(kinds[order], pa.string()),
            times(started[order], scenario),
            times(np.where(over, ended[order], 0.0), scenario, null=~over),
            pa.array(lat[order]),
            pa.array(lon[order]),
            pa.array(places[order], pa.string()),
            times(stopped[order], scenario),
            pa.array(walked[order], mask=kinds[order] != "parked"),
        ],
        schema=TRUTH,
    )


def labels_table(truth: pa.Table, rng: np.random.Generator) -> pa.Table:
    """LABELS of a device's TRUTH: parked where the driver walked off, not_parked for NOT_PARKED_KINDS.

    ``at`` is the moment the vehicle was left (alighting: when one got off; halts: when the vehicle came to rest);
    ``known_at`` some hours later (log-normal around 3 h, 0.2-48 h).
    """
    kinds = truth["kind"].to_numpy(zero_copy_only=False)
    chosen = np.isin(kinds, ["parked", *NOT_PARKED_KINDS])
    delay_us = (np.clip(rng.lognormal(math.log(3.0), 0.8, len(kinds)), 0.2, 48.0) * 3.6e9).astype(np.int64)
    rows, kinds = truth.filter(pa.array(chosen)), kinds[chosen]
    started = rows["started_at"].cast(pa.int64()).to_numpy()
    ended = rows["ended_at"].cast(pa.int64()).fill_null(0).to_numpy()
    at = np.where(np.isin(kinds, ALIGHT_KINDS) & (ended > 0), ended, started)
    return pa.table(
        [
            rows["device_id"],
            pa.array(at).cast(TIME),
            rows["lat"],
            rows["lon"],
            pa.array(np.where(kinds == "parked", "parked", "not_parked"), pa.string()),
            constant("truth", len(at)),
            pa.array(np.ones(len(at))),
            pa.array(at + delay_us[chosen]).cast(TIME),
        ],
        schema=LABELS,
    )


def coverage_table(device_id: str, scenario: Scenario) -> pa.Table:
    """COVERAGE of a device: truth is known for the whole span."""
    span = times(np.array([0.0, scenario.span_s]), scenario)
    return pa.table([pa.array([device_id]), span[:1], span[1:], pa.array(["truth"])], schema=COVERAGE)


def times(seconds: Array, scenario: Scenario, null: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Seconds since the start of the span as an Arrow TIME array, whole milliseconds."""
    us = np.round(seconds * 1000).astype(np.int64) * 1000 + scenario.start_us
    return pa.array(us, mask=null).cast(TIME)


def constant(value: str, count: int) -> pa.Array:
    """A string column of one value."""
    return pa.array(np.full(count, value, dtype=object), pa.string())
