"""A full disk does not kill who counts."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict

from bentos.metrics.room import take_room


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("__init__", "_init_value"):
        monkeypatch.setattr(MmapedDict, name, getattr(MmapedDict, name))  # put back afterwards
    take_room.cache_clear()
    take_room()
    yield
    take_room.cache_clear()


def no_room_beyond(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Blocks of no file beyond its first ``size`` bytes, as on a full disk."""
    real = os.posix_fallocate

    def full(fd: int, offset: int, length: int) -> None:
        if offset + length > size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(fd, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", full)


@pytest.mark.usefixtures("room")
def test_a_file_of_counts_has_its_room_on_the_disk_before_anything_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "counter_1.db"
    MmapedDict(str(file))
    assert file.stat().st_blocks * 512 >= file.stat().st_size > 0


@pytest.mark.usefixtures("room")
def test_without_room_it_counts_in_memory_and_leaves_an_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room_beyond(monkeypatch, 0)
    file = tmp_path / "counter_1.db"
    counts = MmapedDict(str(file))
    counts.write_value("key", 3.0, 0.0)
    assert counts.read_value("key") == (3.0, 0.0)
    assert file.stat().st_size == 0


@pytest.mark.usefixtures("room")
def test_where_no_file_can_be_made_it_counts_in_memory(tmp_path: Path) -> None:
    counts = MmapedDict(str(tmp_path / "gone" / "counter_1.db"))
    counts.write_value("key", 3.0, 0.0)
    assert counts.read_value("key") == (3.0, 0.0)


BEGUN = 1 << 16
"""Bytes of a file with few series."""
SERIES = [f"series {number}" for number in range(5000)]
"""More than such a file holds."""


@pytest.mark.usefixtures("room")
def test_a_file_that_grows_has_its_room_before_too(tmp_path: Path) -> None:
    file = tmp_path / "counter_1.db"
    counts = MmapedDict(str(file))
    for key in SERIES:
        counts.read_value(key)
        assert file.stat().st_blocks * 512 >= file.stat().st_size
    assert file.stat().st_size > BEGUN


@pytest.mark.usefixtures("room")
def test_without_room_to_grow_it_goes_on_in_memory_and_what_was_shown_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room_beyond(monkeypatch, BEGUN)
    file = tmp_path / "counter_1.db"
    counts = MmapedDict(str(file))
    for _ in range(2):
        for number, key in enumerate(SERIES):
            counts.write_value(key, float(number), 0.0)
    assert [counts.read_value(key) for key in SERIES] == [(float(number), 0.0) for number in range(len(SERIES))]
    assert file.stat().st_blocks * 512 >= file.stat().st_size == BEGUN
    shown = [(key, value) for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file))]
    assert shown == [(key, float(number)) for number, key in enumerate(SERIES[: len(shown)])]
    assert len(shown) > 1000
    counts.close()
