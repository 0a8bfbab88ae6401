"""The index of hashes behaves as a set, and the first received of equal records is the one kept."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingestion.raw.content import Hashes
from ingestion.raw.seen import Seen, first_of_each

words = st.integers(0, 2**64 - 1)
pairs = st.lists(st.tuples(words, words), unique_by=lambda pair: pair[0], max_size=40)


def hashes(rows: list[tuple[int, int]]) -> Hashes:
    return Hashes(np.array([r[0] for r in rows], dtype=np.uint64), np.array([r[1] for r in rows], dtype=np.uint64))


@given(st.lists(pairs, max_size=6), pairs)
def test_it_answers_as_a_set_does(batches, asked):
    seen, model = Seen(), {}
    for batch in batches:
        fresh = [(high, low) for high, low in batch if high not in model]
        model |= dict(fresh)
        seen.add(hashes(fresh))
    probes = [*asked, *model.items(), *((high, low ^ 1) for high, low in model.items())]
    assert seen.contains(hashes(probes)).tolist() == [model.get(high) == low for high, low in probes]
    assert len(seen) == len(model)


def test_adding_many_small_batches_keeps_few_runs():
    seen = Seen()
    for number in range(500):
        seen.add(hashes([(number * 7919, number)]))
    assert len(seen._runs) <= 12
    assert seen.contains(hashes([(n * 7919, n) for n in range(500)])).all()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 3)), max_size=30))
def test_of_equal_records_the_first_received_is_kept_then_the_first_sent(rows):
    keep = first_of_each(hashes([(r[0], r[1]) for r in rows]), np.array([r[2] for r in rows], dtype=np.int64))
    best: dict[tuple[int, int], tuple[int, int]] = {}
    for index, (high, low, received) in enumerate(rows):
        best[high, low] = min(best.get((high, low), (received, index)), (received, index))
    assert sorted(np.flatnonzero(keep).tolist()) == sorted(index for _, index in best.values())
