"""``parked serve``, ``package`` and ``score`` as typed on a command line."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from parked.schemas import SCORES
from tests.bentos.fakes import publish, settings_in, write_model
from tests.bentos.world import drives, train_real


def parked(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        env=os.environ | {"PARKED_HOME": str(home)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a user's mistake."""
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("parked:")]
    assert "Traceback" not in done.stderr
    return line


def test_nothing_published_is_one_line_and_changes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "no model is published" in refusal(parked(home, "serve", "--port", "0"))
    assert "no model is published" in refusal(parked(home, "package"))
    assert not home.exists()


def test_a_published_model_that_is_gone_is_named(tmp_path: Path) -> None:
    publish(settings_in(tmp_path), "parking:gone", 1)
    assert "parking:gone" in refusal(parked(tmp_path, "serve", "--port", "0"))


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        said = refusal(parked(tmp_path, "serve", "--wait", "--port", port))
    assert port in said
    assert "--port" in said


def test_score_writes_the_contract(tmp_path: Path) -> None:
    settings, fixes = settings_in(tmp_path / "home"), drives(devices=1, days=1)
    publish(settings, train_real(settings, fixes), 1)
    pq.write_table(fixes, tmp_path / "fixes.parquet")
    out = tmp_path / "scores.parquet"
    done = parked(settings.home, "score", str(tmp_path / "fixes.parquet"), "--out", str(out), "--json")
    assert done.returncode == 0, done.stderr
    table = pq.ParquetFile(out).read()
    assert table.schema.equals(SCORES)
    told = json.loads(done.stdout)
    assert (told["rows"], told["model"]) == (table.num_rows, "parking:v1")
    assert told["candidates"] == 2


def test_score_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    home = settings_in(tmp_path / "home")
    fixes = drives(devices=1, days=1)
    pq.write_table(fixes.drop_columns(["lat"]), tmp_path / "no-lat.parquet")
    pq.write_table(fixes.slice(0, 0), tmp_path / "empty.parquet")
    (tmp_path / "text.parquet").write_text("device_id,lat\n")
    out = tmp_path / "scores.parquet"
    assert "no model is published" in refusal(parked(home.home, "score", "x.parquet", "--out", str(out)))
    publish(home, write_model(home, "v1"), 1)
    for name, said in {
        "missing.parquet": "no such file",
        "text.parquet": "not a Parquet file",
        "no-lat.parquet": "'lat'",
        "empty.parquet": "no rows",
    }.items():
        line = refusal(parked(home.home, "score", str(tmp_path / name), "--out", str(out)))
        assert name in line
        assert said in line
    assert not out.exists()
