from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bentos.answer import Candidate, Decision, decide, has_left, known_at, was_driving
from parked.vehicle import RETURN_M
from tests.bentos.fakes import HOUR_US, NOW_US, candidate


def ask(*scored: tuple[Candidate, float], driving: bool = False) -> Decision:
    candidates, probabilities = zip(*scored, strict=True) if scored else ((), ())
    return decide(candidates, probabilities, threshold=0.5, driving=driving, at_us=NOW_US)


def left(name: str, hours_ago: float, return_m: float | None = 10.0) -> Candidate:
    return candidate(name, hours_ago, ended_at_us=NOW_US - int((hours_ago - 0.5) * HOUR_US), return_m=return_m)


def test_the_newest_parking_the_vehicle_did_not_leave_is_the_spot() -> None:
    assert ask((candidate("home", 2), 0.9)) == Decision("parked", "last_parking", 0, NOW_US - 2 * HOUR_US)


def test_a_probability_at_the_threshold_is_a_parking() -> None:
    assert ask((candidate("home", 2), 0.5)).state == "parked"


def test_a_bus_ride_after_parking_leaves_the_car_where_it_is() -> None:
    answer = ask((candidate("bus stop", 1), 0.1), (left("home", 5, return_m=RETURN_M + 1), 0.9))
    assert (answer.state, answer.candidate) == ("parked", 1)


def test_a_leg_begun_at_the_car_took_the_car() -> None:
    assert ask((left("office", 2, return_m=RETURN_M), 0.9), driving=True) == Decision(
        "driving", "vehicle_moving", 0, NOW_US - int(1.5 * HOUR_US)
    )


def test_a_leg_begun_who_knows_where_took_the_car() -> None:
    assert ask((left("office", 2, return_m=None), 0.9)).reason == "left_again"


def test_a_halt_on_the_way_is_still_driving() -> None:
    answer = ask((left("red light", 0.6), 0.05), (left("home", 2), 0.9), driving=True)
    assert (answer.state, answer.candidate) == ("driving", 1)


def test_a_drive_that_ended_nowhere_credible_is_unknown_and_never_an_older_pin() -> None:
    answer = ask((candidate("jam", 0.1), 0.1), (left("office", 2), 0.9), (left("home", 9, return_m=5000.0), 0.9))
    assert answer == Decision("unknown", "left_again", 1)


def test_no_credible_candidate_is_below_threshold() -> None:
    assert ask((candidate("jam", 1), 0.49)) == Decision("unknown", "below_threshold")


def test_riding_without_a_known_parking_is_unknown_because_moving() -> None:
    assert ask((left("bus", 1), 0.1), driving=True) == Decision("unknown", "vehicle_moving")


def test_no_candidates_is_unknown() -> None:
    assert ask() == Decision("unknown", "no_candidates")


def test_a_vehicle_has_not_yet_left_before_it_left() -> None:
    office = left("office", 3)
    assert office.ended_at_us is not None
    assert not has_left(office, office.ended_at_us - 1)
    assert has_left(office, office.ended_at_us)


def test_asked_about_a_moment_between_two_parkings_the_vehicle_was_driving() -> None:
    trip = [candidate("office", 1), left("home", 5)]

    def driving(at_us: int, *, now: bool) -> bool:
        before = known_at(trip, at_us)
        return was_driving(before, at_us, later=len(before) < len(trip), driving_now=now)

    assert not driving(NOW_US, now=False)
    assert driving(NOW_US - 2 * HOUR_US, now=False)
    assert not driving(NOW_US - int(4.9 * HOUR_US), now=True)
    assert not driving(NOW_US - 6 * HOUR_US, now=True)


candidates = st.builds(
    candidate,
    st.uuids().map(str),
    st.floats(-2, 100),
    ended_at_us=st.none() | st.integers(NOW_US - 100 * HOUR_US, NOW_US + HOUR_US),
    return_m=st.none() | st.floats(0, 5000),
)
scored = st.lists(st.tuples(candidates, st.floats(0, 1)), max_size=4)


@given(scored, st.booleans(), st.floats(0.01, 0.99))
def test_a_pin_is_always_credible_and_never_a_place_the_vehicle_left(
    pairs: list[tuple[Candidate, float]], driving: bool, threshold: float
) -> None:
    chosen = known_at([c for c, _ in pairs], NOW_US)
    of = {c.candidate_id: p for c, p in pairs}
    probabilities = [of[c.candidate_id] for c in chosen]
    answer = decide(chosen, probabilities, threshold=threshold, driving=driving, at_us=NOW_US)
    assert (answer.state == "parked") == (answer.reason == "last_parking")
    if answer.state != "unknown":
        assert answer.candidate is not None
        assert probabilities[answer.candidate] >= threshold
        assert has_left(chosen[answer.candidate], NOW_US) == (answer.state == "driving")
        assert all(p < threshold for p in probabilities[: answer.candidate])
    if answer.state == "driving":
        assert driving


@given(scored, st.booleans())
def test_more_confidence_in_the_pin_never_unpins_it(pairs: list[tuple[Candidate, float]], driving: bool) -> None:
    chosen = known_at([c for c, _ in pairs], NOW_US)
    of = {c.candidate_id: p for c, p in pairs}
    probabilities = [of[c.candidate_id] for c in chosen]
    answer = decide(chosen, probabilities, threshold=0.5, driving=driving, at_us=NOW_US)
    if answer.state == "parked" and answer.candidate is not None:
        probabilities[answer.candidate] = 1.0
        assert decide(chosen, probabilities, threshold=0.5, driving=driving, at_us=NOW_US) == answer


@given(st.lists(candidates, max_size=4, unique_by=lambda c: c.candidate_id))
def test_the_order_the_store_gives_does_not_matter(some: list[Candidate]) -> None:
    assert known_at(some, NOW_US) == known_at(some[::-1], NOW_US)
    assert all(c.left_at_us <= NOW_US for c in known_at(some, NOW_US))


def test_return_distance_matters_only_once_a_leg_began() -> None:
    assert not has_left(candidate("home", 1)._replace(return_m=3.0), NOW_US)
