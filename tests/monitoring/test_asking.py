from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monitoring.asking import QUESTIONS, questions

HOUR = 3_600_000_000
T0 = 1_700_000_000_000_000


def snapshots(*rows: tuple[str, str, float, float, str]) -> pd.DataFrame:
    """(device, candidate, left at hour, changed at hour, status)."""
    return pd.DataFrame(
        {
            "device_id": [r[0] for r in rows],
            "candidate_id": [r[1] for r in rows],
            "cell": [f"cell-{r[1]}" for r in rows],
            "left_at_us": [T0 + int(r[2] * HOUR) for r in rows],
            "at_us": [T0 + int(r[3] * HOUR) for r in rows],
            "status": [r[4] for r in rows],
        }
    )


def asked(frame: pd.DataFrame) -> pd.DataFrame:
    found = questions(frame, np.random.default_rng(0))
    return found.assign(hour=(found["asked_at_us"] - T0) / HOUR)


def test_a_candidate_is_asked_about_from_when_it_was_known_until_it_was_retracted() -> None:
    found = asked(
        snapshots(
            ("d", "a", 0, 1, "OPEN"),
            ("d", "b", 3, 4, "OPEN"),
            ("d", "b", 3, 6, "RETRACTED"),
            ("d", "a", 0, 10, "FINAL"),
        )
    )
    b = found.loc[found["candidate_id"] == "b", "hour"]
    assert (b.min(), b.max()) == (pytest.approx(4, abs=0.05), pytest.approx(6, abs=0.05))
    a = found.loc[found["candidate_id"] == "a", "hour"]
    assert (a.min(), a.max()) == (pytest.approx(1, abs=0.05), pytest.approx(10, abs=0.05))


def test_a_candidate_that_came_back_is_asked_about_again() -> None:
    found = asked(
        snapshots(
            ("d", "a", 0, 1, "OPEN"),
            ("d", "a", 0, 2, "RETRACTED"),
            ("d", "a", 0, 5, "FINAL"),
            ("d", "a", 0, 9, "FINAL"),
        )
    )
    assert not found["hour"].between(2.01, 4.99).any()
    assert found["hour"].between(5.01, 8.99).any()


def test_an_answer_weighs_the_three_newest_standing() -> None:
    rows = [("d", f"c{i}", i, i + 0.5, "FINAL") for i in range(8)] + [("d", "c0", 0, 20, "FINAL")]
    late = asked(snapshots(*rows)).query("hour > 8")
    assert set(late["candidate_id"]) == {"c5", "c6", "c7"}
    assert (late.groupby("asked_at_us").size() == 3).all()


def test_retracted_ones_make_room_for_older_ones() -> None:
    rows = [("d", "old", 0, 0.5, "FINAL"), ("d", "old", 0, 30, "FINAL")]
    rows += [("d", f"light{i}", 1 + i / 10, 1.05 + i / 10, "OPEN") for i in range(20)]
    rows += [("d", f"light{i}", 1 + i / 10, 1.09 + i / 10, "RETRACTED") for i in range(20)]
    assert set(asked(snapshots(*rows)).query("hour > 4")["candidate_id"]) == {"old"}


def test_phones_are_asked_evenly_and_their_candidates_never_mixed() -> None:
    rows = []
    for phone in range(30):
        rows += [(f"p{phone}", f"p{phone}-{i}", 5 * i, 5 * i + 1, "FINAL") for i in range(10)]
    found = asked(snapshots(*rows))
    assert (found["candidate_id"].str.split("-").str[0] == found["device_id"]).all()
    moments = found.drop_duplicates(["device_id", "asked_at_us"]).groupby("device_id").size()
    assert moments.min() >= 0.97 * QUESTIONS / 30
    assert (found["asked_at_us"] >= found["left_at_us"]).all()


def test_the_same_seed_asks_the_same() -> None:
    frame = snapshots(("d", "a", 0, 1, "OPEN"), ("d", "a", 0, 9, "FINAL"))
    assert asked(frame).equals(asked(frame.sample(frac=1.0, random_state=1)))
