import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from training import split
from training.config import SplitRules

RULES = SplitRules(salt="s", test_devices=0.3, calibration_devices=0.2, later=0.2)

rows = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 1000), st.integers(0, 300)), min_size=1, max_size=80).map(
    lambda items: pd.DataFrame(
        {
            "device_id": [f"d{d}" for d, _, _ in items],
            "candidate_id": [f"d{d}-{left}" for d, left, _ in items],
            "left_at_us": [left for _, left, _ in items],
            "decided_at_us": [left + wait for _, left, wait in items],
        }
    )
)


@settings(max_examples=150)
@given(rows, st.integers(0, 1000))
def test_no_device_candidate_or_later_moment_leaks_from_the_held_out_into_the_fit(frame, cut):
    part = split.assign(frame, cut, RULES)
    fitted, held = frame[part.isin(split.FITTED)], frame[part.isin(split.HELD_OUT)]
    assert not set(fitted["candidate_id"]) & set(held["candidate_id"])
    assert not set(fitted["device_id"]) & set(frame[part == split.TEST_DEVICES]["device_id"])
    assert not set(frame[part == split.TRAIN]["device_id"]) & set(frame[part == split.CALIBRATION]["device_id"])
    assert (fitted["decided_at_us"] < cut).all()
    assert (frame[part == split.TEST_LATER]["left_at_us"] >= cut).all()
    assert set(part) <= {*split.FITTED, *split.HELD_OUT, split.PURGED}


@given(rows)
def test_a_devices_part_does_not_depend_on_who_else_is_there(frame):
    whole = split.assign(frame, 500, RULES)
    half = frame.iloc[::2]
    assert (split.assign(half, 500, RULES) == whole.iloc[::2]).all()


def test_the_share_of_a_device_is_pinned_because_champions_are_compared_by_it():
    assert split.device_share("phone-1", "parked-1") == 0.05147958069392433


def test_shares_are_uniform_and_another_salt_shuffles_them():
    a = np.array([split.device_share(f"d{i}", "a") for i in range(2000)])
    b = np.array([split.device_share(f"d{i}", "b") for i in range(2000)])
    assert abs((a < 0.2).mean() - 0.2) < 0.03
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.06


def test_the_cut_leaves_the_stated_share_of_candidates_after_it():
    moments = pd.Series(np.arange(1000))
    assert (moments >= split.later_cut(moments, RULES)).mean() == 0.2
    none = RULES.model_copy(update={"later": 0.0})
    assert split.later_cut(moments, none) > moments.max()
