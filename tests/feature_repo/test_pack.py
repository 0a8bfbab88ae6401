"""Rows packed from columns are the rows, whatever is in the columns and however Arrow holds them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import msgpack
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.pack import pack
from feature_repo.packed import moment_of
from parked.errors import InternalError

TYPES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.float64(): st.floats(),
    pa.int64(): st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 300),
    pa.string(): st.text() | st.integers(0, 70_000).map("x".__mul__),
    pa.bool_(): st.booleans(),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[pa.ChunkedArray | None], int]:
    rows, columns = draw(st.integers(0, 6)), draw(st.integers(1, 20))
    made: list[pa.ChunkedArray | None] = []
    for _ in range(columns):
        kind = draw(st.sampled_from([None, *TYPES]))
        if kind is None:
            made.append(None)
            continue
        values = draw(st.lists(st.none() | TYPES[kind], min_size=rows + 2, max_size=rows + 2))
        whole = pa.array(values, kind).slice(1, rows)  # an offset into Arrow's memory
        cut = draw(st.integers(0, rows))
        made.append(pa.chunked_array([whole[:cut], whole[cut:]]))
    return made, rows


@given(tables())
def test_rows_are_what_msgpack_reads_of_them(made: tuple[list[pa.ChunkedArray | None], int]) -> None:
    columns, rows = made
    packed, ends = pack(columns, rows)
    found = [msgpack.unpackb(packed[begin:end]) for begin, end in pairwise(ends)]
    expected = [[None if column is None else column[row].as_py() for column in columns] for row in range(rows)]
    assert repr(found) == repr(expected)  # NaN is NaN, 1 is not True
    assert len(packed) == ends[-1]


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 40))
def test_a_rows_moment_is_told_without_unpacking_it_whoever_packed_it(moment: int, others: int) -> None:
    packed, _ = pack([pa.array([moment]), *[None] * others], 1)
    assert moment_of(memoryview(packed)) == moment_of(msgpack.packb([moment, *[None] * others])) == moment


def test_columns_of_a_file_that_arrow_will_not_let_us_write_are_packed(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1, 2], "t": ["a", "b"]}), tmp_path / "x.parquet")
    table = pa.ipc.open_file(_written(pq.read_table(tmp_path / "x.parquet"))).read_all()
    assert not table["x"].chunk(0).buffers()[1].is_mutable
    assert pack([table["x"], table["t"]], 2)[0] == msgpack.packb([1, "a"]) + msgpack.packb([2, "b"])


def _written(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def test_a_type_no_feature_has_is_refused() -> None:
    with pytest.raises(InternalError, match="packed rows hold no int32"):
        pack([pa.array([1], pa.int32())], 1)
