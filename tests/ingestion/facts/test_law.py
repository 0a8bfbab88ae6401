"""The one law: facts as of k = build(raw where received_at <= k); the log is exactly the sequence of its changes."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from tests.ingestion.facts.worlds import world

RULES = load_rules()
CONTENT = ["device_id", "fact_id", "kind", "started_at", "ended_at", "lat", "lon", "uncertainty_m", "status", "reasons"]
seeds = st.integers(0, 2**32 - 1)


def state(facts: pa.Table, known_by: int | None = None) -> list[tuple[object, ...]]:
    """What the log says stands at a moment: of each fact its last revision, retracted ones left out."""
    if known_by is not None:
        facts = facts.filter(pc.less_equal(facts["available_at"].cast(pa.int64()), known_by))
    last: dict[str, dict[str, object]] = {}
    for row in facts.to_pylist():
        before = last.get(row["fact_id"])
        if before is None or row["revision"] > before["revision"]:  # type: ignore[operator]
            last[row["fact_id"]] = row
    return sorted(tuple(str(r[c]) for c in CONTENT) for r in last.values() if r["status"] != "RETRACTED")


def received_by(table: pa.Table, moment: int) -> pa.Table:
    return table.filter(pc.less_equal(table["received_at"].cast(pa.int64()), moment))


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_the_log_says_at_every_moment_what_a_build_of_the_records_received_by_then_says(seed: int) -> None:
    fixes, motion = world(seed, devices=1, late=0.15, copies=0.1)
    log = build_facts(fixes, motion, RULES)
    moments = sorted(set(fixes["received_at"].cast(pa.int64()).to_pylist()))
    for moment in moments[:: max(1, len(moments) // 12)] + moments[-1:]:
        then = build_facts(received_by(fixes, moment), received_by(motion, moment), RULES)
        assert state(log, moment) == state(then)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_every_revision_changes_something_and_numbers_have_no_gap(seed: int) -> None:
    facts = build_facts(*world(seed, devices=2, late=0.1), RULES)
    by_fact: dict[str, list[dict[str, object]]] = {}
    for row in facts.to_pylist():
        by_fact.setdefault(row["fact_id"], []).append(row)
    for rows in by_fact.values():
        rows.sort(key=lambda r: r["revision"])
        assert [r["revision"] for r in rows] == list(range(1, len(rows) + 1))
        assert rows[0]["status"] != "RETRACTED"
        for before, after in pairwise(rows):
            assert before["available_at"] < after["available_at"]  # type: ignore[operator]
            drop = ("revision", "available_at")
            assert {k: v for k, v in before.items() if k not in drop} != {
                k: v for k, v in after.items() if k not in drop
            }


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_what_is_known_later_never_rewrites_the_past(seed: int) -> None:
    fixes, motion = world(seed, devices=1, late=0.2)
    log = build_facts(fixes, motion, RULES)
    moments = sorted(fixes["received_at"].cast(pa.int64()).to_pylist())
    middle = moments[len(moments) // 2]
    early = build_facts(received_by(fixes, middle), received_by(motion, middle), RULES)
    known = log.filter(pc.less_equal(log["available_at"].cast(pa.int64()), middle))
    assert known.equals(early)


def test_a_fix_that_comes_hours_late_retracts_and_revises() -> None:
    fixes, motion = world(7, devices=1, late=0.3)
    statuses = set(build_facts(fixes, motion, RULES)["status"].to_pylist())
    assert "RETRACTED" in statuses
    assert "FINAL" in statuses


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_a_replay_gives_the_same_bytes(share: float) -> None:
    tables = world(3, late=share)
    assert build_facts(*tables, RULES).equals(build_facts(*tables, RULES))
