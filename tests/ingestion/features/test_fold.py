from __future__ import annotations

import random

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.declare import CANDIDATE, DEVICE, FLOAT64, INT64, KEYS, PLACE, VIEWS, declared
from feature_repo.fact import Fact
from feature_repo.known import Known
from ingestion.features.fold import fold_facts
from parked.errors import InputError, InternalError
from parked.schemas import FACTS, TIME
from tests.feature_repo.facts_builder import HOUR, MINUTE, START, Driver, commuter, rough, row, table

EVENTS = st.lists(
    st.tuples(
        st.integers(0, 8),  # which fact
        st.integers(0, 12).map(lambda n: n * 3),  # start, minutes
        st.none() | st.integers(0, 20),  # lasted, minutes
        st.integers(0, 3),  # place
        st.sampled_from([0, 0, 0, 1, 2]),  # provisional, final, retracted
        st.integers(0, 8),  # available, minutes
    ),
    max_size=25,
)


def same(one: dict[str, pa.Table], other: dict[str, pa.Table]) -> None:
    for view in VIEWS:
        assert one[view].to_pylist() == other[view].to_pylist(), view


def known_by(tables: dict[str, pa.Table], us: int) -> dict[str, pa.Table]:
    moment = pa.scalar(us, pa.int64()).cast(TIME)
    return {view: rows.filter(pc.less_equal(rows["available_at"], moment)) for view, rows in tables.items()}


@settings(deadline=None)
@given(EVENTS)
def test_recomputing_only_what_is_affected_gives_what_recomputing_everything_gives(events):
    facts = table(rough(events))
    same(fold_facts(facts), fold_facts(facts, exhaustive=True))


@settings(deadline=None, max_examples=50)
@given(EVENTS, EVENTS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(events, others, shuffler):
    rows = rough(events) + rough(others, "d2")
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    same(fold_facts(table(rows)), fold_facts(table(shuffled)))


@settings(deadline=None, max_examples=50)
@given(EVENTS, st.integers(0, 8))
def test_folding_what_was_known_by_a_moment_is_what_the_whole_fold_says_up_to_it(events, minute):
    rows = rough(events)
    k = START + minute * MINUTE
    early = table([r for r in rows if r["available_at"] <= k])
    ours, whole = fold_facts(early), known_by(fold_facts(table(rows)), k)
    if early.num_rows:
        same(ours, whole)
    else:
        assert all(rows.num_rows == 0 for rows in [*ours.values(), *whole.values()])


@settings(deadline=None, max_examples=50)
@given(EVENTS)
def test_each_key_has_one_row_per_moment_and_only_where_something_changed(events):
    for view, rows in fold_facts(table(rough(events))).items():
        last: dict[tuple[str, ...], dict] = {}
        for row_ in rows.to_pylist():
            key = tuple(row_[name] for name in KEYS[view])
            before = last.get(key)
            if before is not None:
                assert before["available_at"] < row_["available_at"]
                stamps = {"available_at", "facts_as_of_us"}
                assert {k: v for k, v in before.items() if k not in stamps} != {
                    k: v for k, v in row_.items() if k not in stamps
                }
            last[key] = row_


def test_a_phone_is_folded_as_if_it_were_alone():
    one, two = commuter("d1", 3).rows, commuter("d2", 3, seed=5).rows
    together = fold_facts(table(one + two))
    alone = fold_facts(table(one))
    for view in VIEWS:
        of_one = together[view].filter(pc.equal(together[view]["device_id"], "d1"))
        assert of_one.to_pylist() == alone[view].to_pylist()


def test_many_phones_are_folded_in_batches_without_a_difference(monkeypatch):
    facts = table([r for n in range(5) for r in commuter(f"d{n}", 2).rows])
    whole = fold_facts(facts)
    monkeypatch.setattr("ingestion.features.fold.BATCH_REVISIONS", 20)
    steps: list[int] = []
    same(fold_facts(facts, progress=steps.append), whole)
    assert len(steps) == 5
    assert sum(steps) == facts.num_rows


def test_what_became_known_together_makes_one_row():
    driver = Driver("d1")
    driver.trip()
    devices = fold_facts(table(driver.rows))[DEVICE]
    moments = {r["available_at"] for r in driver.rows}
    assert devices.num_rows <= len(moments) < len(driver.rows)
    assert devices["available_at"].cast(pa.int64()).to_pylist() == devices["facts_as_of_us"].to_pylist()


def test_of_two_revisions_at_one_moment_the_higher_counts():
    rows = [
        row("d1", "v", "vehicle_left", START, START, revision=1, walked_m=90.0),
        row("d1", "v", "vehicle_left", START, START, revision=0, walked_m=3.0),
    ]
    for given_rows in (rows, rows[::-1]):
        (state,) = fold_facts(table(given_rows))[CANDIDATE].to_pylist()
        assert state["walked_m"] == 90.0


def test_a_retracted_candidate_says_so_and_is_no_longer_the_phones_newest():
    rows = [
        row("d1", "a", "vehicle_left", START, START + MINUTE),
        row("d1", "b", "vehicle_left", START + HOUR, START + HOUR),
        row("d1", "b", "vehicle_left", START + HOUR, START + 2 * HOUR, revision=1, status="RETRACTED"),
    ]
    out = fold_facts(table(rows))
    last = [r for r in out[CANDIDATE].to_pylist() if r["candidate_id"] == "b"][-1]
    assert (last["status"], last["lat"], last["walked_m"]) == ("RETRACTED", None, None)
    newest = out[DEVICE].to_pylist()[-1]
    assert (newest["candidate_1"], newest["candidate_2"], newest["candidates_7d"]) == ("a", None, 1)
    assert [r["candidates_here"] for r in out[PLACE].to_pylist()] == [1, 2, 1]


def test_a_late_fact_mends_its_neighbours_from_when_it_became_known():
    first, third = START, START + 2 * HOUR
    rows = [
        row("d1", "a", "vehicle_left", first, first),
        row("d1", "c", "vehicle_left", third, third),
        row("d1", "b", "vehicle_left", START + HOUR, START + 5 * HOUR),
    ]
    states = [r for r in fold_facts(table(rows))[CANDIDATE].to_pylist() if r["candidate_id"] == "c"]
    assert [r["since_previous_s"] for r in states] == [7200.0, 3600.0]
    assert [r["facts_as_of_us"] for r in states] == [third, START + 5 * HOUR]


def test_no_facts_give_empty_snapshots_of_the_declared_columns():
    out = fold_facts(FACTS.empty_table())
    assert {view: rows.schema for view, rows in out.items()} == {view: declared().schema(view) for view in VIEWS}
    assert all(rows.num_rows == 0 for rows in out.values())


def test_facts_without_their_columns_are_refused():
    with pytest.raises(InputError, match="facts lack the columns status"):
        fold_facts(FACTS.empty_table().drop_columns(["status"]))


def test_facts_of_two_rules_versions_are_refused():
    rows = [row("d1", "a", "stop", START, START), row("d2", "b", "stop", START, START, rules_version="test-2")]
    with pytest.raises(InputError, match="several rules versions: test-2, v1; fold one version at a time"):
        fold_facts(table(rows))


def test_every_row_says_which_rules_and_declarations_made_it():
    out = fold_facts(table(commuter(days=1).rows))
    for rows in out.values():
        assert set(rows["built_by"].to_pylist()) == {f"v1/{declared().version()}"}


def test_a_fold_that_fails_is_named():
    catalogue = declared().copy()

    @catalogue.feature(view=CANDIDATE, dtype=FLOAT64)
    def broken(candidate: Fact) -> float:
        """Broken."""
        return candidate.walked_m / 0

    with pytest.raises(InternalError, match="feature 'broken' of candidate_state failed"):
        fold_facts(table(commuter(days=1).rows), catalogue=catalogue)


@pytest.mark.parametrize(("dtype", "given_value", "complaint"), [(FLOAT64, float("nan"), "NaN"), (INT64, 0.5, "int64")])
def test_a_fold_that_gives_what_it_did_not_declare_is_named(dtype, given_value, complaint):
    catalogue = declared().copy()

    @catalogue.feature(view=DEVICE, dtype=dtype)
    def odd(known: Known) -> float:
        """Odd."""
        return given_value

    with pytest.raises(InternalError, match=f"feature 'odd' gave .*{complaint}"):
        fold_facts(table(commuter(days=1).rows), catalogue=catalogue)


def test_a_candidate_feature_that_reaches_too_far_is_found_out_by_recomputing():
    catalogue = declared().copy()

    @catalogue.feature(view=CANDIDATE, dtype=INT64)
    def everything(candidate: Fact, known: Known) -> int:
        """All candidates of the phone: no neighbour, so late facts do not refresh it."""
        return len(known.candidates)

    facts = table(commuter(days=2).rows)
    quick = fold_facts(facts, catalogue=catalogue)[CANDIDATE]
    slow = fold_facts(facts, catalogue=catalogue, exhaustive=True)[CANDIDATE]
    assert quick.num_rows < slow.num_rows


def test_a_weeks_facts_keep_their_bytes_when_shuffled():
    rows = commuter(days=7).rows
    mixed = random.Random(3).sample(rows, len(rows))
    same(fold_facts(table(rows)), fold_facts(table(mixed)))
