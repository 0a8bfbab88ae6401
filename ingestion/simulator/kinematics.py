"""Noise-free motion: puts time to a track, all of it at once, with limited acceleration.

The line is cut into pieces of at most 120 m and bent onto the city's plan. Speed at the nodes is the highest that keeps
every limit: ``v(s)^2`` may grow by at most ``2 a ds``, so with ``A`` the running sum of ``2 a ds`` the forward pass is
``min.accumulate(v^2 - A) + A``, and the backward pass the same from the other end (no loop). Between nodes:
accelerate, cruise, brake, each at constant acceleration, in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from ingestion.simulator.streets import Array, StreetPlan
from ingestion.simulator.track import BUS, CANYON, FOOT, OPEN, VEHICLE, Track

Codes = npt.NDArray[np.int8]
Indices = npt.NDArray[np.int64]

Number = TypeVar("Number", np.float64, np.int8)

PIECE_M: Final = 120.0
SPEED_LIMIT_MPS: Final = 33.0
SPEEDING_UP: Final = np.array([1.0, 1.0, 0.7, 1.6, 1.0])
BRAKING: Final = np.array([1.0, 1.0, 1.2, 2.0, 1.2])
"""m/s², by mode."""
CORNER_MPS: Final = np.array([99.0, 99.0, 3.2, 5.2, 4.0])
"""Speed in a right-angled turn, by mode; scales with 1 / tan(angle / 2)."""
PHASES: Final = 4
"""Per node: at rest there, then speeding up, cruising, braking towards the next."""


@dataclass(frozen=True)
class Motion:
    """The noise-free movement of one device. Node arrays have shape (n,); phase arrays (4 n,), node-major.

    Times are seconds since the start of the span; places metres east and north of the city's centre.
    """

    arrives: Array
    leaves: Array
    arc: Array
    """Way travelled up to each node (m)."""
    east: Array
    north: Array
    node_of: Indices
    """Index here of each of the track's own nodes."""
    phase_at: Array
    phase_arc: Array
    phase_speed: Array
    phase_acceleration: Array
    phase_mode: Codes
    """STILL, FOOT, BIKE, VEHICLE, as the person would say: sitting in a waiting car is VEHICLE."""
    phase_env: Codes

    def phase(self, t: Array) -> Indices:
        """Index of the phase at each time."""
        return np.maximum(np.searchsorted(self.phase_at, t, side="right") - 1, 0)

    def arc_at(self, t: Array, phase: Indices) -> Array:
        """Way travelled at each time (m)."""
        tau = t - self.phase_at[phase]
        arc = self.phase_arc[phase] + tau * (self.phase_speed[phase] + 0.5 * self.phase_acceleration[phase] * tau)
        return np.asarray(arc)

    def speed_at(self, t: Array, phase: Indices) -> Array:
        """Speed at each time (m/s)."""
        tau = t - self.phase_at[phase]
        return np.asarray(np.maximum(0.0, self.phase_speed[phase] + self.phase_acceleration[phase] * tau))

    def place(self, arc: Array) -> tuple[Array, Array]:
        """Metres east and north of the centre, that far along the way."""
        return np.interp(arc, self.arc, self.east), np.interp(arc, self.arc, self.north)


@dataclass(frozen=True)
class _Nodes:
    east: Array
    north: Array
    limit: Array
    mode: Codes
    env: Codes
    dwell: Array
    until: Array
    halts: npt.NDArray[np.bool_]
    rest_mode: Codes
    rest_env: Codes
    node_of: Indices


def put_in_motion(track: Track, plan: StreetPlan, rng: np.random.Generator) -> Motion:
    """Time the whole track. ``rng`` varies the speed a little from piece to piece."""
    nodes = _cut_and_bend(track, plan, rng)
    length = np.hypot(np.diff(nodes.east), np.diff(nodes.north))
    mode = nodes.mode[1:]
    up, down = SPEEDING_UP[mode], BRAKING[mode]
    speed = _node_speeds(nodes, length, up, down)
    v0, v1, limit = speed[:-1], speed[1:], nodes.limit[1:]
    top = np.sqrt(np.minimum(limit**2, (2 * up * down * length + down * v0**2 + up * v1**2) / (up + down)))
    top = np.maximum(top, np.maximum(v0, v1))
    rising, falling = (top - v0) / up, (top - v1) / down
    level_m = np.maximum(0.0, length - (top**2 - v0**2) / (2 * up) - (top**2 - v1**2) / (2 * down))
    level = np.divide(level_m, top, out=np.zeros_like(top), where=top > 0)
    # departure: as soon as the dwell is over, but not before `until`; a running maximum carries lateness on
    worked = np.concatenate([[0.0], np.cumsum(rising + level + falling + nodes.dwell[:-1])]) + nodes.dwell
    leaves = worked + np.maximum.accumulate(np.maximum(nodes.until - worked, 0.0))
    arrives = np.concatenate([[0.0], leaves[:-1] + rising + level + falling])
    arc = np.concatenate([[0.0], np.cumsum(length)])
    braking_at = leaves[:-1] + rising + level
    end, zero = leaves[-1:], np.zeros(1)
    return Motion(
        arrives=arrives,
        leaves=leaves,
        arc=arc,
        east=nodes.east,
        north=nodes.north,
        node_of=nodes.node_of,
        phase_at=_interleave(
            arrives, np.append(leaves[:-1], end), np.append(leaves[:-1] + rising, end), np.append(braking_at, end)
        ),
        phase_arc=_interleave(
            arc,
            arc,
            arc + np.append((top**2 - v0**2) / (2 * up), zero),
            arc + np.append((top**2 - v0**2) / (2 * up) + level_m, zero),
        ),
        phase_speed=_interleave(np.zeros_like(arc), np.append(v0, zero), np.append(top, zero), np.append(top, zero)),
        phase_acceleration=_interleave(
            np.zeros_like(arc), np.append(up, zero), np.zeros_like(arc), np.append(-down, zero)
        ),
        phase_mode=_as_person(_interleave(nodes.rest_mode, *[np.append(mode, nodes.rest_mode[-1:])] * 3)),
        phase_env=_interleave(nodes.rest_env, *[np.append(nodes.env[1:], nodes.rest_env[-1:])] * 3),
    )


def _node_speeds(nodes: _Nodes, length: Array, up: Array, down: Array) -> Array:
    """Highest speed at each node within all limits: halts, corners, pieces, acceleration, braking."""
    cap = np.minimum(np.append(nodes.limit[1:], 0.0), np.append(0.0, nodes.limit[1:]))
    squared = np.minimum(cap, _corner_caps(nodes, length)) ** 2
    squared[nodes.halts] = 0.0
    for gain, forward in ((up, True), (down, False)):
        run = np.concatenate([[0.0], np.cumsum(2 * gain * length)])
        if forward:
            squared = np.minimum.accumulate(squared - run) + run
        else:
            squared = np.minimum.accumulate((squared + run)[::-1])[::-1] - run
    squared = np.maximum(squared, 0.0)
    squared[nodes.halts] = 0.0  # the running sums leave rounding dust of ~1e-8
    return np.asarray(np.sqrt(squared))


def _corner_caps(nodes: _Nodes, length: Array) -> Array:
    """What the turn at each node allows."""
    caps = np.full(len(nodes.east), np.inf)
    safe = np.maximum(length, 1e-9)
    east, north = np.diff(nodes.east) / safe, np.diff(nodes.north) / safe
    along = np.clip(east[:-1] * east[1:] + north[:-1] * north[1:], -1.0, 1.0)
    half_tangent = np.sqrt((1 - along) / np.maximum(1 + along, 1e-9))
    turning = np.maximum(1.2, CORNER_MPS[nodes.mode[1:-1]] / np.maximum(half_tangent, 1e-3))
    caps[1:-1] = np.where((length[:-1] > 0) & (length[1:] > 0), turning, np.inf)
    return caps


def _cut_and_bend(track: Track, plan: StreetPlan, rng: np.random.Generator) -> _Nodes:
    """The track's nodes with more between them, in metres east and north."""
    x, y = np.array(track.x), np.array(track.y)
    pieces = np.ones(len(x), dtype=np.int64)
    pieces[1:] = np.maximum(1, np.ceil(np.hypot(np.diff(x), np.diff(y)) / PIECE_M)).astype(np.int64)
    node_of = np.cumsum(pieces) - 1
    own = np.repeat(np.arange(len(x)), pieces)
    before = np.maximum(own - 1, 0)
    share = (np.arange(len(own)) - (node_of[own] - pieces[own])) / pieces[own]
    east, north = plan.bend(x[before] + share * (x[own] - x[before]), y[before] + share * (y[own] - y[before]))
    is_own = np.zeros(len(own), dtype=np.bool_)
    is_own[node_of] = True
    mode = np.array(track.mode, dtype=np.int8)[own]
    env, rest_env = np.array(track.env, dtype=np.int8)[own], np.array(track.rest_env, dtype=np.int8)[own]
    narrow = np.hypot(east, north) < plan.city.core_m
    wiggle = np.clip(rng.normal(1.0, np.where(mode == FOOT, 0.04, 0.07)), 0.8, 1.2)
    return _Nodes(
        east=east,
        north=north,
        limit=np.minimum(np.array(track.speed)[own] * wiggle, np.where(mode == FOOT, 1.8, SPEED_LIMIT_MPS)),
        mode=mode,
        env=np.where(narrow & (env == OPEN), np.int8(CANYON), env),
        dwell=np.where(is_own, np.array(track.dwell)[own], 0.0),
        until=np.where(is_own, np.array(track.until)[own], -np.inf),
        halts=is_own & np.array(track.halts)[own],
        rest_mode=np.array(track.rest_mode, dtype=np.int8)[own],
        rest_env=np.where(narrow & (rest_env == OPEN), np.int8(CANYON), rest_env),
        node_of=node_of,
    )


def _interleave(*columns: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """(n,) columns to (n * columns,), node-major."""
    return np.stack(columns, axis=1).ravel()


def _as_person(mode: Codes) -> Codes:
    return np.where(mode == BUS, np.int8(VEHICLE), mode)
