"""The arithmetic of ``benchmarks.stops.uncertainty`` on known cases."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from benchmarks.stops.uncertainty import by_stated, coverage, matched
from benchmarks.stops.world import METRE


def facts(*rows: tuple[str, float, float, float], kind: str = "vehicle_left") -> pa.Table:
    """(device, s since the epoch, metres north of 10 degrees, uncertainty)."""
    moments = pd.to_datetime([at for _, at, _, _ in rows], unit="s", utc=True).astype("datetime64[us, UTC]")
    return pa.table(
        {
            "device_id": [device for device, _, _, _ in rows],
            "kind": [kind] * len(rows),
            "started_at": pa.array(moments),
            "lat": [10.0 + metres * METRE for _, _, metres, _ in rows],
            "lon": [20.0] * len(rows),
            "uncertainty_m": [stated for _, _, _, stated in rows],
            "reasons": ["speed,garage" if stated > 20.0 else "speed" for _, _, _, stated in rows],
        }
    )


PARKED = pd.DataFrame({"device_id": ["a", "a"], "at": [1000.0, 1100.0], "lat": [10.0, 10.0], "lon": [20.0, 20.0]})


def test_a_fact_answers_for_one_place_and_the_nearest_in_time() -> None:
    said = matched(facts(("a", 1010.0, 30.0, 5.0), ("a", 1290.0, 0.0, 5.0), ("b", 1000.0, 0.0, 5.0)), PARKED)
    assert said["error_m"].tolist() == pytest.approx([30.0], abs=0.1)
    assert said["stated_m"].tolist() == [5.0]
    assert said["garage"].tolist() == [False]
    assert matched(facts(("a", 1010.0, 30.0, 50.0)), PARKED)["garage"].tolist() == [True]


def test_other_kinds_answer_for_nothing() -> None:
    assert matched(facts(("a", 1000.0, 0.0, 5.0), kind="halt"), PARKED).empty


def test_coverage_is_the_share_within() -> None:
    errors = pd.DataFrame({"error_m": [1.0, 5.0, 9.0, 30.0], "stated_m": [5.0, 5.0, 5.0, 10.0]})
    assert coverage(errors) == 0.5
    assert coverage(errors, 2.0) == 0.75


def test_tenths_hold_as_many_places_each_from_the_smallest_stated_up() -> None:
    errors = pd.DataFrame({"error_m": np.full(40, 10.0), "stated_m": np.arange(40.0)[::-1]})
    tenths = by_stated(errors)
    assert tenths["places"].tolist() == [4] * 10
    assert tenths["within"].tolist() == [0, 0, 0.5, 1, 1, 1, 1, 1, 1, 1]
