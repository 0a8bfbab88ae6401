"""The loop on a real champion and a real log. Evidently is stood in for, but for the one test that has it all."""

from __future__ import annotations

import fcntl
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring import history, loop
from monitoring.loop import MonitorOutcome, run_monitor
from monitoring.policy import Policy, load_policy
from monitoring.refit import Refit, training_refit
from monitoring.report import Report, ReportError
from monitoring.windows import Window
from parked.errors import ConflictError, InputError, NotFoundError
from parked.pointer import read_pointer
from parked.settings import load_settings
from tests.monitoring.world import AFTER, TRAINED, WEEK, Home
from tests.training.world import World
from training.ports import Progress

Frame = pd.DataFrame


class Refitter:
    """A refit port that remembers its calls."""

    def __init__(self, outcome: Any = "published") -> None:
        self.outcome = outcome
        self.calls: list[str] = []

    def __call__(self, *, who: str, why: str, progress: Progress) -> Refit:
        assert who.startswith("monitor run ")
        progress(0, total=1)
        self.calls.append(why)
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return Refit(self.outcome, "parking:new", "better on held-out rows")


@pytest.fixture
def no_evidently(monkeypatch: pytest.MonkeyPatch) -> None:
    def stand_in(*_frames: Frame, html: Path, json_path: Path, **_rest: Any) -> Report:
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text("<html>", encoding="utf-8")
        json_path.write_text("{}", encoding="utf-8")
        return Report(html, json_path, {}, ())

    monkeypatch.setattr(loop, "make_report", stand_in)


pytestmark = pytest.mark.usefixtures("no_evidently")


def policy(**changes: dict[str, Any]) -> Policy:
    content = load_policy().model_dump()
    content["triggers"]["volume"]["enabled"] = False
    content["window"]["pseudo_windows"] = 60
    for name, fields in changes.items():
        content["triggers"][name].update(fields)
    return Policy.model_validate(content)


def monitor(home: Home, refit: Any = None, *, window: Window = WEEK, **options: Any) -> MonitorOutcome:
    options = {"policy": policy(), "clock": home.clock, **options}
    clock = options.pop("clock")
    return run_monitor(
        home.settings, home.engine, clock, window_from=window.start, window_to=window.end, refit=refit, **options
    )


def doubled(frame: Frame, _rng: np.random.Generator) -> Frame:
    return frame.assign(uncertainty_m=frame["uncertainty_m"] * 2)


def test_a_quiet_week_decides_nothing_and_is_a_row(home: Home) -> None:
    home.serve()
    refit = Refitter()
    outcome = monitor(home, refit)
    assert (outcome.action, outcome.outcome, outcome.drifted, refit.calls) == ("none", "none", (), [])
    seen, decision = history.run(home.engine, outcome.run_id)
    assert decision is not None
    assert (seen.rows, seen.model_tag, seen.finished_at) == (outcome.rows, home.tag, AFTER)
    assert decision.why.startswith("all quiet")
    assert {n: s["state"] for n, s in decision.triggers.items() if s["state"] != "quiet"} == {"volume": "off"}
    assert seen.report_html == "reports/monitor-00001.html"


def test_quiet_weeks_stay_quiet_over_many_seeds(home: Home) -> None:
    """What people ask differs, the world does not."""
    for seed in range(3):
        for part in home.settings.predictions_dir.rglob("*.parquet"):
            part.unlink()
        home.serve(seed=seed)
        assert monitor(home).drifted == ()


def half_a_sd(frame: Frame, _rng: np.random.Generator) -> Frame:
    return frame.assign(uncertainty_m=frame["uncertainty_m"] + 0.5 * frame["uncertainty_m"].std())


def a_new_value(frame: Frame, rng: np.random.Generator) -> Frame:
    return frame.assign(motion_after=np.where(rng.random(len(frame)) < 0.2, "hovering", frame["motion_after"]))


def sensor_lost(frame: Frame, _rng: np.random.Generator) -> Frame:
    return frame.assign(signal=np.nan)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (doubled, "feature_drift:uncertainty_m"),
        (half_a_sd, "feature_drift:uncertainty_m"),
        (a_new_value, "quality:motion_after unseen"),
        (sensor_lost, "quality:signal missing"),
    ],
)
def test_a_changed_world_is_caught_and_refitted(home: Home, change: Any, cause: str) -> None:
    home.serve(change=change)
    refit = Refitter()
    once = policy(feature_drift={"consecutive": 1})
    outcome = monitor(home, refit, policy=once)
    assert (outcome.action, outcome.outcome, outcome.challenger_tag) == ("refit", "published", "parking:new")
    assert refit.calls == [outcome.why.split("; published")[0]]
    causes = {f"{n}:{r}" for n, s in outcome.statistics["decided"]["states"].items() for r in s["raised"]}
    assert cause in causes
    _, decision = history.run(home.engine, outcome.run_id)
    assert decision is not None
    assert (decision.action, decision.outcome, decision.challenger_tag) == ("refit", "published", "parking:new")


def test_the_same_refit_is_not_repeated(home: Home) -> None:
    home.serve(change=doubled)
    refit = Refitter("rejected")
    assert monitor(home, refit).outcome == "rejected"
    again = monitor(home, refit, clock=lambda: AFTER + (AFTER - TRAINED))
    assert len(refit.calls) == 1
    assert again.action == "none"
    assert "already tried for this cause" in again.why


def test_a_run_that_only_looks_changes_nothing_and_does_not_count_as_tried(home: Home) -> None:
    home.serve(change=doubled)
    looked = monitor(home)
    assert (looked.action, looked.outcome) == ("none", "none")
    assert "this run only looks" in looked.why
    assert monitor(home, Refitter()).outcome == "published"


def test_an_empty_window_is_told_and_is_a_row(home: Home) -> None:
    outcome = monitor(home, Refitter())
    assert (outcome.rows, outcome.action, outcome.report_html) == (0, "none", None)
    assert outcome.why.startswith("no rows served in the window; ")
    assert outcome.report_error == "no rows: nothing to report"
    assert history.run(home.engine, outcome.run_id)[1] is not None


def test_a_report_that_fails_does_not_blind_the_triggers(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_a: Any, **_o: Any) -> Report:
        raise ReportError("Evidently failed: ValueError: boom")

    monkeypatch.setattr(loop, "make_report", broken)
    home.serve(change=doubled)
    outcome = monitor(home, Refitter())
    assert outcome.outcome == "published"
    assert outcome.report_error == "Evidently failed: ValueError: boom"


def test_a_refit_that_lacks_labels_is_a_failed_row(home: Home) -> None:
    home.serve(change=doubled)
    outcome = monitor(home, Refitter(InputError("no labels", mend="import some")))
    assert (outcome.action, outcome.outcome) == ("refit", "failed")
    assert "no labels; import some" in outcome.why


@pytest.mark.parametrize("broken", [RuntimeError("out of memory"), KeyboardInterrupt()])
def test_whatever_breaks_leaves_a_failed_row_and_is_raised(home: Home, broken: BaseException) -> None:
    home.serve(change=doubled)
    with pytest.raises(type(broken)):
        monitor(home, Refitter(broken))
    [(seen, decision)] = history.runs(home.engine, 5)
    assert decision is not None
    assert (decision.action, decision.outcome, seen.finished_at) == ("refit", "failed", AFTER)
    assert type(broken).__name__ in decision.why


def test_a_run_that_was_killed_is_closed_by_the_next_one(home: Home) -> None:
    home.serve()
    killed = history.begin(home.engine, WEEK, home.tag, TRAINED)
    decided = {"action": "refit", "why": "drift", "policy_version": "1", "states": {}}
    history.saw(home.engine, killed, rows=7, statistics={"decided": decided}, html=None, json=None)
    monitor(home)
    _, decision = history.run(home.engine, killed)
    assert decision is not None
    assert (decision.action, decision.outcome) == ("refit", "failed")
    assert decision.why == "drift; the monitor was stopped before it finished"


def test_two_monitors_never_work_at_once(home: Home) -> None:
    with (home.settings.home / "monitor.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConflictError, match="another monitor is at work"):
            monitor(home)
    assert history.runs(home.engine, 5) == []


def test_without_a_published_model_there_is_nothing_to_monitor(tmp_path: Path, home: Home) -> None:
    with pytest.raises(NotFoundError, match="no model is published"):
        run_monitor(load_settings(home=tmp_path / "bare"), home.engine, home.clock, refit=None)
    assert history.runs(home.engine, 5) == []


def test_the_same_window_gives_the_same_figures(home: Home) -> None:
    home.serve()
    first, second = (monitor(home).statistics for _ in range(2))
    assert first["drift"] == second["drift"]
    assert first["performance"] == second["performance"]


def test_answers_are_judged_by_labels_that_came_later(home: Home) -> None:
    home.serve()
    decay = policy(decay={"min_labels": 300})
    performance = monitor(home, policy=decay).statistics["performance"]
    assert performance["rows"] > 300
    assert performance["auc"] > 0.9
    assert abs(performance["calibration_z"]) < 3


def test_a_world_turned_round_is_caught_by_its_labels(home: Home) -> None:
    def turned(frame: Frame, _rng: np.random.Generator) -> Frame:
        return frame.assign(signal=-frame["signal"])

    home.serve(change=turned)
    outcome = monitor(home, Refitter(), policy=policy(decay={"min_labels": 300}))
    assert "auc_drop" in outcome.statistics["decided"]["states"]["decay"]["raised"]
    assert outcome.action == "refit"


def test_limits_rest_on_past_windows_once_there_are_enough(home: Home) -> None:
    start, end = TRAINED, WEEK.end
    content = policy().model_dump()
    content["window"]["past_windows"] = 10
    for name in ("feature_drift", "prediction_drift"):
        content["triggers"][name].update(min_rows=5, min_devices=3)
    home.serve(per_phone=80)
    outcome = monitor(home, window=Window(end - (end - start) / 40, end), policy=Policy.model_validate(content))
    drift = outcome.statistics["drift"]["uncertainty_m"]
    assert drift["limit_from"] == "past_windows"
    assert drift["quiet_windows"] >= 10
    assert not drift["over"]


def test_new_labels_alone_lead_to_a_refit(home: Home) -> None:
    outcome = monitor(home, Refitter(), policy=load_policy().model_copy(update={"triggers": many_labels()}))
    assert (outcome.action, outcome.outcome) == ("refit", "published")
    assert "volume raised: new_labels 345 (limit 100)" in outcome.why


def many_labels() -> Any:
    content = load_policy().triggers.model_dump()
    content["volume"]["new_labels"] = 100
    return type(load_policy().triggers).model_validate(content)


def another_scale(world: World) -> World:
    """From the day of training on, a new firmware reports the signal on another scale; parkings still stand out."""
    later = world.snapshots["left_at_us"] >= WEEK.bounds_us[0]
    signal = world.snapshots["signal"].where(~later, 6 + world.snapshots["signal"] * 1.5)
    return replace(world, snapshots=world.snapshots.assign(signal=signal))


def test_the_whole_loop_with_evidently_refit_gate_and_publish(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the real Evidently
    home.world = another_scale(home.world)
    home.serve()
    refit = training_refit(home.settings, home.engine, home.clock, config=home.config, sources=home.world.sources())
    before = read_pointer(home.settings.pointer_file)
    outcome = monitor(home, refit)
    after = read_pointer(home.settings.pointer_file)
    assert before is not None
    assert after is not None
    assert outcome.drifted[0] == "signal"
    assert (outcome.action, outcome.outcome) == ("refit", "published"), outcome.why
    assert after.model_tag == outcome.challenger_tag != home.tag
    assert after.generation == before.generation + 1
    assert outcome.report_html is not None
    assert "<td>signal</td>" in outcome.report_html.read_text(encoding="utf-8")
    assert outcome.report_json is not None
    document = json.loads(outcome.report_json.read_text(encoding="utf-8"))
    assert document["findings"][0]["name"] == "signal"
