"""The door: train, fit again, evaluate."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bentos.model.proof import REAL_ROWS, real_rows, with_trees
from bentos.model.scorer import load_scorer, model_dir_of
from parked.errors import ConflictError, InternalError, NotFoundError
from parked.settings import load_settings
from tests.training.conftest import CLOCK, Home, config_file
from tests.training.world import make_world
from training import registry
from training.fit import prediction_hash
from training.manifest import read_manifest, read_rows, write_manifest
from training.model_store import load_model
from training.pipeline import evaluate_model, refit

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
