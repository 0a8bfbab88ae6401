"""File names are bytes, words are text: a name that is not UTF-8 costs nothing, a word that is not is one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cli.main import main
from tests.ingestion.raw.conftest import save, some_fixes
from tests.ingestion.raw.test_hostile_files import csv, gpx, owntracks

ODD = os.fsdecode(b"caf\xe9")


@pytest.fixture
def parked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    monkeypatch.setenv("PARKED_HOME", str(tmp_path / "home"))

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["parked", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return int(str(ended.value.code)), said.out, said.err

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "drives"
    folder.mkdir()
    (folder / "x.txt").write_text("not ours", encoding="utf-8")
    save(some_fixes(7, device="p"), folder / "x.parquet")
    for write, kind in ((csv, "csv"), (gpx, "gpx"), (owntracks, "jsonl")):
        write(folder / f"x.{kind}")
    for file in list(folder.iterdir()):
        try:
            file.rename(folder / f"{ODD}{file.suffix}")
        except OSError:
            pytest.skip("file names here are UTF-8")
    save(some_fixes(5, device="q"), folder / "plain.parquet")
    return folder


def test_files_whose_names_are_not_utf8_are_taken_and_told_of(folder: Path, parked) -> None:
    code, out, _ = parked("ingest", folder, "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["read"], told["accepted"], len(told["files"])) == (132, 132, 5)
    names = {Path(file["source"]).name for file in told["files"]}
    assert names == {r"caf\xe9.csv", r"caf\xe9.gpx", r"caf\xe9.jsonl", r"caf\xe9.parquet", "plain.parquet"}
    assert [Path(name).name for name in told["skipped"]] == [r"caf\xe9.txt"]
    assert parked("ingest", folder)[0] == 0  # said in words, too


@pytest.mark.parametrize(
    "words",
    [
        ("ingest", "{csv}", "--device", ODD),
        ("ingest", "{csv}", f"--device={ODD}"),
        ("quarantine", "list", "--source", ODD),
        ("quarantine", "retry", "--reason", "bad_time", "--device", ODD),
        ("facts", "show", "--device", ODD),
        ("facts", "replay", "--device", ODD),
        ("labels", "list", "--device", ODD),
        ("ingest", f"{ODD}.nowhere"),
        (ODD,),
    ],
)
def test_a_word_that_is_not_utf8_is_one_line(folder: Path, parked, words: tuple[str, ...]) -> None:
    code, out, err = parked(*[str(folder / "plain.parquet") if word == "{csv}" else word for word in words])
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "not UTF-8" in err


def test_a_home_whose_name_is_not_utf8_is_one_line(folder: Path, parked, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PARKED_HOME", str(tmp_path / ODD))
    code, _, err = parked("ingest", folder / "plain.parquet")
    assert code == 2
    assert "not UTF-8" in err
    assert "Traceback" not in err


def test_labels_of_such_a_name_are_one_line(folder: Path, parked) -> None:
    code, _, err = parked("labels", "import", folder / f"{ODD}.parquet")
    assert code == 2
    assert err.count("\n") == 1
