"""What the simulator says happened agrees with what its noise-free phones saw, and with the real world's figures."""

import numpy as np
import pandas as pd
import pytest

from ingestion.simulator import NOISES, NOT_PARKED_KINDS, Scenario, Simulation, simulate
from parked.geo import distances_m


@pytest.fixture(scope="module")
def exact() -> Simulation:
    return simulate(Scenario(devices=24, days=7, seed=5, noise=NOISES["exact"]))


@pytest.fixture(scope="module")
def town() -> Simulation:
    return simulate(Scenario(devices=80, days=7, seed=2))


def test_the_noise_free_phone_stands_on_the_parking_place_while_the_driver_still_sits(exact: Simulation):
    fixes, truth = exact.fixes.to_pandas(), exact.truth.to_pandas()
    checked = 0
    for device, parkings in truth[truth.kind == "parked"].groupby("device_id"):
        phone = fixes[fixes.device_id == device].sort_values("event_time")
        for parking in parkings.itertuples():
            inside = phone[(phone.event_time >= parking.stopped_at) & (phone.event_time <= parking.started_at)]
            away = distances_m(inside.lat.to_numpy(), inside.lon.to_numpy(), parking.lat, parking.lon)
            assert (away < 1.0).all()
            assert (inside.speed_mps == 0).all()
            checked += len(inside)
    assert checked > 300


def test_nobody_moves_faster_than_33_metres_a_second(exact: Simulation):
    fixes = exact.fixes.to_pandas().sort_values(["device_id", "event_time"])
    assert fixes.speed_mps.max() <= 33.0
    assert fixes.speed_mps.max() > 20.0
    together = fixes.device_id.to_numpy()[1:] == fixes.device_id.to_numpy()[:-1]
    lat, lon = fixes.lat.to_numpy(), fixes.lon.to_numpy()
    metres = distances_m(lat[:-1], lon[:-1], lat[1:], lon[1:])
    seconds = np.diff(fixes.event_time.to_numpy()).astype("timedelta64[us]").astype(float) / 1e6
    assert (metres[together] <= 33.2 * seconds[together] + 0.1).all()


def test_a_car_drives_off_from_where_it_was_left(exact: Simulation):
    truth = exact.truth.to_pandas()
    fixes = dict(list(exact.fixes.to_pandas().groupby("device_id")))
    seen = 0
    for parking in truth[(truth.kind == "parked") & truth.ended_at.notna()].itertuples():
        phone = fixes[parking.device_id]
        off = phone[(phone.event_time - parking.ended_at).abs() < pd.Timedelta(seconds=2)]
        away = distances_m(off.lat.to_numpy(), off.lon.to_numpy(), parking.lat, parking.lon)
        assert (away < 8.0).all()
        seen += len(off)
    assert seen > 30


def test_a_car_is_parked_in_one_place_at_a_time(town: Simulation):
    truth = town.truth.to_pandas()
    for _, parkings in truth[truth.kind == "parked"].groupby("device_id"):
        assert parkings.ended_at.isna().sum() <= 1
        assert (parkings.stopped_at.to_numpy()[1:] > parkings.ended_at.to_numpy()[:-1]).all()


def test_stays_do_not_overlap_and_begin_after_the_walk_from_the_car(town: Simulation):
    truth = town.truth.to_pandas()
    for _, mine in truth.groupby("device_id"):
        stays = mine[mine.kind == "stay"]
        assert (stays.started_at.to_numpy()[1:] >= stays.ended_at.to_numpy()[:-1]).all()
        for parking in mine[mine.kind == "parked"].itertuples():
            after = stays[stays.started_at > parking.started_at].head(1)
            assert after.empty or after.place.iloc[0] == parking.place


def test_walks_from_the_car_are_as_long_as_on_real_drives(town: Simulation):
    """DESIGN.md §5.7: median 104 m, p90 247 m."""
    walks = town.truth["walk_m"].drop_null().to_numpy()
    assert len(walks) > 500
    median, p90 = np.quantile(walks, [0.5, 0.9])
    assert 80 < median < 130
    assert 190 < p90 < 310
    assert np.quantile(walks, 0.02) > 12
    assert walks.max() < 500


def test_most_drivers_walk_off_within_seconds_and_some_stay_for_minutes(town: Simulation):
    truth = town.truth.to_pandas()
    parked = truth[truth.kind == "parked"]
    sits = (parked.started_at - parked.stopped_at).dt.total_seconds()
    assert (sits < 30).mean() > 0.6
    assert 0.03 < (sits > 60).mean() < 0.35
    assert sits.max() <= 600.001


def test_every_hard_negative_happens(town: Simulation):
    kinds = set(town.truth["kind"].to_pylist())
    assert kinds >= {*NOT_PARKED_KINDS, "parked", "stay", "bus_stop", "red_light", "rail_crossing", "jam"}


@pytest.mark.parametrize(
    ("kind", "low_s", "high_s"),
    [
        ("red_light", 10, 110),
        ("bus_stop", 15, 40),
        ("rail_crossing", 40, 180),
        ("dropoff", 20, 180),
        ("fuel", 120, 360),
        ("pickup", 60, 600),
    ],
)
def test_halts_last_as_long_as_they_do(town: Simulation, kind: str, low_s: float, high_s: float):
    truth = town.truth.to_pandas()
    halts = truth[(truth.kind == kind) & truth.ended_at.notna()]
    lasts = (halts.ended_at - halts.started_at).dt.total_seconds()
    assert lasts.between(low_s - 0.01, high_s + 0.01).all()


def test_there_is_one_parked_label_for_every_parking_at_its_time_and_place(town: Simulation):
    truth, labels = town.truth.to_pandas(), town.labels.to_pandas()
    parkings = truth[truth.kind == "parked"].rename(columns={"started_at": "at"})
    parked = labels[labels.verdict == "parked"]
    merged = parked.merge(parkings, on=["device_id", "at", "lat", "lon"])
    assert len(merged) == len(parked) == len(parkings)


def test_there_is_one_not_parked_label_for_every_halt_that_could_pass_for_one(town: Simulation):
    truth, labels = town.truth.to_pandas(), town.labels.to_pandas()
    refused = labels[labels.verdict == "not_parked"]
    assert len(refused) == truth.kind.isin(NOT_PARKED_KINDS).sum() > 100
    assert set(labels.verdict) == {"parked", "not_parked"}
    assert (labels.known_at > labels["at"]).all()
    assert set(labels.source) == {"truth"}
    assert (labels.weight == 1.0).all()


def test_labels_are_complete_over_the_whole_span(town: Simulation):
    coverage, labels = town.coverage.to_pandas(), town.labels.to_pandas()
    assert len(coverage) == 80
    assert ((coverage["to"] - coverage["from"]) == pd.Timedelta(days=7)).all()
    spans = labels.merge(coverage, on="device_id")
    assert ((spans["at"] >= spans["from"]) & (spans["at"] < spans["to"] + pd.Timedelta(hours=1))).all()
