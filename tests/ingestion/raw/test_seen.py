"""The index of hashes behaves as a set, and the first received of equal records is the one kept."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingestion.raw.content import Hashes
from ingestion.raw.seen import UNKNOWN, Seen, best_of_each

words = st.integers(0, 2**64 - 1)
pairs = st.lists(st.tuples(words, words), unique_by=lambda pair: pair[0], max_size=40)


def hashes(rows: list[tuple[int, int]]) -> Hashes:
    return Hashes(np.array([r[0] for r in rows], dtype=np.uint64), np.array([r[1] for r in rows], dtype=np.uint64))


def numbers(values: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


@given(st.lists(st.lists(st.tuples(st.sampled_from(range(12)), st.integers(0, 9)), max_size=9), max_size=6), pairs)
def test_it_knows_of_each_hash_the_lowest_rank_it_was_ever_added_with(batches, asked):
    seen, model = Seen(), {}
    for batch in batches:
        rows = [(which, which % 3) for which, _ in batch]
        seen.add(hashes(rows), numbers([rank for _, rank in batch]))
        for row, (_, rank) in zip(rows, batch, strict=True):
            model[row] = min(rank, model.get(row, UNKNOWN))
    probes = [*asked, *model, *((high, low ^ 4) for high, low in model)]
    assert seen.ranks(hashes(probes)).tolist() == [model.get(probe, UNKNOWN) for probe in probes]


@given(st.lists(pairs, max_size=6))
def test_it_keeps_what_is_new_once(batches):
    seen, model = Seen(), {}
    for batch in batches:
        fresh = [(high, low) for high, low in batch if high not in model]
        model |= dict(fresh)
        seen.add(hashes(fresh), numbers([1] * len(fresh)))
    assert len(seen) == len(model)
    assert (seen.ranks(hashes(list(model.items()))) == 1).all()


def test_adding_many_small_batches_keeps_few_runs():
    seen = Seen()
    for number in range(500):
        seen.add(hashes([(number * 7919, number)]), numbers([number]))
    assert len(seen._runs) <= 12
    assert seen.ranks(hashes([(n * 7919, n) for n in range(500)])).tolist() == list(range(500))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 3)), max_size=30))
def test_of_equal_records_that_of_the_lowest_rank_is_kept_then_the_first_sent(rows):
    keep = best_of_each(hashes([(r[0], r[1]) for r in rows]), numbers([r[2] for r in rows]))
    best: dict[tuple[int, int], tuple[int, int]] = {}
    for index, (high, low, rank) in enumerate(rows):
        best[high, low] = min(best.get((high, low), (rank, index)), (rank, index))
    assert sorted(np.flatnonzero(keep).tolist()) == sorted(index for _, index in best.values())
