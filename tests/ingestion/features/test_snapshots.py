from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from feature_repo.declare import VIEWS, declared
from feature_repo.objects import snapshot_file
from ingestion.features.fold import fold_facts
from ingestion.features.snapshots import read_snapshots, write_missing, write_snapshots
from parked.errors import InputError
from parked.files import sha256_of
from tests.feature_repo.facts_builder import commuter, table


def test_the_same_facts_give_the_same_bytes(tmp_path):
    hashes = []
    for run in ("one", "two"):
        written = write_snapshots(tmp_path / run, fold_facts(table(commuter(days=2).rows)))
        hashes.append({view: sha256_of(path) for view, path in written.items()})
    assert hashes[0] == hashes[1]


def test_what_was_written_is_read_back(tmp_path):
    tables = fold_facts(table(commuter(days=1).rows))
    write_snapshots(tmp_path, tables)
    assert all(read_snapshots(tmp_path)[view].equals(tables[view]) for view in VIEWS)


def test_a_reader_with_the_file_open_keeps_the_old_snapshots(tmp_path):
    old, new = fold_facts(table(commuter(days=1).rows)), fold_facts(table(commuter(days=2).rows))
    write_snapshots(tmp_path, old)
    with pq.ParquetFile(snapshot_file(tmp_path, "device_state")) as reader:
        write_snapshots(tmp_path, new)
        assert reader.read().equals(old["device_state"])
    assert read_snapshots(tmp_path)["device_state"].equals(new["device_state"])
    assert [path.name for path in (tmp_path / "device_state").iterdir()] == ["snapshots.parquet"]


def test_missing_files_are_made_empty_and_present_ones_left(tmp_path):
    tables = fold_facts(table(commuter(days=1).rows))
    write_snapshots(tmp_path, tables)
    snapshot_file(tmp_path, "place_state").unlink()
    write_missing(tmp_path)
    again = read_snapshots(tmp_path)
    assert again["place_state"].equals(declared().schema("place_state").empty_table())
    assert again["device_state"].equals(tables["device_state"])


def test_no_snapshots_and_damaged_ones_are_named(tmp_path):
    with pytest.raises(InputError, match="no feature snapshots; run `parked features build`"):
        read_snapshots(tmp_path)
    write_missing(tmp_path)
    snapshot_file(tmp_path, "device_state").write_bytes(b"PAR1 not")
    with pytest.raises(InputError, match=r"device_state/snapshots\.parquet: unreadable"):
        read_snapshots(tmp_path)
