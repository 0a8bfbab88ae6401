from __future__ import annotations

import json

import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.features import app
from parked.errors import InputError, NotFoundError, SettingError
from parked.files import write_table
from tests.feature_repo.facts_builder import commuter, table

runner = CliRunner()


def run(*arguments: str) -> str:
    result = runner.invoke(app, list(arguments), catch_exceptions=True)
    if result.exception is not None:
        raise result.exception
    return result.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with one phone's features, built by the command."""
    folder = tmp_path_factory.mktemp("home")
    facts = folder / "elsewhere.parquet"
    write_table(facts, table(commuter("d1", 2).rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARKED_HOME", str(folder))
        report = json.loads(run("build", "--facts", str(facts), "--json"))
    return folder, facts, report


@pytest.fixture
def at_home(home, monkeypatch):
    monkeypatch.setenv("PARKED_HOME", str(home[0]))
    return home


def test_build_reports_what_it_made(at_home):
    folder, facts, report = at_home
    assert report["revisions"] == pq.read_metadata(facts).num_rows
    assert report["online_written"] == {"candidate_state": 3, "place_state": 3, "device_state": 1}
    for view, rows in report["snapshots"].items():
        assert pq.read_metadata(folder / "features" / view / "snapshots.parquet").num_rows == rows > 0


def test_build_takes_the_facts_of_the_rules_in_use(at_home):
    from ingestion.facts.rules import load_rules

    folder, facts, report = at_home
    version = load_rules(None).version
    write_table(folder / "facts" / version / "facts.parquet", pq.ParquetFile(facts).read())
    assert json.loads(run("build", "--json"))["revisions"] == report["revisions"]


def test_build_names_missing_and_wrong_facts_and_changes_nothing(at_home, tmp_path, monkeypatch):
    monkeypatch.setenv("PARKED_HOME", str(tmp_path / "fresh"))
    with pytest.raises(InputError, match="no such file; run `parked facts build`"):
        run("build")
    wrong = tmp_path / "wrong.parquet"
    wrong.write_text("lat,lon")
    with pytest.raises(InputError, match=r"wrong\.parquet: not a Parquet file"):
        run("build", "--facts", str(wrong))
    pd.DataFrame({"lat": [1.0]}).to_parquet(wrong)
    with pytest.raises(InputError, match="facts lack the columns device_id"):
        run("build", "--facts", str(wrong))
    assert not (tmp_path / "fresh").exists()


def test_build_and_apply_with_a_redis_that_is_away_change_nothing(at_home, tmp_path, monkeypatch):
    pytest.importorskip("redis")
    from tests.servers import free_port

    folder, facts, _report = at_home
    before = {file: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
    monkeypatch.setenv("PARKED_ONLINE_STORE", "redis")
    monkeypatch.setenv("PARKED_REDIS_CONNECTION", f"127.0.0.1:{free_port()}")
    for arguments in (("build", "--facts", str(facts)), ("apply",)):
        with pytest.raises(SettingError, match=r"PARKED_REDIS_CONNECTION: 127\.0\.0\.1:\d+ does not serve"):
            run(*arguments)
        assert {file: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()} == before
    monkeypatch.setenv("PARKED_HOME", str(tmp_path / "fresh"))
    with pytest.raises(SettingError):
        run("build", "--facts", str(facts))
    assert not (tmp_path / "fresh").exists()


def test_list_shows_every_feature_with_its_meaning():
    features = {f["feature"]: f for f in json.loads(run("list", "--json"))["features"]}
    assert features["walked_m"] == {
        "view": "candidate_state",
        "feature": "walked_m",
        "dtype": "Float64",
        "since": "1",
        "owner": "parking",
        "services": ["parking_v1"],
        "description": "Farthest seen on foot from the vehicle so far, metres.",
    }
    assert features["candidate_1"]["services"] == ["where_parked_v1"]
    assert "Farthest seen on foot" in run("list")


def test_get_shows_a_phones_state_and_candidates(at_home):
    answer = json.loads(run("get", "--device", "d1", "--json"))
    assert answer["state"]["candidate_1"] == answer["candidates"][0]["candidate_id"]
    assert len(answer["candidates"]) == 3
    assert "candidate_1" in run("get", "--device", "d1")


def test_get_names_a_phone_it_does_not_know(at_home):
    with pytest.raises(NotFoundError, match="'nobody' has no online features"):
        run("get", "--device", "nobody")


def test_get_in_an_empty_home_says_what_to_do_and_makes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PARKED_HOME", str(tmp_path / "fresh"))
    with pytest.raises(NotFoundError, match="no feature registry; run `parked features build`"):
        run("get", "--device", "d1")
    assert not (tmp_path / "fresh").exists()


def test_history_writes_the_features_known_at_each_moment(at_home, tmp_path):
    state = json.loads(run("get", "--device", "d1", "--json"))["state"]
    rows = tmp_path / "moments.csv"
    keys = f"d1,{state['candidate_2']},{state['cell_2']}"
    rows.write_text(
        f"device_id,candidate_id,cell,event_timestamp\n{keys},2030-01-01T00:00:00Z\n{keys},2020-01-01T00:00:00Z\n"
    )
    out = tmp_path / "features.parquet"
    report = json.loads(run("history", "--entities", str(rows), "--out", str(out), "--json"))
    assert (report["rows"], report["rows_with_features"]) == (2, 1)
    answer = pd.read_parquet(out)
    assert answer["followed_by"].tolist() == ["foot", None]
    assert answer["candidates_7d"].iloc[0] == 5  # six legs ended, one was retracted


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("device_id,candidate_id\nd1,a\n", "no column event_timestamp"),
        ("device_id,event_timestamp\nd1,yesterday-ish\n", "write times as 2024-05-01T12:00:00Z"),
        ("device_id,event_timestamp\nd1,2024-05-01T12:00:00Z\n", "lack the columns candidate_id, cell"),
        ("", "unreadable"),
    ],
)
def test_history_refuses_entities_it_cannot_use(at_home, tmp_path, content, complaint):
    rows = tmp_path / "moments.csv"
    rows.write_text(content)
    with pytest.raises(InputError, match=complaint):
        run("history", "--entities", str(rows), "--out", str(tmp_path / "out.parquet"))
    assert not (tmp_path / "out.parquet").exists()


def test_apply_says_what_changed(at_home):
    report = json.loads(run("apply", "--json"))
    assert report["changes"] == ["No changes to registry", "No changes to infrastructure"]


@pytest.mark.parametrize("command", ["build", "apply", "list", "get", "history"])
def test_every_command_has_help_with_an_example(command):
    assert "Example: parked features" in run(command, "--help")


@pytest.mark.parametrize("error", [IndexError("no such page\nof 3"), NotImplementedError("no such page")])
def test_history_says_in_a_line_that_a_file_is_damaged(at_home, tmp_path, monkeypatch, error):
    def damaged(_path):
        raise error

    monkeypatch.setattr(pd, "read_parquet", damaged)
    with pytest.raises(InputError, match=r"moments.parquet: unreadable \(no such page\); give CSV or Parquet"):
        run("history", "--entities", str(tmp_path / "moments.parquet"), "--out", str(tmp_path / "out.parquet"))
