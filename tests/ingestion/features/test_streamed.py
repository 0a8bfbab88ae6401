"""Features by ranges of devices: the very files that folding everything at once gives, whatever the ranges."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.declare import VIEWS
from feature_repo.objects import snapshot_file
from ingestion.features import fold, revisions
from ingestion.features.build import build_features
from ingestion.features.fold import fold_facts, in_order
from ingestion.features.online import online_rows
from ingestion.features.revisions import InFile, InTable
from ingestion.features.snapshots import write_snapshots
from ingestion.features.streamed import fold_streamed
from parked.errors import ConflictError, InputError
from parked.settings import Settings
from tests.feature_repo.facts_builder import commuter, rough, row, table

NAMES = ("d1", "d10", "d2", "D3", "ä", "z")


@pytest.fixture(scope="module")
def facts() -> pa.Table:
    """Six phones, unevenly known, in the order of FACTS."""
    rows = [row for i, name in enumerate(NAMES) for row in commuter(name, 1 + i % 3, seed=i).rows]
    rows += rough([(0, 0, 3, 1, 0, 1), (5, 2, None, 0, 1, 2), (0, 1, 2, 1, 2, 9)], "rough")
    made = table(rows)
    return made.sort_by([(name, "ascending") for name in ("device_id", "available_at", "kind", "fact_id", "revision")])


def saved(path: Path, facts: pa.Table, row_group: int = 1000) -> Path:
    pq.write_table(facts, path, row_group_size=row_group)
    return path


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("size", [1, 40, 10**6])
@pytest.mark.parametrize("batch", [1, 20_000])
def test_ranges_leave_no_trace(
    tmp_path: Path, facts: pa.Table, monkeypatch: pytest.MonkeyPatch, size: int, batch: int, ordered: bool
) -> None:
    monkeypatch.setattr(revisions, "RANGE", size)
    whole = fold_facts(facts)
    expected = write_snapshots(tmp_path / "whole", whole)
    monkeypatch.setattr(fold, "BATCH_REVISIONS", batch)
    given = facts
    if not ordered:
        places = list(range(facts.num_rows))
        random.Random(size).shuffle(places)
        given = facts.take(places)
    file = saved(tmp_path / "facts.parquet", given, row_group=30)
    steps: list[int] = []
    folded = fold_streamed(InFile(file), tmp_path, progress=steps.append)
    online = online_rows(whole)
    for view in VIEWS:
        assert folded.files[view].read_bytes() == expected[view].read_bytes()
        assert folded.rows[view] == whole[view].num_rows
        assert online_rows(folded.online)[view].slice().equals(online[view].slice())
    assert sum(steps) == facts.num_rows
    assert not list(tmp_path.glob("revisions-*"))


@pytest.mark.parametrize("ordered", [True, False])
def test_a_range_holds_whole_devices_and_few_of_them(
    tmp_path: Path, facts: pa.Table, monkeypatch: pytest.MonkeyPatch, ordered: bool
) -> None:
    monkeypatch.setattr(revisions, "RANGE", 10)
    monkeypatch.setattr(revisions, "SPILLED", 1)
    file = saved(tmp_path / "facts.parquet", facts if ordered else facts.take(list(reversed(range(facts.num_rows)))))
    parts = list(InFile(file).ranges(tmp_path))
    devices = [sorted(set(part["device_id"].to_pylist())) for part in parts]
    assert [name for some in devices for name in some] == sorted({*NAMES, "rough"})
    assert len(parts) >= 4
    assert pa.concat_tables(parts).equals(in_order(facts))


def test_a_file_that_is_replaced_meanwhile_is_read_as_it_was(tmp_path: Path, facts: pa.Table) -> None:
    opened = InFile(saved(tmp_path / "facts.parquet", facts))
    saved(tmp_path / "other", facts.slice(0, 3)).replace(tmp_path / "facts.parquet")
    assert opened.versions
    assert sum(part.num_rows for part in opened.ranges(tmp_path)) == facts.num_rows


def test_a_build_that_fails_midway_changes_nothing(tmp_path: Path, facts: pa.Table) -> None:
    settings = Settings(home=tmp_path / "home")
    build_features(settings, table(commuter("d1", 1).rows))
    before = {path: path.read_bytes() for path in sorted(settings.home.rglob("*")) if path.is_file()}

    def stop(_revisions: int) -> None:
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        build_features(settings, facts, progress=stop)
    assert {path: path.read_bytes() for path in sorted(settings.home.rglob("*")) if path.is_file()} == before
    assert {path.name for path in settings.features_dir.iterdir()} == set(VIEWS)


def test_a_file_and_a_table_build_the_same(tmp_path: Path, facts: pa.Table) -> None:
    one, two = Settings(home=tmp_path / "one"), Settings(home=tmp_path / "two")
    assert build_features(one, InFile(saved(tmp_path / "facts.parquet", facts))) == build_features(two, facts)
    for view in VIEWS:
        ours, theirs = (snapshot_file(settings.features_dir, view).read_bytes() for settings in (one, two))
        assert ours == theirs


def test_facts_without_a_device_or_of_other_rules_are_refused(tmp_path: Path, facts: pa.Table) -> None:
    settings = Settings(home=tmp_path / "home")
    at = facts.schema.get_field_index("device_id")
    field = pa.field("device_id", pa.string())
    odd = facts.set_column(at, field, pa.array([None, *facts["device_id"].to_pylist()[1:]], pa.string()))
    with pytest.raises(InputError, match="a revision without device_id"):
        build_features(settings, InFile(saved(tmp_path / "odd.parquet", odd)))
    raw = facts.set_column(at, pa.field("device_id", pa.binary()), pa.array([b"\xff"] * facts.num_rows))
    with pytest.raises(InputError, match="facts: device_id: "):
        build_features(settings, InFile(saved(tmp_path / "raw.parquet", raw)))
    later = table([row("x", "f", "stop", 1, 2, rules_version="v9")])
    mixed = InFile(saved(tmp_path / "mixed.parquet", pa.concat_tables([facts, later])))
    with pytest.raises(ConflictError, match="v9"):
        build_features(settings, mixed)
    lacking = facts.drop_columns(["status", "rules_version"])
    with pytest.raises(InputError, match="facts lack the columns status, rules_version"):
        build_features(settings, lacking)
    with pytest.raises(InputError, match="facts lack the columns status, rules_version"):
        InFile(saved(tmp_path / "lacking.parquet", lacking))
    assert not settings.home.exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [(OSError(), "OSError"), (IndexError("no such page\nof 3"), "no such page"), (NotImplementedError(), "NotImpl")],
)
def test_damage_of_any_kind_is_one_line_also_where_the_reader_says_nothing(
    tmp_path: Path, facts: pa.Table, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def opened(*_args: object, **_options: object) -> None:
        raise error

    path = saved(tmp_path / "facts.parquet", facts)
    monkeypatch.setattr(revisions.pq, "ParquetFile", opened)
    with pytest.raises(InputError, match=rf"facts\.parquet: not a Parquet file \({said}"):
        InFile(path)


def test_no_facts_give_empty_files(tmp_path: Path, facts: pa.Table) -> None:
    folded = fold_streamed(InTable(facts.slice(0, 0)), tmp_path)
    expected = write_snapshots(tmp_path / "whole", fold_facts(facts.slice(0, 0)))
    assert all(folded.files[view].read_bytes() == expected[view].read_bytes() for view in VIEWS)
    from_file = fold_streamed(InFile(saved(tmp_path / "none.parquet", facts.slice(0, 0))), tmp_path)
    assert from_file.rows == dict.fromkeys(VIEWS, 0)
