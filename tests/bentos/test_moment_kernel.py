"""Moments as texts: what pydantic makes of the same ``datetime``, to the letter."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st
from pydantic_core import to_json

from bentos.moment_kernel import NONE, moment_texts
from parked.clock import from_us, to_us

FIRST, LAST = to_us(datetime(1, 1, 1, tzinfo=UTC)), to_us(datetime.max.replace(tzinfo=UTC))


@given(st.lists(st.integers(FIRST, LAST) | st.integers(FIRST // 10**6, LAST // 10**6).map(lambda s: s * 10**6)))
@example([FIRST, LAST, 0, -1, 1, to_us(datetime(2000, 2, 29, tzinfo=UTC)), to_us(datetime(2100, 2, 28, tzinfo=UTC))])
@example([to_us(datetime(year, 3, 1, tzinfo=UTC)) - 1 for year in range(1, 9999, 7)])
def test_a_moment_is_written_as_a_datetime_is(moments: list[int]) -> None:
    assert to_json(moment_texts(moments)) == to_json([from_us(moment) for moment in moments])


def test_what_is_not_there_is_empty_wherever_it_stands() -> None:
    assert moment_texts([]) == []
    assert moment_texts([NONE, 0, NONE, NONE]) == ["", "1970-01-01T00:00:00Z", "", ""]
