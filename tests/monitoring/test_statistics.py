from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

from monitoring.statistics import clustered_share, code_feature, js_distance, ks_distance

number = st.floats(allow_nan=True, allow_infinity=False, width=32)
numbers = st.lists(number, min_size=1, max_size=60)
finite = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)
categories = st.lists(st.sampled_from(["a", "b", "c", "", None]), min_size=1, max_size=60)


@pytest.mark.filterwarnings("ignore:divide by zero")  # scipy's p-value of tiny samples, which nobody asked for
@given(finite, finite)
def test_ks_of_complete_samples_is_scipys_d(reference: list[float], current: list[float]) -> None:
    assert ks_distance(reference, current) == pytest.approx(ks_2samp(reference, current, method="asymp").statistic)


@given(categories, categories)
def test_js_is_scipys_distance_over_the_categories(reference: list[str | None], current: list[str | None]) -> None:
    keys = sorted({c or "" for c in reference + current})
    shares = [[sum((c or "") == key for c in side) for key in keys] for side in (reference, current)]
    assert js_distance(reference, current) == pytest.approx(float(jensenshannon(*shares, base=2)), abs=1e-7)


@given(numbers, numbers)
def test_a_distance_lies_between_0_and_1_and_has_no_direction(reference: list[float], current: list[float]) -> None:
    distance = ks_distance(reference, current)
    assert 0 <= distance <= 1
    assert distance == pytest.approx(ks_distance(current, reference))
    assert ks_distance(reference, reference) == 0


@given(numbers, st.randoms())
def test_the_order_of_rows_does_not_matter(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert ks_distance(values, shuffled) == 0


@given(finite, finite, st.floats(0, 1))
def test_missing_values_move_d_by_at_least_the_change_of_their_share(
    reference: list[float], current: list[float], lost: float
) -> None:
    gone = round(lost * len(current))
    with_gaps = [float("nan")] * gone + current[gone:]
    assert ks_distance(reference, with_gaps) >= gone / len(current) - 1e-12


def test_one_outlier_hides_no_shift() -> None:
    rng = np.random.default_rng(0)
    reference, current = rng.normal(0, 1, 5000), rng.normal(1, 1, 5000)
    current[0] = 1e9
    assert ks_distance(reference, current) > 0.35


def test_a_sample_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="rows on both sides"):
        ks_distance([], [1.0])


def test_weights_say_how_much_a_reference_row_counts() -> None:
    feature = code_feature("x", np.array([1.0, 2.0]), np.array([2.0]), categorical=False)
    assert feature.observed() == 0.5
    assert feature.observed(np.array([1.0, 3.0])) == 0.25


@given(st.lists(st.integers(0, 50), min_size=1, max_size=300), st.lists(st.integers(0, 50), min_size=1, max_size=80))
def test_coarse_steps_lose_at_most_one_step_of_the_smaller_sample(reference: list[int], current: list[int]) -> None:
    feature = code_feature("x", np.array(reference), np.array(current), categorical=False)
    exact, coarse = feature.observed(), feature.coarse(steps=20).observed()
    step = (len(reference) + len(current)) / 20 / min(len(reference), len(current))
    assert exact - step - 1e-12 <= coarse <= exact + 1e-12


def test_the_error_of_a_share_counts_phones_not_rows() -> None:
    flags = np.array([True, False] * 50)
    one_row_a_phone = clustered_share(flags, np.arange(100))
    ten_rows_a_phone = clustered_share(np.repeat(flags, 10), np.repeat(np.arange(100), 10))
    assert one_row_a_phone == pytest.approx(ten_rows_a_phone)
    assert one_row_a_phone[1] == pytest.approx(0.5 / np.sqrt(99))
