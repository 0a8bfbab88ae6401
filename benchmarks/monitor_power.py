"""False alarms and power of the feature-drift trigger on synthetic phones: ``python -m benchmarks.monitor_power``.

Rows are clustered as real ones are: every phone has its own level of every feature, every phone's day its own too, and
weekends differ. A *quiet* trial serves two further days of the same world; the others change the second week's world in
one way. Told are the shares of trials in which a trigger (feature drift or quality) was raised after one window and
after two running. Limits are those of a new champion, cut out of the training set: the hardest case.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from monitoring import quality
from monitoring.context import context_weights
from monitoring.drift import Column, measure
from monitoring.policy import load_policy
from monitoring.triggers import Look, Observation, Past, decide
from monitoring.windows import DAY_US, PREFIX, Served, Window
from parked.clock import to_us

MONDAY = datetime(2024, 4, 1, tzinfo=UTC)
NUMBERS = ("accuracy_m", "speed_mps", "walked_m", "leg_distance_m", "fixes", "silence_s", "halts", "visits")
CITIES = ("north", "south", "east", "west")
Change = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]


def world(
    rng: np.random.Generator, phones: np.ndarray, days: range, *, per_day: float, levels: np.ndarray
) -> pd.DataFrame:
    """Rows of ``phones`` over ``days`` (0 is a Monday); numbers have sd 1: 0.5 between phones, 0.2 between days."""
    trips = rng.poisson(per_day, size=(len(phones), len(days)))
    phone, day = np.repeat(np.indices(trips.shape).reshape(2, -1), trips.ravel(), axis=1)
    day_level = rng.normal(0, 0.2, size=(len(phones), len(days), len(NUMBERS)))
    rows = len(phone)
    day_number = np.array(days)[day]
    weekend = (day_number % 7 >= 5).astype(float)
    values = levels[phones[phone]][:, : len(NUMBERS)] * 0.5 + day_level[phone, day]
    values += rng.normal(0, 0.84, (rows, len(NUMBERS)))
    values[:, 3] += 0.8 * weekend
    home = (levels[phones[phone], len(NUMBERS)] * 1e6).astype(int) % len(CITIES)
    city = np.where(rng.random(rows) < 0.85, home, rng.integers(0, len(CITIES), rows))
    frame = pd.DataFrame(
        {
            "device_id": np.char.add("phone-", phones[phone].astype(str)).astype(object),
            "candidate_id": np.arange(rows).astype(str).astype(object),
            "left_us": to_us(MONDAY) + day_number * DAY_US + rng.integers(0, DAY_US, rows),
            **{PREFIX + name: values[:, i] for i, name in enumerate(NUMBERS)},
            PREFIX + "city": np.array(CITIES, dtype=object)[city],
        }
    )
    frame.loc[rng.random(rows) < 0.3, PREFIX + "silence_s"] = np.nan
    age = np.exp(rng.normal(6, 2, len(frame)))
    frame[PREFIX + "age_s"] = age
    frame["asked_at_us"] = frame["left_us"]
    # what ripens with the age: the walk is known later
    frame.loc[age < 300, PREFIX + "walked_m"] = np.nan
    return frame.drop(columns="left_us")


def nothing(frame: pd.DataFrame, _rng: np.random.Generator) -> pd.DataFrame:
    return frame


def shifted(frame: pd.DataFrame, _rng: np.random.Generator) -> pd.DataFrame:
    return frame.assign(**{PREFIX + "speed_mps": frame[PREFIX + "speed_mps"] + 0.3})


def doubled(frame: pd.DataFrame, _rng: np.random.Generator) -> pd.DataFrame:
    """Accuracy is log-normal in the world: doubling adds log 2 to its log, here 1 sd = 0.7."""
    return frame.assign(**{PREFIX + "accuracy_m": frame[PREFIX + "accuracy_m"] + np.log(2) / 0.7})


def one_city_more(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    moved = rng.random(len(frame)) < 0.4 / 3  # a quarter of them was in the north already
    return frame.assign(**{PREFIX + "city": frame[PREFIX + "city"].where(~moved, "north")})


def missing(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    gone = rng.random(len(frame)) < 0.3
    return frame.assign(**{PREFIX + "visits": frame[PREFIX + "visits"].mask(gone)})


def unheard_of(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    new = rng.random(len(frame)) < 0.1
    return frame.assign(**{PREFIX + "city": frame[PREFIX + "city"].mask(new, "elsewhere")})


def asked_later(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """No drift at all: people ask later, so more is known."""
    age = np.exp(rng.normal(8, 1, len(frame)))
    known = frame[PREFIX + "walked_m"].fillna(pd.Series(rng.normal(0, 1, len(frame)), index=frame.index))
    return frame.assign(**{PREFIX + "age_s": age, PREFIX + "walked_m": known.where(age >= 300)})


CHANGES: dict[str, Change] = {
    "quiet": nothing,
    "quiet, asked later": asked_later,
    "shift of 0.3 sd": shifted,
    "accuracy doubled": doubled,
    "a category +10 points": one_city_more,
    "30 % missing": missing,
    "10 % of an unseen city": unheard_of,
}


def trial(seed: int, change: Change, *, phones: int, strangers: float) -> tuple[bool, bool]:
    """Whether the trigger was raised after one window, and after two."""
    rng = np.random.default_rng(seed)
    policy = load_policy()
    levels = rng.normal(0, 1, size=(2 * phones, len(NUMBERS) + 1))
    known = np.arange(phones)
    reference = world(rng, known, range(21), per_day=3, levels=levels)
    new = round(phones * strangers)
    asking = np.concatenate([known[new:], np.arange(phones, phones + new)])
    columns = [Column(name, PREFIX + name, False) for name in NUMBERS] + [Column("city", PREFIX + "city", True)]
    history: list[Past] = []
    raised = []
    start = MONDAY + timedelta(days=int(rng.integers(21, 26)))
    for day in range(2):
        window = Window(start + timedelta(days=day), start + timedelta(days=day + 1))
        number = (window.start - MONDAY).days
        frame = change(world(rng, asking, range(number, number + 1), per_day=3, levels=levels), rng)
        served = Served(window, frame, len(frame), 0)
        weights = context_weights(reference, frame, policy.window.context)
        drifts = measure(
            reference, served, [], columns, policy.triggers.feature_drift, policy.window, rng, weights=weights
        )
        looked = quality.look(reference, frame, [c.name for c in columns], ["city"], weights)
        looks = {
            "feature_drift": Look(tuple(d.reading() for d in drifts), served.rows, served.devices),
            "quality": Look(tuple(quality.readings(looked, policy.triggers.quality)), served.rows, served.devices),
        }
        seen = Observation(window.end, window.start, window.end, "m:1", 0, looks)
        decision = decide(history, seen, policy)
        history.append(Past(seen.at, seen.start, seen.end, "m:1", 0, decision.states))
        raised.append(bool(decision.causes))
    return raised[0], raised[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=6, help="per change; quiet worlds get four times as many")
    parser.add_argument("--phones", type=int, default=150)
    parser.add_argument("--strangers", type=float, default=0.2)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    told = {}
    for name, change in CHANGES.items():
        begun = time.perf_counter()
        trials = given.trials * (4 if name.startswith("quiet") else 1)
        results = [trial(seed, change, phones=given.phones, strangers=given.strangers) for seed in range(trials)]
        one, two = np.mean(results, axis=0)
        told[name] = {"one_window": float(one), "two_windows": float(two), "trials": trials}
        if not given.json:
            took = time.perf_counter() - begun
            sys.stdout.write(f"{name:24} one window {one:6.1%}   two {two:6.1%}   of {trials:3}   {took:5.1f} s\n")
    if given.json:
        sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
