"""Held-out questions: what was the truth, and what would have been weighed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from parked.clock import to_us
from tests.training.world import START
from training.config import TrainingConfig
from training.questions import left_again, questions_for
from training.snapshots import final_candidates

HOUR = 3_600_000_000
T0 = to_us(START)


@pytest.fixture
def everyone_held_out(config: TrainingConfig) -> TrainingConfig:
    rules = config.split.model_copy(update={"test_devices": 0.999, "calibration_devices": 0.0005})
    measured = config.evaluation.model_copy(update={"questions_per_device": 12})
    return config.model_copy(update={"split": rules, "evaluation": measured})


def state(
    name: str, known_h: float, left_h: float, status: str = "FINAL", ended_h: float | None = None, lat: float = 50.0
) -> dict[str, Any]:
    """A snapshot of a candidate of one phone; hours after T0."""
    return {
        "candidate_id": name,
        "device_id": "d",
        "cell": "x",
        "at_us": T0 + int(known_h * HOUR),
        "available_at": None,
        "left_at_us": T0 + int(left_h * HOUR),
        "status": status,
        "lat": lat,
        "lon": 10.0,
        "ended_at_us": np.nan if ended_h is None else T0 + ended_h * HOUR,
        "return_m": np.nan if ended_h is None else 5.0,
    }


def ask(config: TrainingConfig, *states: dict[str, Any], labels: dict[str, int]) -> pd.DataFrame:
    frame = pd.DataFrame(states).sort_values(["candidate_id", "at_us"], ignore_index=True)
    candidates = final_candidates(frame)
    labelled = candidates[candidates["candidate_id"].isin(labels)].copy()
    labelled["label"] = labelled["candidate_id"].map(labels)
    labelled["truth_lat"], labelled["truth_lon"] = labelled["lat"], labelled["lon"]
    found = questions_for(frame, candidates, labelled, 0, config)
    return found.assign(hour=(found["decided_at_us"].astype("int64") - T0) / HOUR)


def test_the_newest_parking_is_the_truth_and_older_candidates_are_runners_up(everyone_held_out):
    found = ask(
        everyone_held_out,
        state("a", 0.1, 0),
        state("a", 10, 0, ended_h=10),
        state("b", 12, 11.9, lat=50.001),
        state("end", 24, 23.9, lat=50.1),
        labels={"a": 1, "b": 1, "end": 0},
    )
    late = found[(found["hour"] > 12) & (found["hour"] < 23)]
    assert late[late["rank"] == 0]["candidate_id"].unique().tolist() == ["b"]
    assert late[late["rank"] == 0]["metres_off"].max() < 1
    assert late[late["rank"] == 1]["metres_off"].min() > 100
    assert late[late["candidate_id"] == "a"]["has_left"].all()
    assert not late["vehicle_gone"].any()


def test_while_it_is_not_known_that_the_vehicle_left_nothing_is_asked(everyone_held_out):
    found = ask(
        everyone_held_out,
        state("a", 0.1, 0),
        state("a", 12, 0, ended_h=6),  # a silent phone: it may have left from hour 6 on, which was known at 12
        state("end", 24, 23.9, lat=50.1),
        labels={"a": 1, "end": 0},
    )
    assert not found["hour"].between(6, 12, inclusive="left").any()
    assert not found[found["hour"] < 6]["vehicle_gone"].any()
    assert found[found["hour"] >= 12]["vehicle_gone"].all()


def test_before_anything_was_parked_no_pin_is_right(everyone_held_out):
    found = ask(everyone_held_out, state("bus", 0.1, 0), state("bus2", 24, 23.9), labels={"bus": 0, "bus2": 0})
    assert len(found) > 0
    assert found["vehicle_gone"].all()
    assert found["metres_off"].isna().all()


def test_an_unlabelled_candidate_after_the_truth_makes_it_unknown(everyone_held_out):
    states = (state("a", 0.1, 0), state("who", 8.1, 8), state("end", 24, 23.9))
    found = ask(everyone_held_out, *states, labels={"a": 1, "end": 0})
    assert found["hour"].max() < 8


def test_a_candidate_retracted_by_then_is_not_weighed(everyone_held_out):
    found = ask(
        everyone_held_out,
        state("a", 0.1, 0),
        state("gone", 2.1, 2, "OPEN"),
        state("gone", 2.2, 2, "RETRACTED"),
        state("end", 24, 23.9, lat=50.1),
        labels={"a": 1, "gone": 0, "end": 0},
    )
    assert set(found["candidate_id"]) == {"a"}


def test_left_again_means_the_next_leg_began_by_then_and_near():
    at = np.array([10.0, 10.0, 10.0, 10.0, 10.0])
    ended = np.array([np.nan, 5.0, 5.0, 5.0, 15.0])
    back = np.array([np.nan, 20.0, 900.0, np.nan, 20.0])
    assert left_again(ended, back, at, 200.0).tolist() == [False, True, False, True, False]
