"""Settings: each rules version has places of its own, what nobody derived is shared."""

from __future__ import annotations

from pathlib import Path

import pytest

from parked.errors import ConflictError, SettingError
from parked.pointer import published, read_pointer
from parked.settings import Settings, load_settings
from parked.worker_status import workers_dir
from tests.bentos.fakes import publish

DERIVED = ("features_dir", "feast_dir", "pointer_file")
SHARED = (
    "raw_dir", "facts_dir", "database", "predictions_dir", "bentoml_home", "manifests_dir", "reports_dir",
)  # fmt: skip


def test_what_is_derived_by_rules_lies_apart_by_version_and_the_rest_is_shared(tmp_path: Path) -> None:
    sides = [Settings(home=tmp_path, rules=version) for version in ("v1", "v2", "v2.b")]
    for name in DERIVED:
        assert len({getattr(side, name) for side in sides}) == 3
    assert len({workers_dir(side) for side in sides}) == 3
    for name in SHARED:
        assert len({getattr(side, name) for side in sides}) == 1


def test_the_first_versions_places_are_those_of_a_home_that_knew_no_other(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    places = [settings.features_dir, settings.feast_dir, settings.pointer_file, workers_dir(settings)]
    assert [str(place.relative_to(tmp_path)) for place in places] == [
        "features", "feast", "published.json", "serving/workers",
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", ["", ".", "..", ".v2", "a/b", "v 2", "../v1", "x" * 41])
def test_a_version_is_a_plain_name(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARKED_RULES", wrong)
    with pytest.raises(SettingError, match=f"PARKED_RULES='{wrong}'"):
        load_settings()


def test_the_setting_that_named_a_file_is_refused_with_what_to_do_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARKED_RULES_FILE", "my.toml")
    with pytest.raises(SettingError, match=r"PARKED_RULES_FILE .*parked facts build --rules FILE"):
        load_settings()


def test_a_pointer_of_other_rules_than_those_in_use_is_refused(tmp_path: Path) -> None:
    """As in a home of an earlier release, in which one place was for whatever rules were built last."""
    settings = Settings(home=tmp_path)
    assert published(settings) is None
    publish(settings, "parking:a", 1, rules_version="mine")
    with pytest.raises(ConflictError, match="trained on facts of rules 'mine', and rules 'v1' are in use; say --rules"):
        published(settings)
    mine = settings.model_copy(update={"rules": "mine"})
    assert published(mine) is None
    seed = read_pointer(settings.pointer_file)
    assert published(mine, seed) == seed
    with pytest.raises(ConflictError, match="mine"):
        published(settings.model_copy(update={"home": tmp_path / "other"}), seed)
