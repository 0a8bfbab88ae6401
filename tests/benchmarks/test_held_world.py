"""The held-out world says what it is: known truth, and each trouble as large as stated."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from benchmarks.stops.held.faults import VARIANTS
from benchmarks.stops.held.kinematics import hop, queue
from benchmarks.stops.held.world import World, make
from benchmarks.stops.world import VARIANTS as TUNED_VARIANTS
from parked.geo import distances_m
from parked.schemas import FIXES, MOTION

PHONES, SEED = 12, 11


def world(variant: str) -> World:
    return make(variant, phones=PHONES, seed=SEED)


def frame(variant: str) -> pd.DataFrame:
    fixes = world(variant).fixes
    times = fixes["event_time"].cast(pa.int64()).to_numpy() / 1e6
    return pd.DataFrame(
        {"device": fixes["device_id"].to_pylist(), "t": times, "lat": fixes["lat"].to_numpy(), "lon": fixes["lon"]}
    )


def test_it_has_the_variants_of_the_world_the_rules_were_tuned_on() -> None:
    assert tuple(VARIANTS) == TUNED_VARIANTS


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_a_seed_gives_the_same_records_again_in_the_contracts_columns(variant: str) -> None:
    first = world(variant)
    assert first.fixes.equals(world(variant).fixes)
    assert first.fixes.schema.equals(FIXES)
    assert first.motion.schema.equals(MOTION)
    assert not first.fixes.equals(make(variant, phones=PHONES, seed=SEED + 1).fixes)


def test_a_phone_is_the_same_whatever_the_number_of_phones() -> None:
    few, many = make("all", phones=3, seed=SEED), make("all", phones=6, seed=SEED)
    pd.testing.assert_frame_equal(few.stays, many.stays[many.stays["device_id"].isin(few.stays["device_id"])])


def test_seeds_to_tune_on_share_no_phone_with_seeds_to_measure_on() -> None:
    tuned = make("clean", phones=PHONES, seed=SEED, tune=True)
    assert not set(tuned.stays["device_id"]) & set(world("clean").stays["device_id"])


def test_stays_last_six_minutes_at_least_and_never_overlap() -> None:
    stays = world("clean").stays
    assert (stays["left"] - stays["arrived"]).min() >= 360.0
    for _, rows in stays.groupby("device_id"):
        assert (rows["arrived"].to_numpy()[1:] > rows["left"].to_numpy()[:-1]).all()


def test_clean_fixes_inside_a_stay_lie_about_its_door() -> None:
    fixes, stays = frame("clean"), world("clean").stays
    for stay in stays.itertuples():
        inside = fixes[(fixes["device"] == stay.device_id) & fixes["t"].between(stay.arrived, stay.left)]
        metres = distances_m(inside["lat"].to_numpy(), inside["lon"].to_numpy(), np.array(stay.lat), np.array(stay.lon))
        assert np.median(metres) < 30.0


def test_one_in_ten_is_sent_twice_and_shuffling_loses_nothing() -> None:
    clean = frame("clean").sort_values(["device", "t"]).reset_index(drop=True)
    twice = frame("duplicates")
    assert 1.08 < len(twice) / len(clean) < 1.12
    assert len(twice.drop_duplicates()) == len(clean)
    mixed = frame("shuffled")
    assert not mixed["t"].is_monotonic_increasing
    pd.testing.assert_frame_equal(mixed.sort_values(["device", "t"]).reset_index(drop=True), clean)


def test_one_fix_in_a_hundred_jumps_by_one_to_five_kilometres() -> None:
    clean, jumped = frame("clean"), frame("jumps")
    metres = distances_m(*(f[c].to_numpy() for f in (clean, jumped) for c in ("lat", "lon")))
    far = metres > 1.0
    assert 0.006 < far.mean() < 0.014
    assert metres[far].min() > 950.0
    assert metres[far].max() < 5100.0


def test_drift_moves_fixes_at_rest_only_and_by_no_more_than_80_m() -> None:
    clean, drifted = frame("clean"), frame("drift")
    metres = distances_m(*(f[c].to_numpy() for f in (clean, drifted) for c in ("lat", "lon")))
    assert 30.0 < np.quantile(metres[metres > 1.0], 0.9) < 81.0
    assert metres.max() < 81.0


def test_a_sleeping_phone_says_nothing_from_two_minutes_after_arrival_until_it_departs() -> None:
    fixes, stays = frame("sleep"), world("sleep").stays
    ends = stays.groupby("device_id")["left"].transform("max") == stays["left"]
    for stay in stays[~ends].itertuples():
        inside = fixes[(fixes["device"] == stay.device_id) & (fixes["t"] > stay.arrived + 120)]
        assert not inside["t"].between(stay.arrived + 120, stay.left - 0.001).any()


def test_gaps_last_a_minute_at_least() -> None:
    lost = len(frame("clean")) - len(frame("gaps"))
    assert 0.08 < lost / len(frame("clean")) < 0.3


def test_a_car_reaches_its_mark_from_standstill_to_standstill_within_its_limits() -> None:
    way = hop(400.0, 14.0, 2.0, 2.0)
    pace = np.diff(way, prepend=0.0)
    assert way[-1] == 400.0
    assert (pace >= 0.0).all()
    assert pace.max() <= 14.0 + 1e-9
    assert np.abs(np.diff(pace)).max() <= 2.0 + 1e-9


def test_a_jam_is_no_stop_at_the_pace_of_its_five_minutes() -> None:
    for seed in range(20):
        way = queue(1200.0, np.random.default_rng(seed))
        moved = way[300:] - way[:-300] if len(way) > 300 else np.array([way[-1]])
        assert moved.min() > 150.0
