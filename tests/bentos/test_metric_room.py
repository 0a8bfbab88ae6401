"""A full disk does not kill who counts."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict

from bentos.metric_room import take_room


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(MmapedDict, "__init__", MmapedDict.__init__)  # put back afterwards
    take_room.cache_clear()
    take_room()
    yield
    take_room.cache_clear()


@pytest.mark.usefixtures("room")
def test_a_file_of_counts_has_its_room_on_the_disk_before_anything_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "counter_1.db"
    MmapedDict(str(file))
    assert file.stat().st_blocks * 512 >= file.stat().st_size > 0


@pytest.mark.usefixtures("room")
def test_without_room_it_counts_in_memory_and_leaves_an_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int, _offset: int, _length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    file = tmp_path / "counter_1.db"
    counts = MmapedDict(str(file))
    counts.write_value("key", 3.0, 0.0)
    assert counts.read_value("key") == (3.0, 0.0)
    assert file.stat().st_size == 0
