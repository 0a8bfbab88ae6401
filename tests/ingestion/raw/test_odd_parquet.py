"""Parquet of any shape is read, or refused in one line, by ``parked ingest`` and ``parked facts build FILE`` alike."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.facts.build import read_facts_file
from ingestion.facts.canonical import canonicalise
from ingestion.facts.files import build_file
from ingestion.facts.rules import load_rules
from ingestion.features.revisions import InFile
from parked.errors import InputError
from parked.opsdb.labels import check_labels
from parked.schemas import FACTS, LABELS, TIME
from tests.ingestion.raw.conftest import Home

AT = pa.array([datetime(2024, 4, 25, 8, tzinfo=UTC)] * 2, TIME)
FIXES = {"device_id": pa.array(["a", "b"]), "event_time": AT, "lat": pa.array([50.0] * 2), "lon": pa.array([8.0] * 2)}
MOTION = {"device_id": pa.array(["a", "b"]), "event_time": AT, "activity": pa.array(["still", "on_foot"])}
READ = ("device_id", "event_time", "lat", "lon", "accuracy_m", "speed_mps", "received_at")


def save(path: Path, names: list[str], columns: list[Any]) -> Path:
    pq.write_table(pa.Table.from_arrays(columns, names=names), path)
    return path


def accepted(home: Home, path: Path) -> int:
    (file,) = home.ingest(path).files
    assert file.counts.read == file.counts.accepted + file.counts.duplicates + file.counts.quarantined == 2
    return file.counts.accepted


@pytest.mark.parametrize("name", ["received_at", "accuracy_m", "speed_mps", "platform", "mock", "as_if_live"])
@pytest.mark.parametrize("encoded", [False, True])
def test_a_column_without_a_type_is_one_without_values(tmp_path: Path, home: Home, name: str, encoded: bool) -> None:
    nothing: Any = pa.nulls(2)
    if encoded:
        nothing = pa.DictionaryArray.from_arrays(pa.array([None, None], pa.int32()), nothing.slice(2))
    path = save(tmp_path / "a.parquet", [*FIXES, name], [*FIXES.values(), nothing])
    assert accepted(home, path) == 2
    assert build_file(path, None, tmp_path / "facts.parquet", load_rules()).refused == {}


def test_motion_without_a_type_of_receipt_or_confidence_is_read(tmp_path: Path, home: Home) -> None:
    names = [*MOTION, "received_at", "confidence", "platform"]
    assert accepted(home, save(tmp_path / "a.parquet", names, [*MOTION.values(), *[pa.nulls(2)] * 3])) == 2


def test_dictionaries_of_times_and_numbers_are_read(tmp_path: Path, home: Home) -> None:
    columns = [column.dictionary_encode() for column in FIXES.values()]
    assert accepted(home, save(tmp_path / "a.parquet", list(FIXES), columns)) == 2


@pytest.mark.parametrize("name", READ)
def test_two_columns_of_one_name_are_refused(tmp_path: Path, home: Home, name: str) -> None:
    columns = dict.fromkeys(READ, pa.nulls(2, pa.float64())) | FIXES | {"received_at": AT}
    path = save(tmp_path / "a.parquet", [*columns, name], [*columns.values(), columns[name]])
    before = home.state()
    with pytest.raises(InputError, match=f"two columns are called '{name}'; rename or drop one"):
        home.ingest(path)
    assert home.state() == before
    with pytest.raises(InputError, match=f"two columns are called '{name}'; rename or drop one"):
        build_file(path, None, tmp_path / "facts.parquet", load_rules())


def test_a_name_that_nobody_reads_may_come_twice(tmp_path: Path, home: Home) -> None:
    path = save(tmp_path / "a.parquet", [*FIXES, "note", "note"], [*FIXES.values(), AT, AT])
    assert accepted(home, path) == 2
    build_file(path, None, tmp_path / "facts.parquet", load_rules())


@pytest.mark.parametrize("marks", [pa.array(["yes", "no"]), pa.array([1, 0]), AT])
def test_marks_that_are_no_truth_values_are_refused(marks: pa.Array) -> None:
    table = pa.table(FIXES | {"as_if_live": marks})
    with pytest.raises(InputError, match=r"fixes: column 'as_if_live' is .*, not bool"):
        canonicalise(table)


def test_facts_and_labels_with_a_doubled_column_are_refused(tmp_path: Path) -> None:
    facts = FACTS.empty_table()
    path = save(tmp_path / "facts.parquet", [*FACTS.names, "kind"], [*facts.columns, facts["kind"]])
    for read in (lambda file: read_facts_file(file, []), InFile):
        with pytest.raises(InputError, match=r"facts\.parquet: .*kind"):
            read(path)
    labels = LABELS.empty_table()
    doubled = pa.Table.from_arrays([*labels.columns, labels["at"]], names=[*LABELS.names, "at"])
    with pytest.raises(InputError, match="labels: two columns are called 'at'"):
        check_labels(doubled)
