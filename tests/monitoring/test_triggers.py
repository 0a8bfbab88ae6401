from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.history import state_of
from monitoring.policy import Policy, load_policy
from monitoring.triggers import Decision, Look, Observation, Outcome, Past, Reading, decide

DAY = timedelta(days=1)
MONDAY = datetime(2024, 5, 6, tzinfo=UTC)
POLICY = load_policy()
"""feature_drift: 2 windows running, at least 200 rows of 20 phones, hysteresis 0.8; cooldown 24 h; 50 new labels."""


def policy(**changes: dict[str, Any]) -> Policy:
    """The packaged policy with ``trigger={field: value}`` or ``refit={...}`` on top."""
    content = POLICY.model_dump()
    for name, fields in changes.items():
        (content["refit"] if name == "refit" else content["triggers"][name]).update(fields)
    return Policy.model_validate(content)


def drift(value: float, *, name: str = "accuracy_m", rows: int = 1000, devices: int = 100) -> dict[str, Look]:
    """A look at one feature whose limit is 0.1, and 0.5 at once."""
    return {"feature_drift": Look((Reading(name, value, 0.1, 0.5),), rows, devices)}


def seen(day: float, looks: dict[str, Look], *, labels: int = 0, tag: str = "m:1", hours: float = 24) -> Observation:
    start = MONDAY + day * DAY
    end = start + timedelta(hours=hours)
    return Observation(end, start, end, tag, labels, looks)


class Loop:
    """Decides day after day and remembers, as the loop does."""

    def __init__(self, rules: Policy = POLICY, outcome: Outcome = "rejected") -> None:
        self.rules, self.outcome = rules, outcome
        self.history: list[Past] = []

    def look(self, day: float, looks: dict[str, Look], **options: Any) -> Decision:
        observation = seen(day, looks, **options)
        decision = decide(self.history, observation, self.rules)
        self.history.append(
            Past(
                at=observation.at,
                start=observation.start,
                end=observation.end,
                model_tag=observation.model_tag,
                labels_known=observation.labels_known,
                states=decision.states,
                action=decision.action,
                outcome=self.outcome if decision.action == "refit" else "none",
            )
        )
        return decision


def test_one_window_over_the_limit_is_watched_and_two_running_are_refitted() -> None:
    loop = Loop()
    first, second = loop.look(0, drift(0.2)), loop.look(1, drift(0.2))
    assert (first.action, first.states["feature_drift"].state) == ("none", "watching")
    assert (second.action, second.states["feature_drift"].fired) == ("refit", True)
    assert "accuracy_m 0.2 (limit 0.1)" in second.why


def test_another_feature_each_day_is_no_run() -> None:
    loop = Loop()
    loop.look(0, drift(0.2, name="speed"))
    assert loop.look(1, drift(0.2, name="walk")).action == "none"


def test_far_beyond_the_limit_one_window_is_enough() -> None:
    assert Loop().look(0, drift(0.6)).action == "refit"


def test_looking_twice_at_one_window_is_no_run() -> None:
    loop = Loop()
    loop.look(0, drift(0.2))
    assert loop.look(0, drift(0.2)).action == "none"
    assert loop.look(0.5, drift(0.2)).action == "none"


def test_a_window_of_too_few_rows_neither_breaks_nor_makes_a_run() -> None:
    loop = Loop()
    loop.look(0, drift(0.2))
    assert loop.look(1, drift(0.2, rows=10)).states["feature_drift"].state == "too_few"
    assert loop.look(2, drift(0.2)).action == "refit"


def test_a_quiet_window_breaks_a_run() -> None:
    loop = Loop()
    assert [loop.look(day, drift(value)).action for day, value in enumerate([0.2, 0.05, 0.2])] == ["none"] * 3


def test_a_run_does_not_carry_over_to_another_champion() -> None:
    loop = Loop()
    loop.look(0, drift(0.2), tag="m:1")
    assert loop.look(1, drift(0.2), tag="m:2").action == "none"


def test_once_raised_it_flickers_neither_off_nor_on() -> None:
    loop = Loop()
    states = [
        loop.look(d, drift(v)).states["feature_drift"] for d, v in enumerate([0.6, 0.09, 0.12, 0.085, 0.07, 0.09])
    ]
    assert [s.state for s in states] == ["raised", "raised", "raised", "raised", "quiet", "quiet"]
    assert [s.fired for s in states] == [True, False, False, False, False, False]


def test_a_refit_that_did_not_help_waits_for_new_labels_and_longer_every_time() -> None:
    loop = Loop()
    refitted = [day for day in range(12) if loop.look(day, drift(0.6), labels=40 * day).action == "refit"]
    # 50 more labels are two days off, then 100 are three, then 200 are five
    assert refitted == [0, 2, 5, 10]


def test_without_a_new_label_the_same_refit_is_never_repeated() -> None:
    loop = Loop()
    actions = [loop.look(day, drift(0.6), labels=7).action for day in range(50)]
    assert actions.count("refit") == 1
    assert "already tried" in loop.look(50, drift(0.6), labels=7).why


def test_a_new_cause_is_refitted_though_an_old_one_was_tried() -> None:
    loop = Loop()
    loop.look(0, drift(0.6, name="speed"))
    assert loop.look(2, drift(0.6, name="walk")).action == "refit"


def test_after_a_published_refit_the_same_cause_waits_for_labels_under_the_new_champion() -> None:
    loop = Loop(outcome="published")
    loop.look(0, drift(0.6), labels=100)
    assert loop.look(2, drift(0.6), labels=120, tag="m:2").action == "none"
    assert loop.look(3, drift(0.6), labels=150, tag="m:2").action == "refit"


def test_no_refit_during_the_cooldown() -> None:
    loop = Loop()
    loop.look(0, drift(0.6), hours=1)
    decision = loop.look(0.5, drift(0.6, name="other"), hours=1)
    assert decision.action == "none"
    assert "cooldown until 2024-05-07 01:00 UTC" in decision.why


def test_a_broken_refit_is_tried_again_but_not_for_ever() -> None:
    loop = Loop(outcome="failed")
    actions = [loop.look(2 * day, drift(0.6)).action for day in range(5)]
    assert actions == ["refit", "refit", "refit", "none", "none"]
    assert "3 refits failed" in loop.look(20, drift(0.6)).why


def test_an_empty_window_decides_nothing_and_says_so() -> None:
    looks = {name: Look(missing="no rows") for name in ("quality", "feature_drift", "prediction_drift", "decay")}
    decision = decide([], seen(0, looks), policy(volume={"enabled": False}))
    assert decision.action == "none"
    assert "no rows" in decision.why


def test_a_trigger_that_is_off_says_nothing() -> None:
    decision = decide([], seen(0, drift(0.6)), policy(feature_drift={"enabled": False}))
    assert (decision.action, decision.states["feature_drift"].state) == ("none", "off")


def test_new_labels_alone_are_reason_enough() -> None:
    look = {"volume": Look((Reading("new_labels", 2000.0, 2000.0),))}
    assert decide([], seen(0, look), POLICY).action == "refit"


values = st.floats(0, 1)
days = st.lists(st.tuples(values, st.integers(0, 400), st.integers(0, 40), st.integers(0, 100)), max_size=12)


@given(days, st.sampled_from(["published", "rejected", "failed"]))
def test_below_the_minimum_sample_nothing_is_ever_raised(
    stream: list[tuple[float, int, int, int]], outcome: Outcome
) -> None:
    loop, labels = Loop(outcome=outcome), 0
    for day, (value, rows, devices, more) in enumerate(stream):
        labels += more
        state = loop.look(day, drift(value, rows=rows, devices=devices), labels=labels).states["feature_drift"]
        if rows < 200 or devices < 20:
            assert state.state == "too_few"
            assert not state.fired
            assert state.raised == ()


@given(
    st.lists(st.tuples(values, st.sampled_from(["a", "b", "c"]), st.integers(0, 60), st.floats(0.01, 3)), max_size=20),
    st.sampled_from(["published", "rejected", "failed"]),
    st.floats(0, 96),
)
def test_refits_keep_the_cooldown_and_are_never_repeated_on_old_labels(
    stream: list[tuple[float, str, int, float]], outcome: Outcome, hours: float
) -> None:
    loop = Loop(policy(refit={"cooldown_hours": hours}), outcome)
    day, labels = 0.0, 0
    for value, name, more, gap in stream:
        day, labels = day + gap, labels + more
        loop.look(day, drift(value, name=name), labels=labels, hours=12)
    tries = [past for past in loop.history if past.action == "refit"]
    assert all(b.at - a.at >= timedelta(hours=hours) for a, b in pairwise(tries))
    if outcome != "failed":
        for i, later in enumerate(tries):
            new = [c for c in later.causes if not any(c in t.causes for t in tries[:i])]
            last = [t.labels_known for t in tries[:i] if t.causes & later.causes]
            assert new or later.labels_known - min(last) >= POLICY.refit.min_new_labels


@given(st.lists(values, max_size=6), values, values, st.integers(0, 500), st.integers(0, 500))
def test_more_drift_and_more_labels_never_prevent_a_refit(
    before: list[float], value: float, more_drift: float, labels: int, more_labels: int
) -> None:
    loop = Loop()
    for day, past in enumerate(before):
        loop.look(day, drift(past), labels=0)
    now = len(before)
    weaker = decide(loop.history, seen(now, drift(value), labels=labels), POLICY)
    stronger = decide(loop.history, seen(now, drift(min(1.0, value + more_drift)), labels=labels + more_labels), POLICY)
    assert not (weaker.action == "refit" and stronger.action == "none")
    assert set(weaker.causes) <= set(stronger.causes)


@given(st.permutations(range(5)))
def test_the_order_in_which_history_is_told_does_not_matter(order: list[int]) -> None:
    loop = Loop()
    for day, value in enumerate([0.2, 0.05, 0.2, 0.6, 0.15]):
        loop.look(day, drift(value), labels=10 * day)
    now = seen(5, drift(0.2), labels=90)
    assert decide([loop.history[i] for i in order], now, POLICY) == decide(loop.history, now, POLICY)


def test_what_was_decided_by_a_clock_put_back_since_holds_nothing_up() -> None:
    """A refit under a clock a year ahead was a cooldown of a year, and its raised triggers the last that were known."""
    ahead = Loop(outcome="published")
    ahead.look(364, drift(0.2))
    assert ahead.look(365, drift(0.6)).action == "refit"
    now = seen(5, drift(0.6))
    assert decide(ahead.history, now, POLICY) == decide([], now, POLICY)
    assert decide(ahead.history, now, POLICY).action == "refit"


@pytest.mark.parametrize("rows", [199, 200])
def test_the_minimum_sample_is_enough(rows: int) -> None:
    state = decide([], seen(0, drift(0.6, rows=rows)), POLICY).states["feature_drift"]
    assert (state.state == "raised") == (rows == 200)


def test_states_survive_being_kept_as_json() -> None:
    state = decide([], seen(0, drift(0.6)), POLICY).states["feature_drift"]
    assert state_of(json.loads(json.dumps(state.as_dict()))) == state
