"""A file is known by its first bytes, not by its name; what nobody knows is refused with a mend."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.readers import READERS, by_name, choose, unknown_format
from parked.errors import InputError, NotFoundError

SAMPLES = {
    "csv": b"device_id,event_time,lat,lon\na,2024-01-01T00:00:00Z,1,2\n",
    "start2park": b"TripID,lon,lat,time,speed_kmh,label\n1,8,50,2021-02-22 20:11:11,0,driving\n",
    "emission": json.dumps([{"metadata": {"key": "background/location"}, "data": {}}]).encode(),
    "owntracks": json.dumps({"_type": "location", "tst": 1}).encode(),
    "gpx": b'<?xml version="1.0"?>\n<gpx version="1.1"><trk/></gpx>',
}


@pytest.mark.parametrize(("name", "content"), SAMPLES.items())
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_each_format_is_known_by_its_content_alone(tmp_path: Path, name, content, packed):
    path = tmp_path / "no-suffix"
    path.write_bytes(gzip.compress(content) if packed else content)
    assert [reader.name for reader in READERS.values() if reader.sniff(path, content)] == [name]
    chosen = choose(path)
    assert chosen is not None
    assert chosen.name == name


def test_parquet_of_our_columns_is_known_and_other_parquet_is_not(tmp_path: Path):
    ours, other = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pq.write_table(pa.table({name: ["x"] for name in ("device_id", "event_time", "activity")}), ours)
    pq.write_table(pa.table({"x": [1]}), other)
    assert choose(ours) is READERS["parquet"]
    assert choose(other) is None


def test_parquet_without_a_needed_column_is_told_which(tmp_path: Path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({name: ["x"] for name in ("device_id", "event_time", "lon")}), path)
    with pytest.raises(InputError, match=r"no column lat \(found: device_id, event_time, lon\)"):
        raise unknown_format(path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"device_id,lat\n", "no column event_time, lon .found: device_id, lat."),
        ("a.csv", b"device_id,activity\n", "no column event_time .found"),
        ("a.csv", b"", "empty"),
        ("a.json", b" \n ", "empty"),
        ("a.parquet", b"PAR0....", "not Parquet"),
        ("a.txt", b"hello", "no reader knows this format"),
        ("a.json", b"\xff\xfe\x00garbage", "no reader knows this format"),
    ],
)
def test_what_no_reader_knows_is_named_with_the_mend(tmp_path: Path, name, content, says):
    path = tmp_path / name
    path.write_bytes(content)
    assert choose(path) is None
    error = unknown_format(path)
    assert str(path) in error.what
    assert error.mend
    with pytest.raises(InputError, match=says):
        raise error


def test_a_missing_file_and_a_damaged_gzip_say_so(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        choose(tmp_path / "gone.csv")
    damaged = tmp_path / "a.json.gz"
    damaged.write_bytes(gzip.compress(SAMPLES["emission"])[:20])
    with pytest.raises(InputError, match="damaged gzip"):
        choose(damaged)


def test_an_unknown_reader_name_lists_the_known_ones():
    with pytest.raises(NotFoundError, match="auto, parquet, csv"):
        by_name("zip")
