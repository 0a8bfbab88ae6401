"""``feature_repo/`` as Feast's own commands see it. They run on a copy, so that no test writes beside the checkout."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from feast.cli.cli import cli
from feast.repo_operations import get_repo_files

import feature_repo
from feature_repo.store import REPO_YAML, home_of, open_store, store_config
from ingestion.features.apply import apply_repo
from parked.errors import InputError, NotFoundError
from parked.settings import Settings

REPO = Path(feature_repo.__file__).parent


@pytest.fixture
def feast(monkeypatch, tmp_path):
    """Runs a feast command in a copy of the repo, as from its folder."""
    copy = tmp_path / "checkout" / "feature_repo"
    shutil.copytree(REPO, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.delenv("PARKED_HOME", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*arguments: str) -> Result:
        monkeypatch.chdir(copy)
        monkeypatch.delitem(sys.modules, "definitions", raising=False)
        return CliRunner().invoke(cli, list(arguments))

    yield run
    sys.modules.pop("definitions", None)


def test_feast_reads_the_definitions_file_alone():
    assert [path.name for path in get_repo_files(REPO)] == ["definitions.py"]


def test_plan_works_in_an_empty_home(feast, tmp_path):
    result = feast("plan")
    assert result.exit_code == 0, result.output
    for created in (
        "project where_you_parked",
        *(f"entity {name}" for name in ("device", "candidate", "place")),
        *(f"feature view {name}_state" for name in ("device", "candidate", "place")),
        "on demand feature view asked",
        "feature service parking_v1",
        "feature service where_parked_v1",
        "feature service answered_v1",
    ):
        assert f"Created {created}" in result.output
    assert not (tmp_path / "checkout" / "var" / "features").exists()


def test_after_feasts_apply_nothing_is_left_to_plan(feast, tmp_path):
    assert feast("apply").exit_code == 0
    assert "No changes to registry" in feast("plan").output
    assert "place_state" in feast("feature-views", "list").output
    assert (tmp_path / "checkout" / "var" / "feast" / "registry.db").exists()


@pytest.mark.parametrize("rules", ["v1", "V2.b"])
def test_after_our_apply_feast_finds_nothing_to_plan_with_the_yaml_of_that_home(feast, tmp_path, monkeypatch, rules):
    settings = Settings(home=tmp_path / "elsewhere", rules=rules)
    assert "Created feature view device_state" in apply_repo(settings)
    monkeypatch.setenv("PARKED_HOME", str(settings.home))
    result = feast("-f", str(settings.feast_dir / "feature_store.yaml"), "plan")
    assert result.exit_code == 0, result.output
    assert "No changes to registry" in result.output
    assert "No changes to infrastructure" in result.output


def test_applying_twice_changes_nothing(tmp_path):
    settings = Settings(home=tmp_path)
    apply_repo(settings)
    assert apply_repo(settings).split("\n")[:2] == ["No changes to registry", "No changes to infrastructure"]


def test_a_home_that_is_not_the_yamls_is_refused_with_the_mend(feast, tmp_path, monkeypatch):
    monkeypatch.setenv("PARKED_HOME", str(tmp_path / "elsewhere"))
    result = feast("apply")
    assert result.exit_code == 2
    assert "unset it, or run `parked features apply`" in result.output
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "checkout" / "var").exists()


def test_the_platforms_configuration_is_the_yaml_with_the_homes_paths(tmp_path):
    by_hand, ours = yaml.safe_load(REPO_YAML.read_text()), store_config(Settings(home=tmp_path))
    assert ours["registry"].pop("path") == f"sqlite:///{tmp_path}/feast/registry.db"
    assert ours["online_store"].pop("path") == f"{tmp_path}/feast/online.lmdb"
    assert by_hand["registry"].pop("path") == "sqlite:///../var/feast/registry.db"
    assert by_hand["online_store"].pop("path") == "../var/feast/online.lmdb"
    assert ours == by_hand


def test_the_yamls_home_is_found_from_its_paths(tmp_path):
    assert home_of(REPO_YAML) == REPO.parent / "var"
    other = tmp_path / "feature_store.yaml"
    other.write_text(yaml.safe_dump(store_config(Settings(home=tmp_path / "there"))))
    assert home_of(other) == tmp_path / "there"
    other.write_text("project: x")
    with pytest.raises(InputError, match="no registry path"):
        home_of(other)


def test_one_store_per_home_and_none_made_by_asking(tmp_path):
    from feature_repo.store import service

    settings = Settings(home=tmp_path / "empty")
    assert open_store(settings) is open_store(Settings(home=tmp_path / "empty"))
    with pytest.raises(NotFoundError, match=r"registry\.db: no feature registry; run `parked features build`"):
        service(open_store(settings), "parking_v1")
    assert not settings.home.exists()


def test_every_object_says_that_it_is_a_feature_and_no_guess(tmp_path):
    from feature_repo.objects import feast_objects

    objects = feast_objects(tmp_path)
    tagged = [objects.project, objects.asked, *objects.entities.values(), *objects.sources.values()]
    tagged += [*objects.views.values(), *objects.services.values()]
    assert {one.tags["layer"] for one in tagged} == {"feature"}


def test_no_view_has_a_time_to_live_as_rows_read_without_feast_know_none(tmp_path):
    from feature_repo.objects import feast_objects

    assert not any(view.ttl for view in feast_objects(tmp_path).views.values())
