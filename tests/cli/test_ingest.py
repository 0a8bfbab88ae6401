"""The commands of ingestion, labels and quarantine, as a person types them."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.main import app
from parked.errors import InputError, NotFoundError, UserError
from parked.schemas import COVERAGE, LABELS

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARKED_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PARKED_DATABASE_URL", raising=False)
    return tmp_path / "home"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def run_json(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    path = tmp_path / "drive.csv"
    rows = ["a,2024-04-01T00:00:00Z,50,8", "a,2024-04-01T00:00:00Z,50,8", "a,1970-01-01T00:00:00Z,50,8"]
    path.write_text("device_id,event_time,lat,lon\n" + "\n".join(rows) + "\n")
    return path


def test_ingest_says_what_became_of_every_record(drive):
    assert "3 records read = 1 accepted + 1 duplicates + 1 quarantined" in run("ingest", str(drive))
    assert "1 of the files had been read before" in run("ingest", str(drive))


def test_ingest_answers_in_json(drive):
    found = run_json("ingest", str(drive), "--device", "mine", "--as-if-live", "5")
    assert (found["read"], found["accepted"], found["duplicates"], found["quarantined"]) == (3, 1, 1, 1)
    (file,) = found["files"]
    assert (file["source"], file["reader"], file["already"]) == (str(drive), "csv", False)


def test_quarantine_lists_and_shows_what_was_refused_and_why(drive):
    assert "Nothing in quarantine" in run("quarantine", "list")
    run("ingest", str(drive))
    found = run_json("quarantine", "list", "--reason", "clock_before_2005")
    assert found["reasons"] == {"clock_before_2005": 1}
    (record,) = found["records"]
    shown = run_json("quarantine", "show", str(record["id"]))
    assert shown["source_offset"] == 2
    assert "1970-01-01T00:00:00Z" in shown["payload"]
    assert "clock_before_2005" in run("quarantine", "list")
    assert run_json("quarantine", "list", "--run", "99")["records"] == []


def label_files(folder: Path) -> tuple[Path, Path]:
    row = {"device_id": "a", "at": NOON, "lat": 50.0, "lon": 8.0, "verdict": "parked", "source": "truth"}
    pq.write_table(pa.Table.from_pylist([row | {"weight": 1.0, "known_at": NOON}], schema=LABELS), folder / "l.parquet")
    span = {"device_id": "a", "from": NOON, "to": NOON, "source": "truth"}
    pq.write_table(pa.Table.from_pylist([span], schema=COVERAGE), folder / "c.parquet")
    return folder / "l.parquet", folder / "c.parquet"


def test_labels_are_imported_once_listed_and_added(tmp_path):
    labels, coverage = label_files(tmp_path)
    for added in (1, 0):
        found = run_json("labels", "import", str(labels), "--coverage", str(coverage))
        assert (found["added"], found["coverage_added"]) == (added, added)
    where = ("--lat", "50.1", "--lon", "8.1")
    run("labels", "add", "--device", "b", "--at", "2024-05-01T14:00:00+02:00", *where, "--verdict", "parked")
    listed = run_json("labels", "list")
    assert [(row["device_id"], row["source"]) for row in listed["labels"]] == [("a", "truth"), ("b", "person")]
    assert {row["at"] for row in listed["labels"]} == {"2024-05-01 12:00:00+00:00"}
    assert [row["device_id"] for row in run_json("labels", "list", "--device", "b")["labels"]] == ["b"]
    assert "parked" in run("labels", "list")


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (["ingest", "gone.csv"], InputError, "gone.csv: no such file"),
        (["ingest", __file__], InputError, "no reader knows this format"),
        (["ingest", ".", "--reader", "zip"], NotFoundError, "no reader 'zip'"),
        (["labels", "import", "gone.parquet"], InputError, "gone.parquet: no such file"),
        (["labels", "import", __file__], InputError, "not readable as Parquet"),
        (["labels", "add", "--device", "a", "--at", "noon", "--verdict", "parked"], InputError, "'noon' is no moment"),
        (["labels", "add", "--device", "a", "--at", "2024-05-01", "--verdict", "parked"], InputError, "says no zone"),
        (["labels", "add", "--device", "a", "--at", "2024-05-01T00Z", "--verdict", "maybe"], InputError, "a verdict"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(home, arguments, error, says):
    with pytest.raises(UserError, match=says) as caught:
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    assert caught.value.mend
    assert not home.exists()


def test_coverage_that_is_wrong_keeps_its_labels_out(tmp_path, home):
    labels, _ = label_files(tmp_path)
    with pytest.raises(InputError, match="no column from, to"):
        CliRunner().invoke(app, ["labels", "import", str(labels), "--coverage", str(labels)], catch_exceptions=False)
    assert not home.exists()


@pytest.mark.parametrize("options", [["show"], ["retry"], ["list", "--run"], ["list", "--limit"], ["retry", "--run"]])
def test_a_number_no_database_holds_is_a_mistake_of_one_line(options):
    command = [*options, "99999999999999999999"]
    result = CliRunner().invoke(app, ["quarantine", *command], catch_exceptions=False)
    assert result.exit_code == 2
    assert "less than or equal to 9223372036854775807" in " ".join(result.output.split())


@pytest.mark.parametrize(
    "command",
    [
        ["ingest"],
        ["ingest", "--reader", "csv"],
        ["facts", "build", "--out", "x"],
        ["facts", "diff", "--rules", "v1", "v1"],
    ],
)
def test_a_pipe_is_refused_before_it_is_opened(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    keeper = os.open(pipe, os.O_RDWR)  # so that a reader would meet an end, were one to open it
    os.write(keeper, b"x\n")
    try:
        with pytest.raises(InputError, match="no regular file"):
            CliRunner().invoke(app, [*command, str(pipe)], catch_exceptions=False)
        assert os.read(keeper, 10) == b"x\n"
    finally:
        os.close(keeper)


def test_a_label_at_a_moment_out_of_the_calendar_is_named():
    place = ["--lat", "5", "--lon", "5", "--verdict", "parked"]
    with pytest.raises(InputError, match="--at '9999-12-31T23:59:59-14:00' is no moment"):
        CliRunner().invoke(
            app, ["labels", "add", "--device", "j", "--at", "9999-12-31T23:59:59-14:00", *place], catch_exceptions=False
        )
