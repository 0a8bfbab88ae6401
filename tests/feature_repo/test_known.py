from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from feature_repo.fact import Fact, facts_of
from feature_repo.known import PLACE_MEMORY, Known, cells_near
from feature_repo.timeline import Timeline
from parked.geo import cell_of
from parked.schemas import FACTS
from tests.feature_repo.facts_builder import HOME, MINUTE, PLACES, START, row, table


def fact(name: str, kind: str, minute: int, **columns: object) -> Fact:
    return next(facts_of(table([row("d1", name, kind, START + minute * MINUTE, START, **columns)])))


def ended(minute: int) -> int:
    return START + minute * MINUTE


def test_a_fact_holds_every_column_of_the_contract_with_times_in_microseconds():
    made = fact("a", "vehicle_left", 3, leg_started_at=START)
    assert {name for name in FACTS.names if not hasattr(made, name)} == set()
    assert made.started_at == START + 3 * MINUTE
    assert made.leg_started_at == START
    assert made.cell == cell_of(*HOME)
    assert fact("h", "halt", 3).cell == ""


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), unique=True), st.integers(-1, 7))
def test_a_timeline_answers_as_a_sorted_list_would(keys, minute):
    facts = [fact(f"f{name}", "stop", at) for at, name in keys]
    line = Timeline()
    for one in facts:
        line.add(one)
    in_order = sorted(facts, key=lambda one: (one.started_at, one.fact_id))
    assert line.facts == in_order
    us = START + minute * MINUTE
    assert line.until(us) == sum(one.started_at <= us for one in facts)
    assert line.before(us) == sum(one.started_at < us for one in facts)
    first, last = line.around(us)
    before, after = [f for f in in_order if f.started_at <= us], [f for f in in_order if f.started_at > us]
    assert line.facts[first:last] == [f for f in before if f.started_at == before[-1].started_at] + [
        f for f in after if f.started_at == after[0].started_at
    ]
    for one in facts:
        line.remove(one)
    assert not line.facts


def known(*facts: Fact) -> Known:
    state = Known("d1")
    for one in facts:
        state.apply(one)
    return state


def test_candidates_are_counted_from_the_newest():
    first, second = fact("a", "vehicle_left", 0), fact("b", "vehicle_left", 60)
    state = known(second, first)
    assert [state.newest(1), state.newest(2), state.newest(3)] == [second, first, None]
    assert state.recent(1) == [second]
    assert (state.previous(second), state.next(second)) == (first, None)
    assert state.candidates_since(second.started_at) == 1


def test_a_retracted_fact_is_forgotten_and_may_come_back():
    state = known(fact("a", "vehicle_left", 0))
    state.apply(fact("a", "vehicle_left", 0, status="RETRACTED"))
    assert state.newest(1) is None
    assert state.span_us() is None
    again = fact("a", "vehicle_left", 5)
    assert state.apply(again) is None
    assert state.newest(1) == again


def test_the_stop_after_is_the_one_going_on_or_the_first_before_the_next_candidate():
    left = fact("v", "vehicle_left", 10)
    over = fact("s0", "stop", 2, ended_at=ended(4))
    under_way = fact("s1", "stop", 9, ended_at=ended(40))
    later = fact("s2", "stop", 45)
    assert known(left, over, under_way, later).stop_after(left) == under_way
    assert known(left, over, later).stop_after(left) == later
    assert known(left, over, later, fact("w", "vehicle_left", 44)).stop_after(left) is None
    assert known(left, over).stop_after(left) is None


def test_the_halt_at_a_candidate_is_the_nearest_in_time_among_those_close_by():
    left = fact("v", "vehicle_left", 10)
    early, close = fact("h1", "halt", 6), fact("h2", "halt", 11)
    far = fact("h3", "halt", 10, at=PLACES[3])
    assert known(left, early, close, far).halt_at(left) == close
    assert known(left, far, fact("h4", "halt", 20)).halt_at(left) is None


def test_a_place_gathers_what_lies_in_its_cell_and_the_cells_around():
    near = fact("s", "stop", 20, at=PLACES[1])
    state = known(near, fact("t", "stop", 30, at=PLACES[3]), fact("v", "vehicle_left", 10))
    assert list(state.places) == [cell_of(*HOME)]
    assert state.places[cell_of(*HOME)].stops == [near]
    state.apply(fact("s", "stop", 20, at=PLACES[3]))
    assert state.places[cell_of(*HOME)].stops == []


def test_a_place_is_remembered_by_its_newest_stays():
    state = known(fact("v", "vehicle_left", 0), *(fact(f"s{n:03d}", "stop", n) for n in range(PLACE_MEMORY + 5)))
    stops = state.places[cell_of(*HOME)].stops
    assert len(stops) == PLACE_MEMORY
    assert stops[-1].fact_id == f"s{PLACE_MEMORY + 4:03d}"


def test_a_cell_has_six_neighbours_that_have_it_too():
    home = cell_of(*HOME)
    assert len(cells_near(home)) == 7
    assert all(home in cells_near(cell) for cell in cells_near(home))
