"""The world as a whole: reproducible, made of separate devices, within the contracts."""

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from ingestion.simulator import CITIES, NOISES, TRUTH, Scenario, Simulation, device_name, simulate, simulate_devices
from parked.geo import distances_m
from parked.schemas import ACTIVITIES, COVERAGE, FIXES, LABELS, MOTION

TABLES = ("fixes", "motion", "labels", "coverage", "truth")
SMALL = Scenario(devices=6, days=2, seed=11)


@pytest.fixture(scope="module")
def world() -> Simulation:
    return simulate(Scenario(devices=60, days=7, seed=3))


def same(one: Simulation, other: Simulation) -> bool:
    return all(getattr(one, name).equals(getattr(other, name)) for name in TABLES)


def only(table: pa.Table, devices: list[str]) -> pa.Table:
    return table.filter(pa.compute.is_in(table["device_id"], pa.array(devices)))


def test_the_same_scenario_gives_the_same_tables():
    assert same(simulate(SMALL), simulate(SMALL))


def test_another_seed_gives_another_world():
    assert not simulate(SMALL).fixes["lat"].equals(simulate(replace(SMALL, seed=12)).fixes["lat"])


def test_a_device_does_not_depend_on_how_many_there_are():
    more = simulate(replace(SMALL, devices=12))
    first = [device_name(SMALL, index) for index in range(6)]
    few = simulate(SMALL)
    for name in TABLES:
        assert only(getattr(more, name), first).equals(getattr(few, name).combine_chunks()), name


def test_a_world_can_be_made_in_parts():
    parts = [simulate(replace(SMALL, devices=2, first_device=first)) for first in (0, 2, 4)]
    whole = simulate(SMALL)
    for name in TABLES:
        assert pa.concat_tables([getattr(part, name) for part in parts]).equals(getattr(whole, name)), name


def test_people_keep_their_homes_when_the_firmware_or_the_date_changes():
    def homes(world: Simulation) -> list[tuple[float, float]]:
        rows = world.truth.to_pylist()
        return [(row["lat"], row["lon"]) for row in rows if row["kind"] == "stay" and row["place"] == "home"][:1]

    later = simulate(replace(SMALL, devices=1, start=date(2026, 3, 2), firmware="coarse"))
    assert homes(later) == homes(simulate(replace(SMALL, devices=1)))


def test_tables_have_exactly_the_contracts_columns(world: Simulation):
    platform = pa.field("platform", pa.string())
    assert world.fixes.schema == pa.schema([*FIXES, platform])
    assert world.motion.schema == pa.schema([*MOTION, platform])
    assert (world.labels.schema, world.coverage.schema, world.truth.schema) == (LABELS, COVERAGE, TRUTH)
    for table in (world.fixes, world.motion, world.labels, world.coverage, world.truth):
        for field in table.schema:
            assert field.nullable or table[field.name].null_count == 0, field.name


def test_values_lie_in_their_domains(world: Simulation):
    fixes = world.fixes.to_pandas()
    assert fixes.lat.between(-90, 90).all()
    assert ((fixes.lon >= -180) & (fixes.lon < 180)).all()
    assert (fixes.accuracy_m > 0).all()
    assert fixes.speed_mps.dropna().between(0, 40).all()
    assert set(fixes.platform) == {"android", "ios"}
    assert (fixes.received_at >= fixes.event_time).all()
    motion = world.motion.to_pandas()
    assert set(motion.activity) <= set(ACTIVITIES)
    assert motion.confidence.between(0, 1).all()
    assert (motion.received_at >= motion.event_time).all()


def test_everything_measured_lies_in_the_span(world: Simulation):
    begins = np.datetime64(world.scenario.start_us, "us")
    ends = begins + np.timedelta64(7, "D")
    for table in (world.fixes, world.motion):
        times = table["event_time"].cast(pa.timestamp("us")).to_numpy()
        assert times.min() >= begins
        assert times.max() < ends


def test_a_phone_sends_a_few_hundred_to_a_few_thousand_fixes_a_day(world: Simulation):
    per_day = world.fixes.to_pandas().groupby("device_id").size() / 7
    assert len(per_day) == 60
    assert 500 < per_day.mean() < 1_800
    assert 250 < per_day.median() < 1_500


def test_phones_of_low_power_and_phones_without_motion_exist(world: Simulation):
    fixes = world.fixes.to_pandas()
    assert (fixes.accuracy_m > 200).mean() > 0.005
    assert 0.6 < world.motion["device_id"].combine_chunks().unique().__len__() / 60 < 0.95


@pytest.mark.parametrize("city", sorted(CITIES))
def test_every_city_lies_around_its_centre(city: str):
    made = simulate(Scenario(devices=4, days=2, city=city, noise=NOISES["exact"]))
    truth = made.truth
    centre = CITIES[city]
    away = distances_m(truth["lat"].to_numpy(), truth["lon"].to_numpy(), np.array(centre.lat), np.array(centre.lon))
    assert away.max() < 2.4 * centre.radius_m + 2_000
    assert ((truth["lon"].to_numpy() >= -180) & (truth["lon"].to_numpy() < 180)).all()


def test_phones_on_the_antimeridian_cross_it_without_a_leap():
    made = simulate(Scenario(devices=12, days=3, city="taveuni", noise=NOISES["exact"])).fixes.to_pandas()
    assert made.lon.min() < -179.9
    assert made.lon.max() > 179.9
    for _, phone in made.sort_values("event_time").groupby("device_id"):
        seconds = phone.event_time.diff().dt.total_seconds().to_numpy()[1:]
        metres = distances_m(
            *(phone[c].to_numpy()[s] for s in (slice(None, -1), slice(1, None)) for c in ("lat", "lon"))
        )
        assert (metres <= 34.0 * seconds + 1).all()


def test_devices_come_one_at_a_time():
    devices = simulate_devices(Scenario(devices=10**9, days=1))
    assert next(devices).coverage.num_rows == 1
    assert next(devices).coverage["device_id"].to_pylist() == ["lisbon-7-00001"]


def test_progress_counts_devices():
    seen: list[int] = []
    simulate(replace(SMALL, devices=3, days=1), progress=seen.append)
    assert seen == [1, 1, 1]
