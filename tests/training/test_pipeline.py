"""The one door: train, refit, judge, publish."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bentos.proof import REAL_ROWS, real_rows, with_trees
from bentos.scorer import load_scorer, model_dir_of
from parked.errors import ConflictError, InternalError, NotFoundError
from parked.pointer import read_pointer
from parked.settings import load_settings
from parked.worker_status import WorkerStatus, process_started, workers_dir, write_status
from tests.training.conftest import CLOCK, Home, config_file
from tests.training.world import AS_OF, make_world
from training import registry
from training.fit import prediction_hash
from training.manifest import read_manifest, read_rows, write_manifest
from training.model_store import load_model
from training.pipeline import decide_and_publish, evaluate_model, judge, refit

WEAK = {"iterations": 2, "depth": 1, "rsm": 1.0}
"""Little learnt, but from all features: of a random half, two stumps may miss the one that tells."""

REFIT = """
import sys
from training.manifest import read_manifest, read_rows
from training.fit import fit
from training.pipeline import outcome_of
from pathlib import Path
path = Path(sys.argv[1])
recipe = read_manifest(path).recipe
rows = read_rows(path.parent, recipe.rows)
print(outcome_of(fit(rows, tuple(recipe.features), tuple(recipe.categorical), recipe.config), rows).model_dump_json())
"""


def test_a_model_learns_what_the_features_tell_and_says_how_sure_it_is(trained):
    _, model = trained
    for part in ("test_devices", "test_later"):
        measures = model.evaluation.parts[part]
        assert measures.auc is not None
        assert measures.auc > 0.9
        assert measures.log_loss_interval is not None
        assert measures.log_loss_interval.low < measures.log_loss < measures.log_loss_interval.high


def test_features_that_say_nothing_give_no_skill(new_home: Callable[..., Home]):
    world = make_world(devices=30, per_device=12, noise=1000.0)
    world.snapshots["motion_after"] = ""
    auc = new_home(world).train().evaluation.parts["test_devices"].auc
    assert auc is not None
    assert 0.35 < auc < 0.65


def test_the_same_input_gives_the_same_tag_and_changes_nothing(trained):
    home, model = trained
    card = (home.settings.bentoml_home / "models" / model.tag.replace(":", "/") / "card.json").stat()
    again = home.train()
    assert again.tag == model.tag
    assert (home.settings.bentoml_home / "models" / model.tag.replace(":", "/") / "card.json").stat() == card
    assert len(registry.models(home.engine)) == 1


def test_a_refit_in_another_process_gives_byte_equal_model_and_predictions(trained):
    home, model = trained
    manifest = read_manifest(model.manifest_path)
    command = [sys.executable, "-c", REFIT, str(model.manifest_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, cwd=root)
    assert json.loads(done.stdout) == manifest.outcome.model_dump()
    rows = read_rows(home.settings.manifests_dir, manifest.recipe.rows)
    stored = load_model(home.settings, model.tag)
    assert prediction_hash(stored.fit.margins(rows)) == manifest.outcome.predictions_sha256


def test_the_stored_model_and_its_card_score_as_the_fit_did(trained):
    home, model = trained
    stored = load_model(home.settings, model.tag)
    rows = read_rows(home.settings.manifests_dir, stored.manifest.recipe.rows).head(50)
    by_card = [stored.card.probability(float(margin)) for margin in stored.fit.margins(rows)]
    assert stored.fit.score(rows) == pytest.approx(by_card, rel=1e-12)


def test_a_server_proves_a_models_trees_on_the_rows_it_was_trained_on(trained):
    home, model = trained
    scorer = load_scorer(model_dir_of(home.settings, model.tag), model.tag)
    rows = read_rows(home.settings.manifests_dir, read_manifest(model.manifest_path).recipe.rows)
    real = real_rows(home.settings, scorer)
    assert len(real) >= REAL_ROWS
    every = len(rows) // REAL_ROWS
    margins = load_model(home.settings, model.tag).fit.margins(rows)
    assert scorer.catboost_margins(real).tolist() == margins[::every].tolist()
    with capture_logs() as told:
        assert with_trees(scorer, home.settings).trees is not None
    assert [(line["event"], line["real_rows"]) for line in told] == [("trees_proved", len(real))]


def test_a_manifest_that_is_there_and_names_no_rows_is_told(trained, tmp_path: Path):
    home, model = trained
    settings = load_settings(home=tmp_path)
    folder = settings.bentoml_home / "models" / model.tag.replace(":", "/")
    shutil.copytree(model_dir_of(home.settings, model.tag), folder)
    scorer = load_scorer(folder, model.tag)
    with capture_logs() as told:
        assert real_rows(settings, scorer) == []  # as in a bento: the manifest came along, its rows did not
    assert told == []
    (folder / "manifest.json").write_text('{"recipe": {}}', encoding="utf-8")
    with capture_logs() as told:
        assert real_rows(settings, scorer) == []
    assert [(line["event"], line["why"]) for line in told] == [("training_rows_unreadable", "KeyError: 'rows'")]


@pytest.fixture
def home(new_home: Callable[..., Home]) -> Home:
    return new_home(make_world(devices=36, per_device=14), catboost={"iterations": 20})


def test_a_refit_from_the_manifest_puts_a_lost_model_back(home):
    model = home.train()
    folder = home.settings.bentoml_home / "models" / model.tag.replace(":", "/")
    wanted = {name: (folder / name).read_bytes() for name in ("model.cbm", "card.json", "manifest.json")}
    (folder / "card.json").unlink()  # as a crash in the middle would leave it
    again = refit(home.settings, home.engine, CLOCK, model.manifest_path)
    assert again.tag == model.tag
    assert {name: (folder / name).read_bytes() for name in wanted} == wanted


def test_a_refit_that_comes_out_otherwise_is_a_conflict(home, tmp_path):
    model = home.train()
    manifest = read_manifest(model.manifest_path)
    lied = manifest.model_copy(update={"outcome": manifest.outcome.model_copy(update={"model_sha256": "0" * 64})})
    write_manifest(home.settings.manifests_dir, lied)
    with pytest.raises(ConflictError, match="refit is another model"):
        refit(home.settings, home.engine, CLOCK, model.manifest_path)


def test_another_model_under_the_same_tag_is_caught(home):
    model = home.train()
    file = home.settings.bentoml_home / "models" / model.tag.replace(":", "/") / "model.cbm"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(InternalError, match="another model"):
        home.train()


def test_the_first_model_goes_through_the_gate_and_is_published(home):
    model = home.train()
    outcome = decide_and_publish(home.settings, home.engine, CLOCK, model.tag, "ann", "first")
    assert outcome.published
    assert outcome.previous is None
    pointer = read_pointer(home.settings.pointer_file)
    assert pointer is not None
    assert (pointer.model_tag, pointer.generation) == (model.tag, outcome.generation)
    assert "gate: no champion yet" in registry.show(home.engine, model.tag).history[-1].why
    with pytest.raises(ConflictError, match="already champion"):
        decide_and_publish(home.settings, home.engine, CLOCK, model.tag, "ann", "again")


def test_what_the_gate_lets_through_a_running_worker_may_still_refuse(home):
    model = home.train()
    me = os.getpid()
    refusal = WorkerStatus(
        pid=me,
        started=process_started(me),
        generation=0,
        model_tag=None,
        at=AS_OF,
        refused="it is damaged here",
        refused_generation=1,
    )
    write_status(workers_dir(home.settings), refusal)
    outcome = decide_and_publish(home.settings, home.engine, CLOCK, model.tag, "ann", "first")
    assert outcome.decision.publish
    assert (outcome.published, outcome.generation) == (False, None)
    assert outcome.undone is not None
    assert f"worker {me} refuses it: it is damaged here" in outcome.undone
    assert read_pointer(home.settings.pointer_file) is None
    assert registry.show(home.engine, model.tag).state == "rejected"


def test_a_worse_challenger_is_rejected_and_a_better_one_published(home, tmp_path):
    weak = home.train(config=config_file(tmp_path / "weak", catboost=WEAK))
    good = home.train()
    assert decide_and_publish(home.settings, home.engine, CLOCK, weak.tag, "ann", "a start").published
    better = decide_and_publish(home.settings, home.engine, CLOCK, good.tag, "ann", "more trees")
    assert better.published, better.decision
    assert better.previous == weak.tag
    assert better.decision.all_rows is not None
    assert better.decision.all_rows.log_loss_interval.high < 0
    worse = home.train(config=config_file(tmp_path / "worse", catboost={**WEAK, "iterations": 3}))
    refused = decide_and_publish(home.settings, home.engine, CLOCK, worse.tag, "ann", "try")
    assert not refused.published
    assert registry.show(home.engine, worse.tag).state == "rejected"
    assert registry.show(home.engine, worse.tag).history[-1].why.startswith("gate: ")
    assert registry.champion(home.engine, "v1") == good.tag


def test_a_changed_world_is_learned_and_the_challenger_replaces_the_champion(new_home: Callable[..., Home], tmp_path):
    old = new_home(make_world(devices=36, per_device=14, seed=1), catboost={"iterations": 20})
    champion = old.train()
    assert decide_and_publish(old.settings, old.engine, CLOCK, champion.tag, "loop", "first").published
    changed = make_world(devices=36, per_device=14, seed=2, flip=True)
    changed.write(old.settings.home)
    old.world = changed
    challenger = old.train()
    assert decide_and_publish(old.settings, old.engine, CLOCK, challenger.tag, "loop", "drift").published


def test_a_champion_that_eats_other_features_is_scored_on_its_own(home, tmp_path):
    champion = home.train()
    decide_and_publish(home.settings, home.engine, CLOCK, champion.tag, "ann", "first")
    lean = home.train(config=config_file(tmp_path / "lean", exclude=["age_s"], catboost={"iterations": 20}))
    asked: list[str] = []
    sources = home.world.sources()

    def counting(entities, service):
        asked.append(service)
        return sources.retrieve(entities, service)

    from dataclasses import replace

    decision, rival = judge(home.settings, home.engine, lean.tag, replace(sources, retrieve=counting))
    assert rival == champion.tag
    assert asked == ["parking_v1"]
    assert decision.all_rows is not None
    assert abs(decision.all_rows.log_loss) < 0.05


def test_evaluating_measures_the_champion_and_writes_the_same_report_again(home):
    model = home.train()
    before = model.evaluation_path.read_bytes()
    evaluation, path = evaluate_model(home.settings, home.engine)
    assert evaluation == model.evaluation
    assert path.read_bytes() == before
    with pytest.raises(NotFoundError):
        evaluate_model(home.settings, home.engine, "parking:absent")


def test_a_failed_training_leaves_nothing_behind(home, tmp_path):
    broken = config_file(tmp_path, categorical=["status", "motion_after", "moon"])
    with pytest.raises(Exception, match="moon"):
        home.train(config=broken)
    assert registry.models(home.engine) == []
    assert not home.settings.manifests_dir.exists()
    assert not home.settings.bentoml_home.exists()
