"""Which rules version a worker serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentos.wiring import served_settings
from parked.errors import ConflictError
from parked.pointer import published
from tests.bentos.fakes import publish, settings_in


def test_a_bento_serves_its_models_rules_unless_told_others_which_its_model_is_then_refused_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARKED_HOME", str(tmp_path / "there"))
    seed = publish(settings_in(tmp_path / "built"), "parking:v2", 7, rules_version="v2")
    assert served_settings(None).rules == "v1"
    assert served_settings(seed).rules == "v2"
    assert published(served_settings(seed), seed) == seed
    monkeypatch.setenv("PARKED_RULES", "v1")
    told = served_settings(seed)
    assert told.rules == "v1"
    with pytest.raises(ConflictError, match="model parking:v2 was trained on facts of rules 'v2'"):
        published(told, seed)
