"""docs/quarantine.md says what the commands say."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from ingestion.readers.reasons import Reason
from parked.schemas import ACTIVITIES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "quarantine.md").read_text(encoding="utf-8")


def test_every_reason_code_has_its_row_and_no_row_is_of_another() -> None:
    assert sorted(re.findall(r"^\| `(\w+)` \|", PAGE, re.M)) == sorted(Reason)


def test_every_activity_is_named() -> None:
    (row,) = re.findall(r"^\| `unknown_activity` \| (.*?) \|", PAGE, re.M)
    assert row.endswith(", ".join(ACTIVITIES))


def test_the_example_says_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARKED_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PARKED_DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    (csv,) = re.findall(r"```csv\n(.*?)```", PAGE, re.S)
    (tmp_path / "car.csv").write_text(csv)
    example = re.findall(r"```sh\n(.*?)```", PAGE, re.S)[0]
    outputs = []
    for line in example.splitlines():
        command, _, said = line.partition("#")
        result = CliRunner().invoke(app, shlex.split(command)[1:], catch_exceptions=False)
        assert result.exit_code == 0, line
        outputs.append(result.stdout)
        if "records" in said and "=" in said:
            assert said.strip().rstrip(".") in result.stdout
    assert len(re.findall(r"│ car\.csv:|car\.csv:\d", outputs[1])) == 7
    assert "(swapped?)" in outputs[1]
    assert json.loads(outputs[-1])["reasons"] == {"missing_device": 1}
