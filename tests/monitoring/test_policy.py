from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.policy import DEFAULT_POLICY, load_policy
from parked.errors import NotFoundError, SettingError


def write(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    content = yaml.safe_load(DEFAULT_POLICY.read_text(encoding="utf-8"))
    change(content)
    file = folder / "policy.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def test_the_packaged_policy_is_in_order() -> None:
    assert load_policy().version == "1"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p["triggers"]["feature_drift"].update(limit_sd=-1), "triggers.feature_drift.limit_sd=-1"),
        (
            lambda p: p["triggers"]["feature_drift"].update(at_once_sd=1),
            "triggers.feature_drift: at_once_sd must not be below limit_sd",
        ),
        (lambda p: p["triggers"]["quality"].update(nul_rise=0.1), "triggers.quality.nul_rise: no such setting"),
        (lambda p: p["triggers"].pop("volume"), "triggers.volume: missing"),
        (lambda p: p["refit"].update(cooldown_hours="soon"), "refit.cooldown_hours='soon'"),
        (lambda p: p["window"].update(states=["parkd"]), "window.states.0='parkd'"),
        (lambda p: p["triggers"]["decay"].update(clear_ratio=1.5), "triggers.decay.clear_ratio=1.5"),
    ],
)
def test_a_wrong_policy_is_refused_naming_file_and_field(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    file = write(tmp_path, change)
    with pytest.raises(SettingError) as caught:
        load_policy(file)
    assert str(caught.value).startswith(f"{file}: {said}")
    assert "\n" not in str(caught.value)
    assert "; " in str(caught.value)


def test_a_file_that_is_not_yaml_is_refused_naming_the_line(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("version: '1'\nwindow: [\n", encoding="utf-8")
    with pytest.raises(SettingError, match=r"policy.yaml: line 3: not YAML"):
        load_policy(file)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("", encoding="utf-8")
    with pytest.raises(SettingError, match="holds no settings"):
        load_policy(file)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such policy file"):
        load_policy(tmp_path / "none.yaml")
