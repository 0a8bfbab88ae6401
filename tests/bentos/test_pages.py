"""Rows side by side are one array again, whatever lies between them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bentos.pages import ROWS, Pages, Runs


def runs(parts: list[tuple[Any, int]]) -> list[Any]:
    made = Runs()
    for rows, at in parts:
        made.add(rows, at)
    return made.arrays()


@given(st.lists(st.tuples(st.integers(0, 900), st.sampled_from(["kept", "dropped", "alone"])), min_size=1, max_size=40))
def test_runs_are_the_rows_in_order(steps: list[tuple[int, str]]) -> None:
    pages, parts = Pages(3, np.int64), []
    for number, (count, fate) in enumerate([*steps, (2, "kept")]):
        rows, at = pages.take(count) if fate != "alone" else (np.empty((count, 3), np.int64), -1)
        rows[:] = number
        if fate != "dropped":
            parts.append((rows, at))
    assert np.array_equal(np.concatenate(runs(parts)), np.concatenate([rows for rows, _ in parts]))


def test_rows_of_one_page_are_not_copied() -> None:
    pages = Pages(2, np.float64)
    parts = [pages.take(3) for _ in range(100)]
    (all_of_them,) = runs(parts)
    assert np.shares_memory(all_of_them, parts[0][0])
    assert len(pages.take(ROWS + 1)[0]) == ROWS + 1
