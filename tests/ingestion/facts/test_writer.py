"""A facts file's bytes tell nothing of the tables it was written from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from ingestion.facts.writer import FILE, FactsWriter
from parked.schemas import FACTS
from parked.table_writer import CHUNK, Layout
from tests.ingestion.facts.worlds import world


@pytest.fixture(scope="module")
def facts() -> pa.Table:
    """Two and a third groups of three chunks."""
    some = build_facts(*world(5, devices=3), load_rules())
    rows = np.random.default_rng(1).integers(0, some.num_rows, 7 * CHUNK + 1234)
    return some.take(pa.array(rows)).combine_chunks()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("steps", [[10**9], [CHUNK], [1, 70_000, 3, 200_001], [5000]])
def test_a_file_of_many_tables_is_the_one_that_arrow_writes_of_them_together(
    tmp_path: Path, facts: pa.Table, steps: list[int], packed: bool
) -> None:
    said = {b"parked.engine": b"e"}
    pq.write_table(
        facts.replace_schema_metadata(said), tmp_path / "whole", compression="zstd", row_group_size=3 * CHUNK
    )
    with FactsWriter(tmp_path / "cut", Layout(3 * CHUNK, True, packed=packed), said) as writer:
        at, i = 0, 0
        while at < facts.num_rows:
            writer.add(facts.slice(at, steps[i % len(steps)]))
            at, i = at + steps[i % len(steps)], i + 1
    assert pq.ParquetFile(tmp_path / "cut").metadata.num_row_groups == 3
    assert (tmp_path / "cut").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_file_without_facts_has_their_columns(tmp_path: Path) -> None:
    with FactsWriter(tmp_path / "none", FILE) as writer:
        writer.add(FACTS.empty_table())
    assert pq.read_table(tmp_path / "none").equals(FACTS.empty_table())
