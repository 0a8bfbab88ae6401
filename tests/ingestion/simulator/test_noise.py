"""Each knob does its own thing and nothing else; without them the phones are clean."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ingestion.simulator import FIRMWARES, NOISES, NoiseProfile, Scenario, Simulation, simulate
from parked.errors import SettingError, UserError
from parked.geo import distances_m

BASE = Scenario(devices=10, days=4, seed=21, noise=NOISES["clean"])


def with_noise(name: str) -> Simulation:
    return simulate(replace(BASE, noise=NOISES[name]))


@pytest.fixture(scope="module")
def clean() -> pd.DataFrame:
    return simulate(BASE).fixes.to_pandas()


@pytest.fixture(scope="module")
def exact() -> pd.DataFrame:
    return with_noise("exact").fixes.to_pandas()


def errors_m(noisy: pd.DataFrame, exact: pd.DataFrame) -> np.ndarray:
    """Distance of each fix from where the same phone was at the same moment without noise."""
    both = noisy.merge(exact, on=["device_id", "event_time"], suffixes=("", "_true"))
    assert len(both) > 0.9 * len(noisy)
    return distances_m(*(both[c].to_numpy() for c in ("lat", "lon", "lat_true", "lon_true")))


def test_clean_phones_are_a_few_metres_off_and_never_far(clean: pd.DataFrame, exact: pd.DataFrame):
    off = errors_m(clean, exact)
    assert 1 < np.median(off) < 8
    assert off.max() < 120


def test_clean_phones_send_each_fix_once_in_order_with_a_speed(clean: pd.DataFrame):
    assert not clean.duplicated(["device_id", "event_time"]).any()
    assert clean.groupby("device_id").event_time.apply(lambda t: t.is_monotonic_increasing).all()
    assert (clean.received_at - clean.event_time).dt.total_seconds().max() < 60


def test_reported_accuracy_is_honest_on_average():
    noise = replace(NOISES["clean"], gps_scale=1.0, drift_scale=1.0)
    noisy = simulate(replace(BASE, devices=30, noise=noise)).fixes.to_pandas()
    exact = simulate(replace(BASE, devices=30, noise=NOISES["exact"])).fixes.to_pandas()
    both = noisy.merge(exact, on=["device_id", "event_time"], suffixes=("", "_true"))
    off = distances_m(*(both[c].to_numpy() for c in ("lat", "lon", "lat_true", "lon_true")))
    assert 0.55 < (off <= both.accuracy_m).mean() < 0.9
    assert pd.Series(off).corr(both.accuracy_m, method="spearman") > 0.25


def test_the_error_wanders_rather_than_flickers():
    noise = replace(NOISES["clean"], gps_scale=1.0)
    noisy = simulate(replace(BASE, noise=noise)).fixes.to_pandas().sort_values(["device_id", "event_time"])
    exact = simulate(replace(BASE, noise=NOISES["exact"])).fixes.to_pandas()
    both = noisy.merge(exact, on=["device_id", "event_time"], suffixes=("", "_true"))
    north = (both.lat - both.lat_true).to_numpy() * 111_195
    close = (both.event_time.diff().dt.total_seconds() < 6).to_numpy()[1:]
    assert np.corrcoef(north[1:][close], north[:-1][close])[0, 1] > 0.7


def test_jumps_are_one_to_five_kilometres_at_about_their_rate(exact: pd.DataFrame):
    jumping = with_noise("jumps").fixes.to_pandas()
    off = errors_m(jumping, exact)
    far = off > 500
    assert 0.006 < far.mean() < 0.015
    assert off[far].min() > 900
    assert off[far].max() < 5_200
    accuracy = jumping.merge(exact, on=["device_id", "event_time"]).accuracy_m_x.to_numpy()[far]
    assert 0.3 < (accuracy < 60).mean() < 0.7


def test_gaps_silence_a_phone_for_minutes_while_it_moves(clean: pd.DataFrame):
    gappy = with_noise("gaps").fixes.to_pandas()
    lost = clean.merge(gappy[["device_id", "event_time"]], on=["device_id", "event_time"], how="left", indicator=True)
    share = (lost._merge == "left_only").mean()
    assert 0.03 < share < 0.4
    assert len(gappy) == (lost._merge == "both").sum()


def test_drift_makes_indoor_fixes_wander_by_tens_of_metres(exact: pd.DataFrame):
    drifting = with_noise("drift").fixes.to_pandas()
    assert np.quantile(errors_m(drifting, exact), 0.8) > 20


def test_sleeping_phones_are_silent_at_rest(clean: pd.DataFrame):
    asleep = with_noise("sleep").fixes.to_pandas()

    def silent_hours(fixes: pd.DataFrame) -> float:
        gaps = fixes.sort_values(["device_id", "event_time"]).groupby("device_id").event_time.diff().dt.total_seconds()
        return float(gaps[gaps > 3_600].sum() / 3_600)

    assert silent_hours(clean) < 24
    assert silent_hours(asleep) > 10 * 4 * 10


def test_duplicates_are_byte_for_byte_what_was_sent_before(clean: pd.DataFrame):
    twice = with_noise("duplicates").fixes.to_pandas()
    payload = [c for c in twice.columns if c != "received_at"]
    assert 0.07 < twice.duplicated(payload).mean() < 0.12
    once = twice.drop_duplicates(payload).sort_values(["device_id", "event_time"])[payload].reset_index(drop=True)
    pd.testing.assert_frame_equal(once, clean[payload].sort_values(["device_id", "event_time"]).reset_index(drop=True))
    assert twice.duplicated().any()


def test_late_fixes_come_hours_late_and_mostly_in_order():
    late = with_noise("late").fixes.to_pandas()
    lag = (late.received_at - late.event_time).dt.total_seconds()
    assert lag.max() > 3_600
    assert lag.median() < 1_000
    backwards = late.groupby("device_id").event_time.diff().dt.total_seconds() < 0
    assert 0 < backwards.mean() < 0.03


def test_shuffling_changes_nothing_but_the_order_of_rows(clean: pd.DataFrame):
    shuffled = with_noise("shuffled").fixes.to_pandas()
    assert not shuffled.event_time.equals(clean.event_time)
    keys = ["device_id", "event_time"]
    pd.testing.assert_frame_equal(
        shuffled.sort_values(keys).reset_index(drop=True), clean.sort_values(keys).reset_index(drop=True)
    )


def test_noise_never_changes_what_happened():
    truths = [simulate(replace(BASE, noise=NOISES[name])).truth for name in NOISES]
    assert all(truth.equals(truths[0]) for truth in truths)


def test_coarse_firmware_reports_three_times_the_accuracy_half_as_often(clean: pd.DataFrame):
    coarse = simulate(replace(BASE, firmware="coarse")).fixes.to_pandas()
    assert coarse.accuracy_m.median() == pytest.approx(3 * clean.accuracy_m.median(), rel=0.2)
    assert 0.4 < len(coarse) / len(clean) < 0.65


def test_sleepy_firmware_puts_every_phone_to_sleep():
    sleepy = simulate(replace(BASE, firmware="sleepy")).fixes
    assert sleepy.equals(with_noise("sleep").fixes)


def test_motion_says_on_foot_half_a_minute_after_the_parking():
    """DESIGN.md: a median 18 s (iOS) / 31 s (Android), up to 3.5 min; here from when the car stopped."""
    made = simulate(Scenario(devices=60, days=5, seed=4, noise=replace(NOISES["clean"], motion_error_rate=0.02)))
    motion, truth = made.motion.to_pandas(), made.truth.to_pandas()
    parked = truth[(truth.kind == "parked") & (truth.walk_m > 60)]
    parked = parked[(parked.started_at - parked.stopped_at).dt.total_seconds() < 30]
    on_foot = motion[motion.activity == "on_foot"][["device_id", "event_time", "platform"]].sort_values("event_time")
    first = pd.merge_asof(
        parked.sort_values("stopped_at"), on_foot, left_on="stopped_at", right_on="event_time", by="device_id",
        direction="forward", tolerance=pd.Timedelta(minutes=4),
    ).dropna(subset=["event_time"])  # fmt: skip
    delay = (first.event_time - first.stopped_at).dt.total_seconds()
    by_platform = delay.groupby(first.platform).median()
    assert 12 < by_platform["ios"] < 40
    assert 22 < by_platform["android"] < 60
    assert by_platform["ios"] < by_platform["android"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"devices": 0}, "devices"),
        ({"days": -1}, "days"),
        ({"seed": -1}, "seed"),
        ({"city": "atlantis"}, "atlantis"),
        ({"firmware": "beta"}, "beta"),
        ({"noise": NoiseProfile(jump_rate=1.5)}, "jump_rate"),
        ({"noise": NoiseProfile(gps_scale=float("nan"))}, "gps_scale"),
        ({"noise": NoiseProfile(gaps_per_hour=-1)}, "gaps_per_hour"),
    ],
)
def test_a_senseless_scenario_is_refused_in_one_line_that_names_it(change: dict, named: str):
    with pytest.raises(UserError, match=named) as caught:
        replace(BASE, **change)
    assert "\n" not in str(caught.value)


def test_an_unknown_noise_profile_is_refused():
    from ingestion.simulator.scenario import noise_named

    with pytest.raises(SettingError, match="purple"):
        noise_named("purple")


def test_named_profiles_and_firmwares_are_those_promised():
    assert set(NOISES) >= {"clean", "gaps", "jumps", "drift", "sleep", "duplicates", "shuffled", "all"}
    assert set(FIRMWARES) == {"stock", "coarse", "sleepy"}
    assert NOISES["realistic"] == NoiseProfile()
