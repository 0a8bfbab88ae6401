from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parked.clock import from_us, to_us
from parked.errors import NotFoundError
from tests.training.world import AS_OF, START, make_world
from training.snapshots import decision_moments, final_candidates, read_snapshots

AGES = (300.0, 1800.0, 7200.0)


def test_nothing_known_after_the_cut_off_is_read(tmp_path):
    world = make_world(devices=4)
    world.write(tmp_path)
    as_of = START + timedelta(days=7)
    found = read_snapshots(tmp_path / "features", as_of)
    assert 0 < len(found) < len(world.snapshots)
    assert found["at_us"].max() <= to_us(as_of)


def test_the_same_snapshot_in_two_files_counts_once(tmp_path):
    world = make_world(devices=2)
    world.write(tmp_path, files=1)
    folder = tmp_path / "features" / "candidate_state"
    (folder / "again.parquet").write_bytes((folder / "part-0.parquet").read_bytes())
    assert len(read_snapshots(tmp_path / "features", AS_OF)) == len(world.snapshots)


def test_no_snapshots_is_said_with_the_mend(tmp_path):
    with pytest.raises(NotFoundError, match="parked features build"):
        read_snapshots(tmp_path, AS_OF)


def snapshots(*states, tmp_path=None):
    """One candidate left at START with (minutes after START, status) snapshots."""
    import pandas as pd

    start = to_us(START)
    return pd.DataFrame(
        {
            "candidate_id": "c",
            "device_id": "d",
            "cell": "x",
            "available_at": None,
            "at_us": [start + int(minute * 60e6) for minute, _ in states],
            "left_at_us": start,
            "status": [status for _, status in states],
        }
    )


def minutes(frame):
    return [(us - to_us(START)) / 60e6 for us in frame["decided_at_us"]]


def stood_minutes(frame):
    return [seconds / 60 for seconds in frame["stood_s"]]


def after(minutes_later):
    return from_us(to_us(START) + int(minutes_later * 60e6))


def test_a_moments_knowledge_stands_until_the_next_moment_and_the_last_ones_until_the_cut_off():
    frame = snapshots((1, "OPEN"), (45, "FINAL"))
    found = decision_moments(frame, AGES, 8, after(150))
    assert minutes(found) == [1, 5, 30, 45, 120]
    assert stood_minutes(found) == [4, 25, 15, 75, 30]


def test_knowledge_stands_no_longer_than_the_next_snapshot_though_that_one_is_no_moment():
    frame = snapshots((1, "OPEN"), (3, "OPEN"), (4, "OPEN"), (10, "OPEN"))
    found = decision_moments(frame, (), 2, after(60))
    assert minutes(found) == [1, 4]
    assert stood_minutes(found) == [2, 6]


def test_a_retraction_ends_what_stood():
    frame = snapshots((1, "OPEN"), (3, "RETRACTED"), (20, "FINAL"))
    found = decision_moments(frame, (), 8, after(60))
    assert minutes(found) == [1, 20]
    assert stood_minutes(found) == [2, 40]


def test_a_revised_time_of_leaving_does_not_confuse_what_came_after_what():
    frame = snapshots((1, "OPEN"), (10, "OPEN"), (30, "FINAL"))
    frame.loc[1, "left_at_us"] -= 60_000_000
    found = decision_moments(frame, (), 8, after(60)).sort_values("decided_at_us")
    assert minutes(found) == [1, 10, 30]
    assert stood_minutes(found) == [9, 20, 30]


@given(
    st.lists(st.tuples(st.integers(1, 300), st.sampled_from(["OPEN", "FINAL", "RETRACTED"])), unique_by=lambda s: s[0]),
    st.integers(1, 8),
    st.integers(300, 600),
)
def test_no_two_moments_of_a_candidate_stand_at_once(states, most, end):
    found = decision_moments(snapshots(*sorted(states)), AGES, most, after(end))
    start, stood = found["decided_at_us"].to_numpy(), found["stood_s"].to_numpy() * 1e6
    assert (stood >= 0).all()
    assert (start[:-1] + stood[:-1] <= start[1:] + 1).all()
    assert (start + stood <= to_us(after(end)) + 1).all()


def test_a_candidate_is_judged_at_every_snapshot_and_at_later_ages():
    frame = snapshots((1, "OPEN"), (45, "FINAL"))
    assert minutes(decision_moments(frame, AGES, 8, AS_OF)) == [1, 5, 30, 45, 120]


def test_an_age_before_the_candidate_was_known_or_after_the_cut_off_is_no_moment():
    frame = snapshots((45, "FINAL"))
    assert minutes(decision_moments(frame, AGES, 8, from_us(to_us(START) + int(60 * 60e6)))) == [45]


def test_a_retracted_candidate_is_not_judged_from_its_retraction_on():
    frame = snapshots((1, "OPEN"), (20, "RETRACTED"))
    assert minutes(decision_moments(frame, AGES, 8, AS_OF)) == [1, 5]
    assert final_candidates(frame)["retracted"].tolist() == [True]


def test_a_candidate_that_came_back_after_a_retraction_is_judged_while_it_stood():
    frame = snapshots((1, "OPEN"), (3, "RETRACTED"), (20, "FINAL"))
    assert minutes(decision_moments(frame, AGES, 8, AS_OF)) == [1, 20, 30, 120]
    assert final_candidates(frame)["retracted"].tolist() == [False]


def test_of_many_snapshots_the_first_and_some_spread_evenly_are_moments():
    frame = snapshots(*[(minute, "OPEN") for minute in range(1, 101)])
    found = minutes(decision_moments(frame, (), 4, AS_OF))
    assert found == [1, 26, 51, 76]


def test_a_retraction_that_says_nothing_but_that_keeps_when_and_where_it_was(tmp_path):
    import numpy as np

    world = make_world(devices=1, per_device=2)
    taken_back = world.snapshots.index[world.snapshots["status"] == "FINAL"][0]
    world.snapshots.loc[taken_back, "status"] = "RETRACTED"
    left = world.snapshots["left_at_us"].astype("float64")
    left[taken_back] = np.nan
    world.snapshots["left_at_us"] = left
    world.snapshots.loc[taken_back, ["lat", "lon"]] = np.nan
    world.write(tmp_path)
    found = final_candidates(read_snapshots(tmp_path / "features", AS_OF))
    assert found["retracted"].tolist() == [True, False]
    assert found["left_at_us"].dtype == "int64"
    assert not found[["lat", "lon"]].isna().any().any()


def test_an_age_that_falls_on_a_snapshot_is_one_moment():
    frame = snapshots((1, "OPEN"), (5, "FINAL"))
    assert minutes(decision_moments(frame, AGES, 8, AS_OF)) == [1, 5, 30, 120]
