"""Text columns become numbers and times; one unreadable cell costs itself only."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.readers.parsing import as_utc_us, cast_cells, instants, numbers
from ingestion.readers.reasons import Reason


@given(st.lists(st.one_of(st.none(), st.floats().map(repr), st.text(max_size=4))))
def test_every_cell_is_a_number_or_marked_bad_like_one_by_one(cells):
    together, bad = numbers(pa.array(cells, pa.string()))
    for index, cell in enumerate(cells):
        alone, alone_bad = numbers(pa.array([cell], pa.string()))
        assert bool(bad[index]) == bool(alone_bad[0])
        np.testing.assert_equal(together[index].as_py(), alone[0].as_py())
        assert not (bad[index] and together[index].is_valid)


@given(st.lists(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))))  # noqa: DTZ001
def test_iso_text_with_a_zone_reads_back_exactly(moments):
    times, bad, _ = instants(pa.array([moment.isoformat() for moment in moments], pa.string()))
    assert not bad.any()
    assert times.to_pylist() == moments


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2024-01-01T00:00:00", Reason.TIME_WITHOUT_ZONE),
        ("2024-01-01", Reason.TIME_WITHOUT_ZONE),
        ("2024-02-30T00:00:00Z", Reason.BAD_TIME),
        ("noon", Reason.BAD_TIME),
        ("1563821439.1", Reason.BAD_TIME),
    ],
)
def test_an_unreadable_time_says_why_and_spares_its_neighbours(text, reason):
    times, bad, reasons = instants(pa.array(["2024-01-01T00:00:00Z", text, None]))
    assert bad.tolist() == [False, True, False]
    assert reasons.tolist() == [None, reason, None]
    assert times.to_pylist() == [datetime(2024, 1, 1, tzinfo=UTC), None, None]


def test_offsets_are_heeded_and_digits_beyond_the_microsecond_cut():
    times, bad, _ = instants(pa.array(["2024-01-01T02:00:00.123456789+02:00", " 2024-01-01T00:00Z "]))
    assert not bad.any()
    assert times.to_pylist() == [datetime(2024, 1, 1, 0, 0, 0, 123456, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)]


@given(unit=st.sampled_from(["s", "ms", "us", "ns"]), count=st.integers(-(2**63) + 1, 2**63 - 1))
def test_timestamps_of_any_unit_and_size_stay_printable(unit, count):
    (moment,) = as_utc_us(pa.array([count], pa.timestamp(unit, tz="Europe/Berlin"))).to_pylist()
    assert 1 <= moment.year <= 9999


def test_a_wholly_bad_column_is_wholly_bad():
    nothing, bad = cast_cells(pa.array(["x"] * 1000), pa.float64())
    assert bad.all()
    assert nothing.null_count == 1000
