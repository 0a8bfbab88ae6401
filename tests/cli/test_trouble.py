"""What the machine does to a command (a full disk, a damaged database, Ctrl-C) is one line, and never a traceback."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import ProgrammingError

from cli import main as entry
from cli.main import main
from parked import files
from parked.opsdb import engine
from tests.ingestion.raw.conftest import save, some_fixes


@pytest.fixture
def parked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    monkeypatch.setenv("PARKED_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PARKED_DATABASE_URL", raising=False)

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["parked", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(str(ended.value.code)), capfd.readouterr().err

    return run


def test_a_database_that_is_full_in_the_middle_of_a_command_says_so_in_one_line(
    parked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(some_fixes(3), tmp_path / "good.parquet")
    assert parked("ingest", tmp_path / "good.parquet")[0] == 0
    bad = tmp_path / "bad.csv"
    bad.write_text("device_id,event_time,lat,lon\n" + "a,2024-04-01T00:00:00Z,113,8\n" * 9_000, encoding="utf-8")
    tune = engine._tune_sqlite

    def tuned(connection: Any, record: Any) -> None:
        tune(connection, record)
        connection.execute("PRAGMA max_page_count=60").close()

    with monkeypatch.context() as patch:
        patch.setattr(engine, "_tune_sqlite", tuned)
        code, said = parked("ingest", bad)
    assert (code, said.count("\n")) == (2, 1)
    assert said.startswith("parked: PARKED_DATABASE_URL: cannot use sqlite:///")
    assert "ops.db: database or disk is full; " in said
    assert parked("ingest", bad)[0] == 0  # nothing of the first was left


def test_a_statement_of_ours_that_is_wrong_is_no_mistake_of_a_person() -> None:
    assert engine.trouble(ProgrammingError("select", None, ValueError("x")), "sqlite://") is None
    assert engine.trouble(ValueError("x"), "sqlite://") is None


def test_a_full_disk_names_what_could_not_be_written(parked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: Any, **_options: Any) -> None:
        raise OSError(
            errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left on device"
        )  # Arrow's

    monkeypatch.setattr(files.pq, "write_table", full)
    save_to = tmp_path / "good.csv"
    save_to.write_text("device_id,event_time,lat,lon\na,2024-04-01T00:00:00Z,50,8\n", encoding="utf-8")
    code, said = parked("ingest", save_to)
    assert code == 2
    assert said.startswith(f"parked: {tmp_path / 'home' / 'raw' / 'fixes'}/")
    assert said.endswith(f".parquet: {os.strerror(errno.ENOSPC)}; make room there\n")


@pytest.mark.parametrize("in_compiled_code", [False, True])
def test_ctrl_c_outside_what_typer_hears_is_no_traceback(
    parked, monkeypatch: pytest.MonkeyPatch, in_compiled_code: bool
) -> None:
    def interrupted(**_options: Any) -> None:
        if in_compiled_code:  # as CPython says it of numba's
            raise SystemError("returned a result with an exception set") from KeyboardInterrupt()
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "app", interrupted)
    assert parked("ingest", "x") == (130, "parked: stopped\n")


@pytest.mark.parametrize("device", [[], ["--device", "nobody"]])
def test_a_diff_of_nothing_is_one_line(parked, tmp_path: Path, device: list[str]) -> None:
    nothing = some_fixes(2).slice(0, 0)
    save(nothing, tmp_path / "empty.parquet")
    code, said = parked("facts", "diff", tmp_path / "empty.parquet", "--rules", "v1", "v1", *device)
    assert (code, said.count("\n")) == (2, 1), said
