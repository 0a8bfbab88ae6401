"""Our own columns, CSV and Parquet: the same rows read the same from both; wrong files are refused by name."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.readers.columns import CsvReader
from ingestion.readers.csvfile import text_batches
from ingestion.readers.parquetfile import ParquetReader
from parked.errors import InputError
from parked.schemas import TIME
from tests.ingestion.readers.helpers import read_all

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
HEADER = "device_id,event_time,lat,lon,accuracy_m,speed_mps,received_at,platform\n"
GOOD = "a,2024-05-01T12:00:00Z,52.5,13.4,5,1.5,2024-05-01T12:00:02Z,iOS\n"


def csv_file(folder: Path, text: str) -> Path:
    path = folder / "fixes.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_row_becomes_a_fix(tmp_path: Path):
    (fix,) = read_all(CsvReader(), csv_file(tmp_path, HEADER + GOOD)).fixes
    assert fix == {
        "device_id": "a",
        "event_time": NOON,
        "lat": 52.5,
        "lon": 13.4,
        "accuracy_m": 5.0,
        "speed_mps": 1.5,
        "received_at": NOON.replace(second=2),
        "platform": "ios",
        "source_offset": 0,
        "mock": None,
    }


def test_columns_may_be_missing_reordered_or_unknown(tmp_path: Path):
    text = "battery,lon,lat,event_time,device_id\n80,13.4,52.5,2024-05-01T12:00:00Z,a\n"
    (fix,) = read_all(CsvReader(), csv_file(tmp_path, text)).fixes
    assert (fix["lat"], fix["lon"], fix["accuracy_m"], fix["platform"]) == (52.5, 13.4, None, None)


def test_motion_is_known_by_its_columns(tmp_path: Path):
    text = "device_id,event_time,activity,confidence\na,2024-05-01T12:00:00Z,still,0.8\n"
    (motion,) = read_all(CsvReader(), csv_file(tmp_path, text)).motion
    assert (motion["activity"], motion["confidence"]) == ("still", 0.8)


def test_bad_rows_are_set_aside_with_their_row_number_and_their_neighbours_read(tmp_path: Path):
    rows = [
        GOOD,
        "a,2024-05-01T12:00:01Z,north,13.4,,,,\n",
        "\n",
        "too,few\n",
        "a,yesterday,52.5,13.4,,,,\n",
        GOOD.replace("12:00:00Z", "12:00:03Z"),
        "a,2024-05-01T12:00:04,52.5,13.4,,,,\n",
    ]
    found = read_all(CsvReader(), csv_file(tmp_path, HEADER + "".join(rows)))
    assert [fix["source_offset"] for fix in found.fixes] == [0, 4]
    refused = {entry.source_offset: (str(entry.reason), entry.payload) for entry in found.malformed}
    assert {offset: reason for offset, (reason, _) in refused.items()} == {
        1: "bad_number",
        2: "not_a_record",
        3: "bad_time",
        5: "time_without_zone",
    }
    assert json.loads(refused[1][1])["lat"] == "north"
    assert refused[2][1] == "too,few"


def test_row_numbers_hold_across_blocks(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("ingestion.readers.csvfile._BLOCK_BYTES", 1024)
    rows = ["short\n" if number % 7 == 3 else f"d{number},2024-05-01T12:00:00Z,1,2\n" for number in range(500)]
    path = csv_file(tmp_path, "device_id,event_time,lat,lon\n" + "".join(rows))
    assert sum(1 for _ in text_batches(path, check_header=lambda _: None)) > 3
    found = read_all(CsvReader(), path)
    assert all(fix["device_id"] == f"d{fix['source_offset']}" for fix in found.fixes)
    assert [entry.source_offset for entry in found.malformed] == [n for n in range(500) if n % 7 == 3]
    assert len(found.fixes) + len(found.malformed) == 500


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_lines_may_end_in_any_way_from_the_header_on(tmp_path: Path, end: str):
    path = tmp_path / "own.csv"
    path.write_bytes((end + HEADER + GOOD + "\n" + GOOD).replace("\n", end).encode())
    assert len(read_all(CsvReader(), path).fixes) == 2


def test_a_device_given_for_the_file_wins(tmp_path: Path):
    path = csv_file(tmp_path, HEADER + GOOD)
    assert read_all(CsvReader(), path, device="mine").fixes[0]["device_id"] == "mine"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no CSV header"),
        (HEADER.encode(), "a header but no rows"),
        (b"device_id,event_time,lat\na,b,c\n", "no column lon"),
        (b"lat,lat,lon,device_id,event_time\n1,2,3,4,5\n", "two columns are called 'lat'"),
        (gzip.compress(HEADER.encode() + GOOD.encode() * 9999)[:200], "damaged gzip"),
    ],
)
def test_a_file_that_is_no_csv_of_ours_is_refused_by_name(tmp_path: Path, content, says):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        read_all(CsvReader(), path)
    assert "a.csv" in str(caught.value)
    assert caught.value.mend


def parquet(folder: Path, **changes: pa.Array) -> Path:
    columns = {
        "device_id": pa.array(["a"]),
        "event_time": pa.array([NOON], TIME),
        "lat": pa.array([52.5]),
        "lon": pa.array([13.4]),
    }
    path = folder / "fixes.parquet"
    pq.write_table(pa.table({k: v for k, v in (columns | changes).items() if v is not None}), path)
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"event_time": pa.array([NOON], pa.timestamp("ns", tz="America/Los_Angeles"))},
        {"event_time": pa.array([NOON], pa.timestamp("s", tz="UTC"))},
        {"device_id": pa.array(["a"]).dictionary_encode()},
        {"device_id": pa.array(["a"], pa.large_string())},
        {"lat": pa.array([52.5], pa.float32())},
        {"accuracy_m": pa.nulls(1)},
    ],
    ids=lambda changes: " ".join(f"{k}:{v.type}" for k, v in changes.items()),
)
def test_kindred_types_are_read_as_ours(tmp_path: Path, changes):
    (fix,) = read_all(ParquetReader(), parquet(tmp_path, **changes)).fixes
    assert (fix["device_id"], fix["event_time"], fix["lat"], fix["accuracy_m"]) == ("a", NOON, 52.5, None)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lat": None}, "no column lat"),
        ({"lat": pa.array(["52.5"])}, "column lat is string; store it as double"),
        ({"event_time": pa.array([NOON.replace(tzinfo=None)])}, r"column event_time is timestamp\[us\]"),
        ({"event_time": pa.array(["2024"])}, "column event_time is string"),
        ({"speed_mps": pa.array([True])}, "column speed_mps is bool"),
        ({"device_id": pa.array([1.5])}, "column device_id is double"),
    ],
)
def test_wrong_columns_are_refused_by_name(tmp_path: Path, changes, says):
    with pytest.raises(InputError, match=says):
        read_all(ParquetReader(), parquet(tmp_path, **changes))


def test_empty_and_damaged_parquet_say_so(tmp_path: Path):
    path = parquet(tmp_path)
    pq.write_table(pq.read_table(path).slice(0, 0), tmp_path / "empty.parquet")
    with pytest.raises(InputError, match="no rows"):
        read_all(ParquetReader(), tmp_path / "empty.parquet")
    data = path.read_bytes()
    for name, cut in (
        ("cut", data[: len(data) // 2]),
        ("words", b"words"),
        ("holed", data[:4] + b"?" * 60 + data[64:]),
    ):
        (tmp_path / name).write_bytes(cut)
        with pytest.raises(InputError, match="not readable as Parquet"):
            read_all(ParquetReader(), tmp_path / name)


numbers = st.one_of(st.none(), st.floats(allow_nan=False))
rows = st.fixed_dictionaries(
    {
        "device_id": st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=6),
        "event_time": st.integers(-(10**15), 4 * 10**15),
        "lat": numbers,
        "lon": numbers,
        "accuracy_m": numbers,
        "speed_mps": numbers,
        "received_at": st.none() | st.integers(0, 4 * 10**15),
    }
)


@settings(max_examples=40, deadline=None)
@given(data=st.lists(rows, min_size=1, max_size=6))
def test_csv_and_parquet_of_the_same_table_read_the_same(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("same")
    types = {"device_id": pa.string(), "event_time": TIME, "received_at": TIME}
    table = pa.table({k: pa.array([row[k] for row in data], types.get(k, pa.float64())) for k in data[0]})
    pq.write_table(table, folder / "a.parquet")
    arrow_csv.write_csv(table, folder / "a.csv")
    from_csv, from_parquet = read_all(CsvReader(), folder / "a.csv"), read_all(ParquetReader(), folder / "a.parquet")
    assert not from_csv.malformed
    assert len(from_csv.fixes) == len(data)
    for one, other in zip(from_csv.fixes, from_parquet.fixes, strict=True):
        np.testing.assert_equal(one, other)
