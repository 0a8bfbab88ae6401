"""Scores and peers' rules on cases small enough to know the answer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from benchmarks.real_goal import _pairs
from benchmarks.real_plain import plain_errors
from benchmarks.real_truth import Spot
from benchmarks.stops.score import score
from benchmarks.stops.traccar import traccar
from parked.schemas import FIXES, TIME

METRE = 1 / 111_195.08


def spans(*rows: tuple[str, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["device_id", "arrived", "left"])


def test_a_stay_cut_in_two_is_found_once_where_the_larger_piece_covers_half() -> None:
    result = score(spans(("a", 0, 700), ("a", 710, 1010)), spans(("a", 0, 1000)))
    assert (result.matched, result.found, result.true) == (1, 2, 1)
    assert result.f1 == pytest.approx(2 / 3)
    assert result.departure_s.tolist() == [-300.0]


def test_short_stops_and_other_phones_do_not_count() -> None:
    result = score(spans(("a", 0, 299), ("b", 0, 1000)), spans(("a", 0, 1000)))
    assert (result.matched, result.found, len(result.missed)) == (0, 1, 1)


def test_goal_changes_and_facts_pair_one_to_one_nearest_first() -> None:
    second = 1_000_000
    assert _pairs([0, 20 * second], [8 * second, 19 * second]) == [(1, 1), (0, 0)]
    assert _pairs([0], [16 * second]) == []


def ride(still_s: int) -> pd.DataFrame:
    """A drive of 10 min north, so long at rest, and 10 min on; a fix each 10 s."""
    t = np.arange(0, 1200 + still_s, 10.0)
    metres = 12.0 * (np.minimum(t, 600.0) + np.maximum(t - 600.0 - still_s, 0.0))
    return pd.DataFrame({"device_id": "a", "t": t, "lat": 10.0 + metres * METRE, "lon": 20.0})


def test_traccars_rule_finds_a_long_rest_and_not_a_red_light() -> None:
    _, stops = traccar(ride(1800))
    inner = stops[(stops["arrived"] > 0) & (stops["left"] < 2900)]
    assert len(inner) == 1
    assert inner["arrived"].iloc[0] == pytest.approx(600.0, abs=30.0)
    assert inner["left"].iloc[0] == pytest.approx(2400.0, abs=30.0)
    _, stops = traccar(ride(90))
    assert ((stops["arrived"] > 60) & (stops["left"] < 1200)).sum() == 0


def test_the_plain_rule_takes_the_last_fix_that_was_fast_for_two_of_three() -> None:
    speeds = [9.0, 9.0, 9.0, 0.0, 9.0, 0.0, 0.0, 0.0]
    n = len(speeds)
    at = [i * 10_000_000 for i in range(n)]
    columns = [["a"] * n, pa.array(at).cast(TIME), [i * 100 * METRE for i in range(n)], [0.0] * n]
    fixes = pa.table([*columns, pa.nulls(n, pa.float64()), speeds, pa.nulls(n, TIME)], schema=FIXES)
    metres, seconds = plain_errors(fixes, [Spot("a", at[4], 400 * METRE, 0.0)])
    assert metres[0] == pytest.approx(0.0, abs=0.1)
    assert seconds == [0.0]
