"""A file is replaced whole or stays as it was; what is no file is never replaced by one. What a Parquet file tells."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from parked.errors import InputError
from parked.files import atomic_path, least_and_greatest, write_table, write_text


def test_a_pipe_or_device_is_refused_and_stays_what_it_is(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for target in (pipe, link):
        with pytest.raises(InputError, match="pipe: no regular file"):
            write_table(target, pa.table({"a": [1]}))
        assert stat.S_ISFIFO(pipe.stat().st_mode)
        assert link.is_symlink()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "pipe"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_written_through(tmp_path: Path, there: bool) -> None:
    (tmp_path / "far").mkdir()
    real, link = tmp_path / "far" / "real", tmp_path / "link"
    if there:
        write_text(real, "old")
    link.symlink_to(real)
    write_text(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert [file.name for file in (tmp_path / "far").iterdir()] == ["real"]


def test_what_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a"
    write_text(target, "old")

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_row_group_tells_the_bounds_of_its_texts_and_not_of_numbers_or_nothing(tmp_path: Path) -> None:
    pair = pa.array([{"x": "a", "y": "b"}] * 4)  # two columns in the file, before the one asked for
    texts, numbers = pa.array(["c", "a", None, None]), pa.array([2, 10, 1, 3])
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"pair": pair, "text": texts, "number": numbers}), path, row_group_size=2)
    file = pq.ParquetFile(path)
    assert [least_and_greatest(file, "text", group) for group in (0, 1)] == [("a", "c"), None]
    assert least_and_greatest(file, "number", 0) is None
    with pytest.raises(ValueError, match="other"):
        least_and_greatest(file, "other", 0)
    pq.write_table(pa.table({"text": texts}), path, write_statistics=False)
    assert least_and_greatest(pq.ParquetFile(path), "text", 0) is None
