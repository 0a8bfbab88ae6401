"""``parked simulate`` writes a world, says what it wrote, and refuses nonsense in one line."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.main import app
from parked.errors import UserError


def run(*arguments: str) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(app, ["simulate", *arguments])
    return result.exit_code, result.stdout, result.exception


def test_it_writes_every_file_and_counts_rows(tmp_path: Path):
    code, output, _ = run("--out", str(tmp_path), "--devices", "2", "--days", "1", "--city", "auckland", "--json")
    assert code == 0
    result = json.loads(output)
    fixes = pq.read_table(tmp_path / "fixes.parquet")
    assert result["fixes"] == fixes.num_rows > 100
    assert fixes["device_id"].unique().to_pylist() == ["auckland-7-00000", "auckland-7-00001"]
    assert json.loads((tmp_path / "scenario.json").read_text())["city"] == "auckland"


def test_it_writes_below_home_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PARKED_HOME", str(tmp_path))
    code, _, _ = run("--devices", "1", "--days", "1", "--start", "2026-07-01", "--first-device", "5")
    assert code == 0
    coverage = pq.read_table(tmp_path / "sim" / "coverage.parquet").to_pylist()
    assert coverage[0]["device_id"] == "lisbon-7-00005"
    assert coverage[0]["from"].isoformat() == "2026-07-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("option", "value"), [("--city", "atlantis"), ("--firmware", "beta"), ("--noise", "purple"), ("--devices", "0")]
)
def test_nonsense_is_refused_by_name_and_writes_nothing(tmp_path: Path, option: str, value: str):
    code, _, error = run("--out", str(tmp_path / "sim"), option, value)
    assert code != 0
    assert isinstance(error, UserError)
    assert value in str(error)
    assert not (tmp_path / "sim").exists()


def test_help_has_an_example():
    assert "Example: parked simulate" in run("--help")[1]
