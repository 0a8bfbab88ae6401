"""Some devices of a stored log, without reading the others'."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ingestion.facts import stored
from ingestion.facts.stored import of_devices, opened
from tests.feature_repo.facts_builder import commuter, table


@pytest.fixture(scope="module")
def facts() -> pa.Table:
    made = table([row for i in range(4) for row in commuter(f"d{i}", 3, seed=i).rows])
    return made.sort_by([(name, "ascending") for name in ("device_id", "available_at", "kind", "fact_id")])


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("row_group", [1, 7, 10**6])
@pytest.mark.parametrize("ordered", [True, False])
def test_it_is_what_a_filter_of_everything_gives(
    tmp_path: Path, facts: pa.Table, row_group: int, ordered: bool, statistics: bool
) -> None:
    log = facts.slice(0, 300) if ordered else facts.take(pa.array(range(facts.num_rows - 1, -1, -3)))
    pq.write_table(log, tmp_path / "log", row_group_size=row_group, write_statistics=statistics)
    names = sorted(set(facts["device_id"].to_pylist()))
    for asked in ([], ["nobody"], names[:1], [names[-1], names[0], "nobody"], names):
        own = log.filter(pc.is_in(log["device_id"], pa.array(asked, pa.string())))
        assert of_devices(tmp_path / "log", opened(tmp_path / "log"), asked).equals(own)


def test_row_groups_of_other_devices_are_not_read(
    tmp_path: Path, facts: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(facts, tmp_path / "log", row_group_size=20)
    read: list[int] = []
    whole = stored.batches
    monkeypatch.setattr(stored, "batches", lambda *a, group: read.append(group) or whole(*a, group=group))
    last = facts["device_id"][-1].as_py()
    of_devices(tmp_path / "log", opened(tmp_path / "log"), [last])
    first = facts["device_id"].to_pylist().index(last) // 20
    assert set(read) == set(range(first, -(-facts.num_rows // 20)))
