"""Monitors of two rules versions in one home: each reads its own answers and remembers its own decisions."""

from __future__ import annotations

import fcntl
from dataclasses import replace

import pytest
from sqlalchemy.orm import Session

from monitoring import history
from monitoring.loop import run_monitor
from monitoring.parity import check_parity
from monitoring.sampled import sample_answers
from parked.errors import ConflictError, InputError, NotFoundError
from parked.opsdb.tables import ModelVersion, MonitorRun
from parked.settings import Settings
from tests.monitoring.world import AFTER, WEEK, Home


def v2_of(home: Home) -> Home:
    """The home as v2 sees it, with a model of v2 registered."""
    with Session(home.engine) as session, session.begin():
        of_v1 = session.get(ModelVersion, home.tag)
        assert of_v1 is not None
        its = {c.key: getattr(of_v1, c.key) for c in ModelVersion.__table__.columns}
        session.add(ModelVersion(**{**its, "tag": "parking:of-v2", "rules_version": "v2", "state": "candidate"}))
    return replace(home, settings=home.settings.model_copy(update={"rules": "v2"}), tag="parking:of-v2")


def broken_run(home: Home) -> int:
    return history.begin(home.engine, WEEK, home.tag, AFTER)


def finished(home: Home) -> set[int]:
    with Session(home.engine) as session:
        return {run.id for run in session.query(MonitorRun).all() if run.finished_at is not None}


def test_a_version_closes_and_remembers_its_own_runs_alone(home: Home) -> None:
    second = v2_of(home)
    mine, its = broken_run(home), broken_run(second)
    assert history.close_broken_runs(home.engine, "v1", AFTER) == [mine]
    assert finished(home) == {mine}
    assert [past.model_tag for past in history.past_decisions(home.engine, "v1")] == [home.tag]
    assert history.past_decisions(home.engine, "v2") == []
    assert history.close_broken_runs(home.engine, "v2", AFTER) == [its]
    assert [past.model_tag for past in history.past_decisions(home.engine, "v2")] == [second.tag]


def test_a_run_of_a_model_that_the_registry_has_lost_is_closed_all_the_same(home: Home) -> None:
    lost = broken_run(replace(home, tag="parking:lost"))
    assert history.close_broken_runs(home.engine, "v1", AFTER) == [lost]


def test_a_monitor_of_one_version_does_not_wait_for_that_of_another(home: Home) -> None:
    second = v2_of(home)

    def look(which: Settings) -> None:
        run_monitor(which, home.engine, home.clock, window_from=WEEK.start, window_to=WEEK.end, refit=None)

    with (home.settings.home / "monitor.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConflictError, match="another monitor is at work on rules v1"):
            look(home.settings)
        with pytest.raises(NotFoundError, match="no model is published"):
            look(second.settings)


def test_parity_samples_the_answers_of_the_version_in_use_alone(home: Home) -> None:
    second = v2_of(home)
    home.serve()
    found = sample_answers(home.settings.predictions_dir, None, 10, "v1")
    assert len(found) == 10
    assert sample_answers(home.settings.predictions_dir, None, 10, "v2") == []
    assert check_parity(second.settings).answers == 0
    with pytest.raises(InputError, match="no facts of rules 'v1'"):
        check_parity(home.settings)
