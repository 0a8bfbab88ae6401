"""Adding up what the dead counted, where the disk is full or nearly so: nothing is lost, and nobody fails."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict

from bentos.metrics import files as metric_files
from bentos.metrics.files import forget_dead
from bentos.metrics.room import take_room
from tests.bentos.metrics.test_killed_worker import Kept, ended


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


@pytest.mark.parametrize("series", [1, 5000])
def test_a_disk_with_room_for_the_sums_and_hardly_more_keeps_them(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, series: int
) -> None:
    """prometheus_client's own files begin with 64 KiB, and are in memory where these cannot be had."""

    def full(_fd: int, _offset: int, _length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    dead = ended()
    kept.count(dead, 2.0)
    file = MmapedDict(str(kept.folder / f"counter_{dead}.db"))
    for number in range(series):
        file.write_value(f'["c", "c_total", {{"n": "{number}"}}, "c"]', 3.0, 0.0)
    file.close()
    before = kept.counted()
    with monkeypatch.context() as there:
        for name in ("__init__", "_init_value"):
            there.setattr(MmapedDict, name, getattr(MmapedDict, name))  # put back afterwards
        there.setattr(os, "posix_fallocate", full)
        take_room.cache_clear()
        take_room()
        forget_dead(kept.environment)
    take_room.cache_clear()
    assert kept.files == {"counter_ended.db", "histogram_ended.db"}
    assert kept.counted() == before
    forget_dead(kept.environment)
    assert kept.counted() == before


@pytest.mark.parametrize("most_bytes", [0, 10, 100, 4096])
def test_a_disk_without_room_for_the_sums_loses_no_count(kept: Kept, most_bytes: int) -> None:
    """The limit of a file's size stands for the disk's end: what goes beyond is an error of the write."""
    for _ in range(2):
        kept.count(ended(), 2.0)
    forget_dead(kept.environment)
    dead = ended()
    file = MmapedDict(str(kept.folder / f"histogram_{dead}.db"))
    for number in range(100):
        file.write_value(f'["c", "c_bucket", {{"le": "{number}"}}, "c"]', 3.0, 0.0)
    file.close()
    before, files = kept.counted(), kept.files
    code = (
        "import resource; from bentos.metrics.room import take_room; from bentos.metrics.files import forget_dead; "
        f"take_room(); resource.setrlimit(resource.RLIMIT_FSIZE, ({most_bytes}, -1)); forget_dead()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | kept.environment, capture_output=True)
    assert kept.counted() == before
    assert kept.files == files
    assert not list(kept.folder.glob("*.new")), "half a file would take what room there is"
    forget_dead(kept.environment)
    assert kept.counted() == before
    assert kept.files == {"counter_ended.db", "histogram_ended.db"}


def test_where_the_lock_cannot_be_made_everything_is_read_and_nothing_added_up(kept: Kept) -> None:
    (kept.folder / "lock").mkdir()  # as where the disk has no room for another file
    kept.count(ended(), 1.0)
    before = kept.files
    forget_dead(kept.environment)

    async def read() -> dict[str, float]:
        async with metric_files.reading(kept.environment):
            return kept.counted()

    assert asyncio.run(read()) == {"a_total": 1.0, "b_bucket": 1.0}
    assert kept.files == before
