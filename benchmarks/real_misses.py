"""A spot that no fact is near, in words: what the phone sent around the tap."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from benchmarks.real_truth import Spot
from parked.clock import from_us
from parked.geo import distance_m

Row = tuple[int, float, float]
"""time (us), lat, lon"""
MINUTE_US = 60_000_000


@dataclass(frozen=True)
class Miss:
    """``metres``, ``seconds``: of the nearest fact within 2 min (infinite: none)."""

    spot: Spot
    metres: float
    seconds: float
    why: str

    def line(self) -> str:
        """A row of the table."""
        near = "none" if self.metres == float("inf") else f"{self.metres:.0f} m, {self.seconds:.0f} s"
        when = from_us(self.spot.at_us).strftime("%Y-%m-%d %H:%M:%S")
        return f"| {self.spot.device[:14]} | {when} | {near} | {self.why} |"


def misses(
    fixes: pa.Table, left: pa.Table, spots: Sequence[Spot], errors_m: Sequence[float], errors_s: Sequence[float]
) -> list[Miss]:
    """Those of ``spots`` whose nearest fact lies over 50 m off. ``left``: the ``vehicle_left`` rows that stand."""
    tracks, facts = _rows(fixes, "event_time"), _rows(left, "started_at")
    return [
        Miss(spot, metres, seconds, _why(spot, tracks[spot.device], facts[spot.device]))
        for spot, metres, seconds in zip(spots, errors_m, errors_s, strict=True)
        if metres > 50.0
    ]


def _rows(table: pa.Table, time: str) -> dict[str, list[Row]]:
    by_device: dict[str, list[Row]] = defaultdict(list)
    columns = [table["device_id"], table[time].cast(pa.int64()), table["lat"], table["lon"]]
    for device, at, lat, lon in zip(*(c.to_pylist() for c in columns), strict=True):
        by_device[device].append((at, lat, lon))
    return {device: sorted(rows) for device, rows in by_device.items()} | defaultdict(list)


def _why(spot: Spot, track: list[Row], facts: list[Row]) -> str:
    after = [row for row in track if row[0] > spot.at_us]
    before = [row for row in track if row[0] <= spot.at_us]
    words = []
    around = (min((r[0] for r in after), default=spot.at_us) - max((r[0] for r in before), default=spot.at_us)) / 1e6
    if around > 60.0:
        words.append(f"no fix for {around:.0f} s around the tap")
    pace_before = _kmh([r for r in before if r[0] >= spot.at_us - MINUTE_US // 2])
    pace_after = _kmh([r for r in after if r[0] <= spot.at_us + MINUTE_US // 2])
    if pace_before is not None and pace_before > 10.0:
        words.append(f"tapped while rolling at {pace_before:.0f} km/h")
    elif pace_before is not None:
        words.append(f"{pace_before:.0f} km/h in the 30 s before")
    if pace_after is not None and pace_after > 10.0:
        words.append(f"and goes on at {pace_after:.0f} km/h")
    if not after or after[-1][0] - spot.at_us < 15_000_000:
        words.append("the recording ends at the tap")
    elif after:
        farthest = max(distance_m(spot.lat, spot.lon, r[1], r[2]) for r in after if r[0] <= spot.at_us + 2 * MINUTE_US)
        words.append(f"within 2 min after it the phone gets {farthest:.0f} m away")
    if facts:
        at, lat, lon = min(facts, key=lambda r: abs(r[0] - spot.at_us))
        sign = "after" if at > spot.at_us else "before"
        seconds = abs(at - spot.at_us) / 1e6
        words.append(
            f"nearest fact in time {seconds:.0f} s {sign}, {distance_m(spot.lat, spot.lon, lat, lon):.0f} m off"
        )
    else:
        words.append("no fact at all in this recording")
    return "; ".join(words)


def _kmh(rows: list[Row]) -> float | None:
    """Pace over the rows, from the first to the last; None for fewer than two."""
    if len(rows) < 2 or rows[-1][0] == rows[0][0]:
        return None
    metres = sum(distance_m(a[1], a[2], b[1], b[2]) for a, b in itertools.pairwise(rows))
    return 3.6e6 * metres / (rows[-1][0] - rows[0][0])
