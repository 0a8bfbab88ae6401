"""Whatever a file holds: it is refused in one line with nothing changed, or every record of it is accounted for."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.facts.files import build_file
from ingestion.facts.rules import load_rules
from parked.errors import InputError
from tests.ingestion.raw.conftest import Home, save, some_fixes


def csv(path: Path) -> Path:
    pacsv.write_csv(some_fixes(40, received_us=1_714_000_100_000_000), path)
    return path


def parquet(path: Path) -> Path:
    return save(some_fixes(40, received_us=1_714_000_100_000_000), path)


def owntracks(path: Path) -> Path:
    lines = [
        json.dumps({"_type": "location", "tst": 1_714_000_000 + n, "lat": 50.0, "lon": 8.0, "acc": 5, "topic": "o/u/d"})
        for n in range(40)
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def gpx(path: Path) -> Path:
    points = "".join(
        f'<trkpt lat="50.{n:03d}" lon="8.0"><time>2024-04-24T23:{n:02d}:00Z</time></trkpt>' for n in range(40)
    )
    head = '<?xml version="1.0"?><gpx version="1.1" creator="x" xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>'
    path.write_text(f"{head}{points}</trkseg></trk></gpx>", encoding="utf-8")
    return path


MAKERS: dict[str, Callable[[Path], Path]] = {
    "a.csv": csv, "a.parquet": parquet, "a.jsonl": owntracks, "a.gpx": gpx
}  # fmt: skip


def refused(said: str, unchanged: bool) -> bool:
    """False; holds that a refusal is one line that changed nothing."""
    assert "\n" not in said
    assert unchanged
    return False


def ingest(home: Home, path: Path) -> bool:
    """Whether the file was taken; then read = accepted + duplicates + quarantined, and every kept record is there."""
    before = home.state()
    try:
        report = home.ingest(path, device="d")
    except InputError as error:
        return refused(str(error), home.state() == before)
    for file in report.files:
        counts = file.counts
        assert counts.read == counts.accepted + counts.duplicates + counts.quarantined
    files, (runs, segments, quarantine) = home.state()
    assert sum(0 if file.already else file.counts.quarantined for file in report.files) == len(quarantine) - len(
        before[1][2]
    )
    assert len(files) >= len(before[0])
    assert len(runs) >= len(before[1][0])
    assert len(segments) >= len(before[1][1])
    return True


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_bytes_changed_cut_out_or_put_in_anywhere_lose_nothing_silently(
    tmp_path: Path, home: Home, name: str, data: st.DataObject
) -> None:
    folder = tmp_path
    whole = bytearray(MAKERS[name](folder / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole)))
        cut = data.draw(st.integers(0, 60))
        whole[at : at + cut] = data.draw(st.binary(max_size=60))
    (folder / name).write_bytes(whole)
    ingest(home, folder / name)
    # The next, whole file is taken whatever the one before it was.
    assert ingest(home, MAKERS[name](folder / f"whole-{name}"))


@pytest.mark.parametrize("name", MAKERS)
def test_a_file_cut_off_anywhere_is_refused_or_accounted_for(tmp_path: Path, home: Home, name: str) -> None:
    whole = MAKERS[name](tmp_path / name).read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 12)):
        (tmp_path / name).write_bytes(whole[:size])
        ingest(home, tmp_path / name)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_damaged_parquet_file_of_fixes_gives_facts_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("facts")
    whole = bytearray(parquet(folder / "a.parquet").read_bytes())
    at = data.draw(st.integers(4, len(whole) - 1))
    whole[at : at + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=20))
    (folder / "a.parquet").write_bytes(whole)
    try:
        build_file(folder / "a.parquet", None, folder / "facts.parquet", load_rules())
    except InputError as error:
        refused(str(error), not (folder / "facts.parquet").exists())


def claiming(path: Path, rows: int) -> Path:
    """A Parquet file whose footer says it holds ``rows`` rows (as many bytes in the footer as before)."""
    table = some_fixes(2**14 - 1, received_us=1_714_000_100_000_000)
    whole = bytearray(save(table, path).read_bytes())
    size = int.from_bytes(whole[-8:-4], "little")
    footer = whole[-8 - size : -8]

    def varint(value: int) -> bytes:
        value *= 2  # thrift's zigzag
        out = bytearray()
        while value > 127:
            out.append(value & 127 | 128)
            value >>= 7
        return bytes([*out, value])

    old, new = varint(table.num_rows), varint(rows)
    footer = footer.replace(old, new)
    path.write_bytes(bytes(whole[: -8 - size]) + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    return path


@pytest.mark.parametrize("command", [["ingest"], ["facts", "build"]])
def test_a_header_that_claims_ten_gigabytes_costs_neither_memory_nor_what_is_there(
    tmp_path: Path, command: list[str]
) -> None:
    path = claiming(tmp_path / "a.parquet", 400_000_000)
    out = ["--out", str(tmp_path / "facts.parquet")] if command[0] == "facts" else []

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))

    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *command, str(path), *out],
        env={"PATH": "/usr/bin:/bin", "PARKED_HOME": str(tmp_path / "home"), "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=bounded,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    # What is there is read, whatever the header says.
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    held = "16383 accepted" in done.stdout if command[0] == "ingest" else "revisions" in done.stdout
    assert held, done.stdout


def test_one_bad_device_stops_no_other(home: Home, tmp_path: Path) -> None:
    bad = some_fixes(5, device="bad").set_column(2, "lat", pa.array([float("nan"), float("inf"), 1e300, -91.0, 91.0]))
    table = pa.concat_tables([some_fixes(5, device="good"), bad.cast(some_fixes().schema)])
    (file,) = home.ingest(save(table, tmp_path / "a.parquet")).files
    assert (file.counts.read, file.counts.accepted, file.counts.quarantined) == (10, 5, 5)
    assert set(home.log.scan_fixes()["device_id"].to_pylist()) == {"good"}
