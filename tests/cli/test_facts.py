"""The commands of facts, as a person types them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.main import app
from ingestion.facts.rules import PACKAGED
from parked.errors import ConflictError, InputError, NotFoundError, SettingError, UserError
from tests.ingestion.facts.worlds import world


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARKED_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PARKED_DATABASE_URL", raising=False)
    return tmp_path / "home"


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    """Other rules: a stop needs less time, a halt more."""
    text = (PACKAGED / "v1.toml").read_text(encoding="utf-8")
    text = text.replace('version = "v1"', 'version = "v2"').replace("window_s = 240.0", "window_s = 120.0")
    file = tmp_path / "v2.toml"
    file.write_text(text.replace("halt_s = 20.0", "halt_s = 35.0"), encoding="utf-8")
    return file


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def run_json(*arguments: object) -> Any:
    return json.loads(run(*arguments, "--json"))


def mistake(kind: type[UserError], *arguments: object) -> str:
    with pytest.raises(kind) as caught:
        CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def uploads(tmp_path: Path) -> list[Path]:
    """Two days of three phones in two files each."""
    fixes, motion = world(21, devices=3, late=0.05)
    moments = sorted(fixes["received_at"].cast(pa.int64()).to_pylist())
    middle = moments[len(moments) // 2]
    files = []
    for i in range(2):
        for name, table in (("fixes", fixes), ("motion", motion)):
            late = pc.greater(table["received_at"].cast(pa.int64()), middle)
            part = table.filter(late if i else pc.invert(late))
            files.append(tmp_path / f"{name}-{i}.parquet")
            pq.write_table(part, files[-1])
    return files


def test_build_then_update_says_what_was_taken_in_and_equals_a_build(uploads: list[Path], home: Path) -> None:
    assert "parked facts build" in mistake(InputError, "facts", "update")
    run("ingest", *uploads[:2])
    run("facts", "build")
    run("ingest", *uploads[2:])
    done = run_json("facts", "update")
    assert done["records"] > 0
    assert done["revisions"] > done["revisions_before"]
    updated = Path(done["facts"]).read_bytes()
    run("facts", "build")
    assert Path(done["facts"]).read_bytes() == updated
    assert run_json("facts", "update")["records"] == 0
    assert (home / "facts" / "v1" / "facts.parquet") == Path(done["facts"])


def test_show_as_of_a_moment_shows_what_was_known_then(uploads: list[Path]) -> None:
    run("ingest", *uploads)
    run("facts", "build")
    now = run_json("facts", "show", "--device", "phone-2")["facts"]
    newest = max(datetime.fromisoformat(fact["available_at"]) for fact in now)
    before = (newest - timedelta(microseconds=1)).isoformat()
    then = run_json("facts", "show", "--device", "phone-2", "--as-of", before)["facts"]
    assert then
    assert then != now
    assert all(datetime.fromisoformat(fact["available_at"]) < newest for fact in then)
    assert run_json("facts", "show", "--device", "phone-2", "--as-of", newest.isoformat())["facts"] == now
    assert run_json("facts", "show", "--device", "phone-0", "--as-of", "2020-01-01")["facts"] == []
    page = run("facts", "show", "--device", "phone-2")
    assert "…" not in page  # nothing is cut
    cells = {cell.strip() for line in page.splitlines() for cell in line.split("│")}
    for fact in now:
        assert {fact["started_at"][:10], fact["started_at"][11:19], str(fact["lat"])} <= cells
    assert "as known at 2020-01-01" in run("facts", "show", "--device", "phone-0", "--as-of", "2020-01-01")
    assert "--as-of yesterday" in mistake(InputError, "facts", "show", "--device", "phone-0", "--as-of", "yesterday")
    assert "--kind pause" in mistake(InputError, "facts", "show", "--device", "phone-0", "--kind", "pause")


def test_replay_of_what_is_right_changes_nothing(uploads: list[Path], home: Path) -> None:
    run("ingest", *uploads)
    run("facts", "build")
    before = (home / "facts" / "v1" / "facts.parquet").read_bytes()
    for since in ([], ["--since", "2026-01-05T09:00"]):
        done = run_json("facts", "replay", "--device", "phone-1", *since)
        assert done["changed"] == 0
        assert done["revisions"] > 0
    assert (home / "facts" / "v1" / "facts.parquet").read_bytes() == before
    assert "phone-9" in mistake(NotFoundError, "facts", "replay", "--device", "phone-9")


def test_diff_shows_two_versions_side_by_side_and_switches_nothing(uploads: list[Path], home: Path, v2: Path) -> None:
    run("ingest", *uploads)
    run("facts", "build")
    before = sorted(home.rglob("*.parquet"))
    found = run_json("facts", "diff", "--rules", "v1", v2, "--out", home.parent / "diff")
    counts = found["facts"]["stop"]
    assert counts["appeared"] + counts["vanished"] + counts["moved"] > 0
    assert Path(found["picture"]).read_bytes().startswith(b"\x89PNG")
    assert pq.read_table(found["table"]).num_rows == sum(sum(c.values()) for c in found["facts"].values())
    assert sorted(home.rglob("*.parquet")) == before
    text = run("facts", "diff", uploads[0], "--rules", "v1", v2, "--device", "phone-1")
    assert "vanished" in text
    assert "vehicle_left" in text
    assert "v7" in mistake(InputError, "facts", "diff", "--rules", "v1", "v7")
    assert "phone-9" in mistake(NotFoundError, "facts", "diff", "--rules", "v1", v2, "--device", "phone-9")


@pytest.mark.parametrize("change", ["appeared", "vanished"])
def test_diff_names_some_of_what_appears_and_vanishes_and_counts_the_rest(
    tmp_path: Path, v2: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    pq.write_table(world(3, devices=12)[0], tmp_path / "fixes.parquet")
    versions = ("v1", v2) if change == "appeared" else (v2, "v1")
    command = ("facts", "diff", tmp_path / "fixes.parquet", "--rules", *versions)
    found = run_json(*command)
    counts = {name: sum(of[name] for of in found["facts"].values()) for name in (change, "moved")}
    assert (len(found[change]), len(found["largest"])) == (counts[change], counts["moved"])
    assert min(counts.values()) > 1
    assert all(row["change"] == change for row in found[change])
    assert "more)" not in run(*command)
    monkeypatch.setattr("cli.facts_diff.LARGEST", 1)
    text = run(*command)
    assert f"{change} (and {counts[change] - 1} more)" in text
    assert f"moved most (and {counts['moved'] - 1} more)" in text
    assert found[change][0]["device_id"] in text


def test_versions_stand_side_by_side_and_features_are_of_the_one_asked_for(
    uploads: list[Path], home: Path, v2: Path
) -> None:
    run("ingest", *uploads)
    first, second = run_json("facts", "build"), run_json("facts", "build", "--rules", v2)
    assert (first["rules"], second["rules"]) == ("v1", "v2")
    assert Path(first["facts"]).parent != Path(second["facts"]).parent
    by_name = run_json("facts", "show", "--device", "phone-0", "--rules", "v2")["facts"]
    assert by_name == run_json("facts", "show", "--device", "phone-0", "--rules", v2)["facts"]
    assert {fact["rules_version"] for fact in by_name} == {"v2"}
    done = run_json("features", "build", "--rules", "v2")
    assert (done["facts"], done["rules"]) == (second["facts"], "v2")
    assert "v3" in mistake(InputError, "features", "build", "--rules", "v3")
    assert "--rules v2" in mistake(ConflictError, "features", "build", "--facts", second["facts"])


def test_rules_once_built_by_are_known_by_their_versions_name(
    uploads: list[Path], home: Path, v2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("ingest", *uploads[:2])
    assert "v2: neither packaged (v1) nor built here" in mistake(InputError, "facts", "build", "--rules", "v2")
    run("facts", "build", "--rules", v2)
    v2.unlink()
    run("ingest", *uploads[2:])
    updated = run_json("facts", "update", "--rules", "v2")
    assert updated["records"] > 0
    monkeypatch.setenv("PARKED_RULES", "v2")
    assert run_json("facts", "build")["rules"] == "v2"
    assert run_json("facts", "build")["revisions"] == updated["revisions"]
    assert run_json("facts", "replay", "--device", "phone-1")["changed"] == 0
    stops = run_json("facts", "diff", "--rules", "v2", "v1")["facts"]["stop"]
    assert stops["appeared"] + stops["vanished"] + stops["moved"] > 0
    assert not (home / "facts" / "v1").exists()


@pytest.mark.parametrize("odd", ["v 2", "..", ""])
def test_what_is_no_versions_name_and_no_file_is_named(odd: str) -> None:
    assert f"rules {odd!r}: no version's name" in mistake(InputError, "facts", "show", "--device", "x", "--rules", odd)


def test_rules_changed_under_the_same_name_are_found_out(
    uploads: list[Path], home: Path, tmp_path: Path, v2: Path
) -> None:
    run("ingest", *uploads[:2])
    run("facts", "build", "--rules", v2)
    v2.write_text(v2.read_text(encoding="utf-8").replace("halt_s = 35.0", "halt_s = 36.0"), encoding="utf-8")
    other = tmp_path / "v2b.toml"
    other.write_bytes(v2.read_bytes())
    run("ingest", *uploads[2:])
    stored = home / "facts" / "v2" / "facts.parquet"
    before = stored.read_bytes()
    for command in ("update", "build"):
        assert "give it another version" in mistake(ConflictError, "facts", command, "--rules", other)
    assert stored.read_bytes() == before


@pytest.mark.parametrize("version", ["..", ".", ".v2", "a/b", "", "v 2"])
def test_a_version_that_is_no_plain_name_is_refused(v2: Path, version: str) -> None:
    v2.write_text(v2.read_text(encoding="utf-8").replace('version = "v2"', f'version = "{version}"'), encoding="utf-8")
    assert "version: " in mistake(SettingError, "facts", "build", "--rules", v2)


@pytest.mark.parametrize("option", ["--since=9999-12-31T23:59:59-14:00", "--since=0001-01-01T00:00+14:00"])
def test_a_moment_that_its_offset_carries_out_of_the_calendar_is_named(option: str) -> None:
    assert option.removeprefix("--since=") in mistake(InputError, "facts", "replay", "--device", "x", option)
    shown = option.replace("--since", "--as-of")
    assert "--as-of" in mistake(InputError, "facts", "show", "--device", "x", shown)


@pytest.mark.parametrize("command", [["build"], ["diff", "--rules", "v1", "v1"]])
def test_a_device_column_of_bytes_is_named(tmp_path: Path, command: list[str]) -> None:
    moments = pa.array([1767600000, 1767600001], pa.timestamp("s", tz="UTC"))
    table = {"device_id": [b"\xff\xfe", b"ok"], "event_time": moments, "lat": [52.5, 52.5], "lon": [13.4, 13.4]}
    pq.write_table(pa.table(table), tmp_path / "bytes.parquet")
    out = ["--out", tmp_path / "facts.parquet"] if command == ["build"] else []
    said = mistake(InputError, "facts", *command, tmp_path / "bytes.parquet", *out)
    assert "bytes.parquet: column 'device_id' is" in said


def test_show_of_a_file_that_holds_no_facts_names_what_is_missing_or_wrong(tmp_path: Path) -> None:
    file = tmp_path / "other.parquet"
    pq.write_table(pa.table({"device_id": ["x"]}), file)
    assert "no column 'fact_id'" in mistake(InputError, "facts", "show", "--device", "x", "--facts", file)
    pq.write_table(pa.table({"device_id": [[1]]}), file)
    assert "column 'device_id' is list" in mistake(InputError, "facts", "show", "--device", "x", "--facts", file)


@pytest.mark.parametrize("wrong", ["settle_s = 1e300", "settle_s = inf", "settle_m = inf"])
def test_a_rule_no_machine_can_count_is_named(tmp_path: Path, wrong: str) -> None:
    name = wrong.split(" ")[0]
    text = (PACKAGED / "v1.toml").read_text(encoding="utf-8")
    right = next(line for line in text.splitlines() if line.startswith(f"{name} "))
    (tmp_path / "odd.toml").write_text(text.replace(right, wrong), encoding="utf-8")
    assert f"leg.{name}" in mistake(SettingError, "facts", "diff", "--rules", "v1", tmp_path / "odd.toml")
