"""A long word costs its own size, however many rows of a file mean it, and of records with one a few are held."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.raw.quarantine import find
from tests.ingestion.raw.conftest import START_US, Home, save, some_fixes

LONG = 4_000_000
FEW, MANY = 16, 64
ROOM_MB = 60
"""What MANY rows may take beyond what FEW do; a copy of the word in each would be 192 MB, and there were several."""

# Peak resident memory of a process, told when the command ends; what its parent held when it forked does not count.
PEAK = """
import atexit, pathlib, runpy, sys
def peak():
    status = pathlib.Path("/proc/self/status").read_text()
    print("peak", status.partition("VmHWM:")[2].split()[0], file=sys.stderr)
atexit.register(peak)
sys.argv = ["parked", *sys.argv[1:]]
runpy.run_module("cli.main", run_name="__main__")
"""


def table(devices: list[str], **others: pa.Array) -> pa.Table:
    fixes = some_fixes(len(devices)).set_column(0, "device_id", pa.array(devices).dictionary_encode())
    for name, column in others.items():
        fixes = fixes.append_column(name, column)
    return fixes


def as_dictionary(path: Path, count: int) -> Path:
    return save(table(["a" * LONG] * count), path)


def as_a_dictionary_in_each_row_group(path: Path, count: int) -> Path:
    pq.write_table(table(["a" * LONG] * count), path, row_group_size=1)
    return path


def as_platform(path: Path, count: int) -> Path:
    words = pa.array(["a" * LONG] * count).dictionary_encode()
    return save(table(["a" * 200] * count, platform=words), path)


def as_json(path: Path, count: int) -> Path:
    with path.open("w", encoding="ascii") as file:
        for n in range(count):
            record = {"_type": "location", "tst": START_US // 1_000_000 + n, "lat": 50, "lon": 8}
            file.write(json.dumps(record | {"topic": f"owntracks/u/{'a' * LONG}"}) + "\n")
    return path


def as_gpx(path: Path, count: int) -> Path:
    with path.open("w", encoding="ascii") as file:
        file.write('<gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>')
        file.writelines(f'<trkpt lat="x" lon="8"><name>{"a" * LONG}</name></trkpt>' for _ in range(count))
        file.write("</trkseg></trk></gpx>")
    return path


def peak_mb(home: Path, file: Path, rows: int) -> float:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, "ingest", str(file), "--json"],
        env={"PATH": "/usr/bin:/bin", "PARKED_HOME": str(home), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    said = json.loads(done.stdout)
    assert (said["read"], said["quarantined"]) == (rows, rows), said
    return int(done.stderr.split()[-1]) / 1024


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (as_dictionary, "a.parquet"),
        (as_a_dictionary_in_each_row_group, "a.parquet"),
        (as_platform, "a.parquet"),
        (as_json, "a.jsonl"),
        (as_gpx, "a.gpx"),
    ],
)
def test_memory_does_not_grow_by_the_rows_that_mean_a_long_word(tmp_path: Path, make, name: str) -> None:
    few, many = (
        peak_mb(tmp_path / str(count), make(tmp_path / f"{count}-{name}", count), count) for count in (FEW, MANY)
    )
    assert many - few < ROOM_MB


def test_what_is_kept_of_a_long_word_is_its_beginning_and_its_length(tmp_path: Path, home: Home) -> None:
    (file,) = home.ingest(save(table(["good", "é" * 1_000, "good"]), tmp_path / "a.parquet")).files
    assert (file.counts.accepted, file.counts.quarantined) == (2, 1)
    (kept,) = find(home.engine)
    assert (kept.reason, kept.source_offset, kept.whole) == ("bad_device", 1, True)
    assert json.loads(kept.payload)["device_id"] == "é" * 256 + "… (1,000 characters)"


def test_a_long_word_that_is_not_utf8_costs_its_rows(tmp_path: Path, home: Home) -> None:
    bad = b"a" * 1_000 + b"\xff"
    words = pa.array([b"good", bad, None, bad], pa.binary()).dictionary_encode()
    broken = pa.DictionaryArray.from_arrays(words.indices, words.dictionary.cast(pa.string(), safe=False))
    fixes = some_fixes(4).set_column(0, "device_id", broken)
    (file,) = home.ingest(save(fixes, tmp_path / "a.parquet")).files
    assert (file.counts.accepted, file.counts.quarantined) == (1, 3)
    assert sorted((kept.source_offset, kept.reason) for kept in find(home.engine)) == [
        (1, "not_a_record"),
        (2, "missing_device"),
        (3, "not_a_record"),
    ]


def test_small_row_groups_become_one_segment(tmp_path: Path, home: Home) -> None:
    pq.write_table(some_fixes(100), tmp_path / "a.parquet", row_group_size=7)
    home.ingest(tmp_path / "a.parquet")
    assert [segment.rows for segment in home.log.segments("fixes")] == [100]
