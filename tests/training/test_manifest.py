import json

import pytest

from parked.errors import InputError, NotFoundError
from training.manifest import code_version, read_manifest, read_rows


def test_a_manifest_names_everything_the_model_follows_from(trained):
    _, model = trained
    manifest = read_manifest(model.manifest_path)
    recipe = manifest.recipe
    assert recipe.rows.rows == sum(recipe.counts["rows"].values())
    assert recipe.counts["labels"]["by_source"]["truth"]["parked"] > 0
    assert recipe.outliers.version == "outliers-test"
    assert recipe.rules_version == "v1"
    assert set(recipe.libraries) >= {"catboost", "numpy", "python"}
    assert len(recipe.code["training_sha256"]) == 64
    assert recipe.tag() == manifest.tag == model.tag
    assert model.card.manifest_sha256 == recipe.sha256()


def test_a_manifest_holds_no_path_of_this_machine(trained):
    home, model = trained
    assert str(home.settings.home) not in model.manifest_path.read_text(encoding="utf-8")


def test_an_altered_recipe_is_refused(trained, tmp_path):
    _, model = trained
    content = json.loads(model.manifest_path.read_text(encoding="utf-8"))
    content["recipe"]["config"]["seed"] += 1
    file = tmp_path / "m.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match="altered"):
        read_manifest(file)


def test_other_rows_than_the_manifest_names_are_refused_and_erased_ones_are_said(trained, tmp_path):
    _, model = trained
    table = read_manifest(model.manifest_path).recipe.rows
    (tmp_path / table.file).write_bytes(b"other")
    with pytest.raises(InputError, match="another hash"):
        read_rows(tmp_path, table)
    (tmp_path / table.file).unlink()
    with pytest.raises(NotFoundError, match="rows are gone"):
        read_rows(tmp_path, table)


@pytest.mark.parametrize("text", ["", "{}", "[1"])
def test_a_file_that_is_no_manifest_is_refused(tmp_path, text):
    file = tmp_path / "m.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="not a training manifest"):
        read_manifest(file)


def test_a_missing_manifest_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match=r"m\.json"):
        read_manifest(tmp_path / "m.json")


def test_the_code_version_does_not_change_by_itself():
    assert code_version() == code_version()
