"""One device from the seed to its tables, and all devices one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from ingestion.simulator.activity import report
from ingestion.simulator.cities import city_named
from ingestion.simulator.days import DAY_S, plan_day
from ingestion.simulator.delivery import draw_outages, received
from ingestion.simulator.kinematics import put_in_motion
from ingestion.simulator.people import draw_person
from ingestion.simulator.phones import Phone, draw_phone
from ingestion.simulator.receiver import Fixes, awake_spans, observe
from ingestion.simulator.scenario import FIRMWARES, NoiseProfile, Scenario
from ingestion.simulator.streets import Array, StreetPlan
from ingestion.simulator.trips import Traveller
from ingestion.simulator.truth import constant, coverage_table, labels_table, times, truth_table
from parked.schemas import ACTIVITIES, FIXES, MOTION

SIM_FIXES: Final = pa.schema([*FIXES, pa.field("platform", pa.string())])
SIM_MOTION: Final = pa.schema([*MOTION, pa.field("platform", pa.string())])

# purposes of the random streams: one more or less draw in one never moves another
_PERSON, _PHONE, _DAY, _ROAD, _FIXES, _MOTION, _DELIVERY, _LABELS = range(8)


@dataclass(frozen=True)
class Simulation:
    """Tables of one or more devices, device after device.

    fixes (FIXES + platform) and motion (MOTION + platform) in order of arrival per device (unless shuffled); labels
    (LABELS), coverage (COVERAGE), truth (TRUTH).
    """

    scenario: Scenario
    fixes: pa.Table
    motion: pa.Table
    labels: pa.Table
    coverage: pa.Table
    truth: pa.Table


def device_name(scenario: Scenario, index: int) -> str:
    """Id of the device with that index: the same phone in every scenario of that city and seed."""
    return f"{scenario.city}-{scenario.seed}-{index:05d}"


def simulate(scenario: Scenario, *, progress: Callable[[int], None] | None = None) -> Simulation:
    """All devices of the scenario in memory. ``progress`` is called with 1 after each device.

    About 30 MB per 100 device-weeks; use ``simulate_devices`` where that is too much.
    """
    parts = []
    for part in simulate_devices(scenario):
        parts.append(part)
        if progress is not None:
            progress(1)
    return Simulation(
        scenario,
        pa.concat_tables([part.fixes for part in parts]),
        pa.concat_tables([part.motion for part in parts]),
        pa.concat_tables([part.labels for part in parts]),
        pa.concat_tables([part.coverage for part in parts]),
        pa.concat_tables([part.truth for part in parts]),
    )


def simulate_devices(scenario: Scenario) -> Iterator[Simulation]:
    """The devices of the scenario one by one, in order of index."""
    for index in range(scenario.first_device, scenario.first_device + scenario.devices):
        yield simulate_device(scenario, index)


def simulate_device(scenario: Scenario, index: int) -> Simulation:
    """One device; depends on the scenario's city, seed, start, days, firmware and noise, and on ``index`` alone.

    The person and the phone are the same for every start, firmware and noise; a day's plan depends on its date only.
    """

    def stream(purpose: int, *more: int) -> np.random.Generator:
        return np.random.default_rng([scenario.seed, *scenario.city.encode(), index, purpose, *more])

    city = city_named(scenario.city)
    plan = StreetPlan(city)
    device_id = device_name(scenario, index)
    firmware, noise, span = FIRMWARES[scenario.firmware], scenario.noise, scenario.span_s
    person = draw_person(city, plan, stream(_PERSON))
    phone = draw_phone(firmware, noise, stream(_PHONE))
    traveller = Traveller(person, plan, stream(_DAY))
    first_day = scenario.start.toordinal()
    for day in range(scenario.days):
        traveller.rng = stream(_DAY, first_day + day)
        for move in plan_day(person, (first_day + day - 1) % 7, day * DAY_S, traveller.rng):
            traveller.go(move)
    track = traveller.finish(span + DAY_S)
    motion = put_in_motion(track, plan, stream(_ROAD, first_day))
    stays = motion.node_of[np.array(track.stays, dtype=np.int64)]
    fixes = observe(motion, stays, phone, firmware, noise, span, stream(_FIXES, first_day))
    rng = stream(_DELIVERY, first_day)
    outages = draw_outages(noise, span, rng)
    arrives = received(fixes.t, phone, outages, noise, rng)
    begins, ends = awake_spans(motion, stays, phone, span)
    reports = report(motion, begins, ends, phone, noise, stream(_MOTION, first_day))
    reports_arrive = received(reports.t, phone, outages, noise, rng)
    truth = truth_table(device_id, track.marked, motion, plan, scenario)
    codes = pa.array(reports.code, pa.int32())
    activity = pa.DictionaryArray.from_arrays(codes, pa.array(ACTIVITIES)).cast(pa.string())
    order = np.argsort(reports_arrive, kind="stable")
    return Simulation(
        scenario,
        fixes=_fixes_table(device_id, fixes, arrives, phone, plan, scenario, rng),
        motion=pa.table(
            [
                constant(device_id, len(reports.t)),
                times(reports.t, scenario),
                times(reports_arrive, scenario),
                activity,
                pa.array(reports.confidence),
                constant(phone.platform, len(reports.t)),
            ],
            schema=SIM_MOTION,
        ).take(order),
        labels=labels_table(truth, stream(_LABELS, first_day)),
        coverage=coverage_table(device_id, scenario),
        truth=truth,
    )


def _fixes_table(
    device_id: str,
    fixes: Fixes,
    arrives: Array,
    phone: Phone,
    plan: StreetPlan,
    scenario: Scenario,
    rng: np.random.Generator,
) -> pa.Table:
    """Fixes as they arrive: ordered by arrival, some twice; positions to 1e-7 degrees, values to a millimetre."""
    rows, arrives = _with_resends(arrives, scenario.noise, rng)
    order = np.argsort(arrives, kind="stable")
    if scenario.noise.shuffled:
        order = rng.permutation(len(rows))
    rows, arrives = rows[order], arrives[order]
    lat, lon = plan.to_lat_lon(fixes.east, fixes.north)
    lon = np.round(lon, 7)
    lon = np.where(lon >= 180.0, -180.0, lon)
    speed = fixes.speed_mps[rows]
    return pa.table(
        [
            constant(device_id, len(rows)),
            times(fixes.t[rows], scenario),
            pa.array(np.round(lat, 7)[rows]),
            pa.array(lon[rows]),
            pa.array(np.round(fixes.accuracy_m, 3)[rows]),
            pa.array(np.round(speed, 3), mask=np.isnan(speed)),
            times(arrives, scenario),
            constant(phone.platform, len(rows)),
        ],
        schema=SIM_FIXES,
    )


def _with_resends(arrives: Array, noise: NoiseProfile, rng: np.random.Generator) -> tuple[np.ndarray, Array]:
    """Row numbers and arrivals with the re-sent rows appended: half at once, half 1-60 min later."""
    count = len(arrives)
    again = np.flatnonzero(rng.random(count) < noise.duplicate_rate)
    later = np.where(rng.random(len(again)) < 0.5, rng.uniform(60.0, 3_600.0, len(again)), 0.0)
    return np.concatenate([np.arange(count), again]), np.concatenate([arrives, arrives[again] + later])
