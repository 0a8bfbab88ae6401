"""Hand-made FACTS tables: small days of a driver, told as revisions, for folds to be tested on."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from parked.geo import distance_m, offset_m
from parked.schemas import FACTS

START = 1_700_000_000_000_000
"""2023-11-14 22:13:20 UTC in microseconds."""
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
HOME = (48.137, 11.575)

_BLANK: dict[str, Any] = {
    "ended_at": None,
    "uncertainty_m": 10.0,
    "status": "PROVISIONAL",
    "revision": 0,
    "rules_version": "v1",
    "started_uncertainty_s": 5.0,
    "ended_uncertainty_s": None,
    "radius_m": None,
    "fixes": 5,
    "accuracy_m": 8.0,
    "silence_s": 0.0,
    "speed_before_mps": None,
    "speed_after_mps": None,
    "motion_before": None,
    "motion_after": None,
    "followed_by": None,
    "walked_m": None,
    "leg_started_at": None,
    "leg_distance_m": None,
    "leg_max_speed_mps": None,
    "leg_fixes": None,
    "leg_halts": None,
    "return_m": None,
    "next_leg_lat": None,
    "next_leg_lon": None,
    "reasons": "",
    "as_if_live": False,
}

Row = dict[str, Any]


def row(device_id: str, fact_id: str, kind: str, started_at: int, available_at: int, **columns: Any) -> Row:
    """One fact revision; what is not given is unremarkable."""
    lat, lon = columns.pop("at", HOME)
    return {
        **_BLANK,
        "device_id": device_id,
        "fact_id": fact_id,
        "kind": kind,
        "started_at": started_at,
        "available_at": available_at,
        "lat": lat,
        "lon": lon,
        **columns,
    }


def table(rows: list[Row]) -> pa.Table:
    """FACTS of these rows, in the order given."""
    columns = {}
    for name in FACTS.names:
        kind = FACTS.field(name).type
        values = [r[name] for r in rows]
        columns[name] = (
            pa.array(values, pa.int64()).cast(kind) if pa.types.is_timestamp(kind) else pa.array(values, kind)
        )
    return pa.table(columns, schema=FACTS)


@dataclass
class Driver:
    """A phone whose facts are told trip by trip, as revisions at milestones."""

    device_id: str
    seed: int = 0
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(f"{self.device_id}/{self.seed}")
        self.now = START
        self.at = HOME
        self.trips = 0
        self._revision: dict[str, int] = {}
        self._last: Row | None = None

    def say(self, fact_id: str, kind: str, started_at: int, available_at: int, **columns: Any) -> Row:
        """Append a revision."""
        self._revision[fact_id] = self._revision.get(fact_id, -1) + 1
        said = row(self.device_id, fact_id, kind, started_at, available_at, revision=self._revision[fact_id], **columns)
        self.rows.append(said)
        return said

    def trip(self, *, to: tuple[float, float] | None = None, stay_s: float = 3600.0, lag_s: float = 20.0) -> None:
        """A drive, a halt on the way, the vehicle left, a stop beside it; the next drive begins after ``stay_s``."""
        rng, lag = self.random, int(lag_s * SECOND)
        self.trips += 1
        name = f"{self.device_id}-{self.trips:04d}"
        began, start_at = self.now, self.at
        if self._last is not None:
            self._last = {**self._last, "ended_at": began, "return_m": 12.0}
            self._end_previous(began, lag)
        target = to or offset_m(*start_at, rng.uniform(-4000, 4000), rng.uniform(-4000, 4000))
        length = distance_m(*start_at, *target) * rng.uniform(1.1, 1.6)
        left = began + int(length / 9.0 * SECOND) + MINUTE
        halt_at = began + (left - began) // 2
        middle = ((start_at[0] + target[0]) / 2, (start_at[1] + target[1]) / 2)
        self.say(f"h{name}", "halt", halt_at, halt_at + lag, at=middle, radius_m=5.0, status="OPEN")
        self.say(
            f"h{name}", "halt", halt_at, halt_at + 40 * SECOND + lag, at=middle, radius_m=5.0, status="FINAL",
            ended_at=halt_at + 40 * SECOND,
        )  # fmt: skip
        leg = {
            "at": target,
            "leg_started_at": began,
            "leg_distance_m": length,
            "leg_max_speed_mps": rng.uniform(10, 25),
            "leg_fixes": max(2, int((left - began) / SECOND / 10)),
            "leg_halts": rng.randint(0, 4),
            "speed_before_mps": rng.uniform(1, 9),
            "motion_before": rng.choice([None, "in_vehicle"]),
        }
        self.say(f"v{name}", "vehicle_left", left, left + lag, followed_by="unknown", status="OPEN", **leg)
        walked = rng.uniform(5, 150)
        beside = offset_m(*target, walked, 0.0)
        leg |= {"followed_by": "foot", "walked_m": walked, "motion_after": rng.choice([None, "on_foot"])}
        self.say(f"v{name}", "vehicle_left", left, left + 5 * MINUTE + lag, **leg)
        rested = left + 2 * MINUTE
        # at the same moment as the candidate's revision: both become known together
        self.say(f"s{name}", "stop", rested, left + 5 * MINUTE + lag, at=beside, radius_m=20.0, status="OPEN")
        self.now, self.at = left + int(stay_s * SECOND), target
        self._last = {"name": name, "left": left, "leg": leg, "rested": rested, "beside": beside}

    def _end_previous(self, began: int, lag: int) -> None:
        assert self._last is not None
        last = self._last
        walked_off = began - 2 * MINUTE
        if walked_off > last["rested"]:
            self.say(
                f"s{last['name']}", "stop", last["rested"], began + lag, at=last["beside"], radius_m=25.0,
                status="FINAL", ended_at=walked_off, ended_uncertainty_s=10.0,
            )  # fmt: skip
        self.say(
            f"v{last['name']}", "vehicle_left", last["left"], began + lag, status="FINAL", ended_at=began,
            ended_uncertainty_s=5.0, return_m=12.0, next_leg_lat=self.at[0], next_leg_lon=self.at[1], **last["leg"],
        )  # fmt: skip

    def retract_last(self, lag_s: float = 400.0) -> None:
        """Late fixes show that the newest candidate never was."""
        assert self._last is not None
        last = self._last
        at = last["left"] + int(lag_s * SECOND) + 5 * MINUTE
        self.say(f"v{last['name']}", "vehicle_left", last["left"], at, status="RETRACTED", **last["leg"])
        self._last = None


def commuter(device_id: str = "d1", days: int = 4, seed: int = 0) -> Driver:
    """Home, work and some errands; one candidate is retracted, one short drop-off."""
    driver = Driver(device_id, seed)
    work = offset_m(*HOME, 6000.0, 1500.0)
    for day in range(days):
        driver.trip(to=work, stay_s=8 * 3600)
        if day % 3 == 1:
            driver.trip(stay_s=90)
            driver.trip(stay_s=20 * 60)
            driver.retract_last()
        driver.trip(to=HOME, stay_s=13 * 3600)
    return driver


PLACES = tuple(offset_m(*HOME, east, north) for east, north in ((0, 0), (90, 20), (260, 0), (3000, 1000)))
"""Near, next cell, two cells on, far."""


def rough(events: list[tuple[int, int, int | None, int, int, int]], device_id: str = "d1") -> list[Row]:
    """Revisions that no kernel would make, to try the folds' bookkeeping: one per event, an event being (fact number,
    start minute, minutes it lasted or None, place number, status number, minute it became available).

    Facts 0-3 are candidates, 4-6 stops, 7-8 halts.
    """
    rows = []
    for revision, (number, start, lasted, place, status, available) in enumerate(events):
        kind = "vehicle_left" if number < 4 else "stop" if number < 7 else "halt"
        began = START + start * MINUTE
        rows.append(
            row(
                device_id, f"{kind}-{number}", kind, began, START + available * MINUTE,
                at=PLACES[place], revision=revision, status=("PROVISIONAL", "FINAL", "RETRACTED")[status],
                ended_at=None if lasted is None else began + lasted * MINUTE,
                followed_by="foot" if kind == "vehicle_left" else None,
                leg_started_at=began - 5 * MINUTE if kind == "vehicle_left" else None,
                leg_distance_m=1000.0 + number if kind == "vehicle_left" else None,
                leg_fixes=30 if kind == "vehicle_left" else None,
                leg_halts=1 if kind == "vehicle_left" else None,
                return_m=10.0 if kind == "vehicle_left" and lasted is not None else None,
            )
        )  # fmt: skip
    return rows
