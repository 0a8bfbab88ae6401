"""A token's limit is one limit, however many processes it is used in."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parked import allowances
from parked.allowances import SLOTS, Allowances
from parked.tokens import Bucket


def two_workers(file: Path, rate: float, burst: float) -> list[Bucket]:
    return [Bucket(rate, burst, 0.0, Allowances(file).of("token", burst, 0.0)) for _ in range(2)]


def granted(buckets: list[Bucket], moments: list[tuple[float, int]]) -> int:
    taken = 0
    for now, which in moments:
        if buckets[which].wait_s(now) == 0.0:
            buckets[which].spend(1.0)
            taken += 1
    return taken


@given(st.lists(st.tuples(st.floats(0, 60), st.integers(0, 1)), max_size=200), st.floats(0.1, 20))
def test_two_workers_grant_together_what_one_would(moments: list[tuple[float, int]], rate: float) -> None:
    import tempfile

    burst = max(1.0, 2.0 * rate)
    moments.sort()
    alone = granted([Bucket(rate, burst, 0.0)], [(now, 0) for now, _ in moments])
    with tempfile.TemporaryDirectory() as folder:
        together = granted(two_workers(Path(folder) / "shared.bin", rate, burst), moments)
    assert together == alone


def test_what_another_process_has_spent_is_spent(tmp_path: Path) -> None:
    mine = Bucket(1.0, 5.0, 0.0, Allowances(tmp_path / "a" / "shared.bin").of("token", 5.0, 0.0))
    code = (
        "import sys, pathlib; from parked.allowances import Allowances; from parked.tokens import Bucket; "
        "Bucket(1.0, 5.0, 0.0, Allowances(pathlib.Path(sys.argv[1])).of('token', 5.0, 0.0)).spend(4.5)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a" / "shared.bin")], check=True)
    assert mine.wait_s(0.0) == 0.5


def test_tokens_do_not_share_with_each_other_and_what_is_left_outlives_a_worker(tmp_path: Path) -> None:
    shared = Allowances(tmp_path / "shared.bin")
    for token in range(300):
        Bucket(1.0, 5.0, 0.0, shared.of(f"token-{token}", 5.0, 0.0)).spend(token)
    again = Allowances(tmp_path / "shared.bin")
    left = [again.of(f"token-{token}", 5.0, 0.0) for token in range(300)]
    assert [values[index] for values, index in left] == [5.0 - token for token in range(300)]


def test_a_clock_that_began_anew_takes_nothing_away(tmp_path: Path) -> None:
    state = Allowances(tmp_path / "shared.bin").of("token", 5.0, 9_999_999.0)
    bucket = Bucket(1.0, 5.0, 0.0, state)
    assert bucket.wait_s(1.0) == 0.0
    bucket.spend(5.0)
    assert (bucket.wait_s(1.0), bucket.wait_s(3.0)) == (1.0, 0.0)


def test_tokens_beyond_the_slots_are_limited_too(tmp_path: Path) -> None:
    shared = Allowances(tmp_path / "shared.bin")
    for word in range(0, allowances.SLOTS * 3, 3):
        shared._keys[word] = 1
    values, index = shared.of("one too many", 3.0, 1.0)
    assert (values, index) == ([3.0, 1.0], 0)


def test_the_slots_have_their_room_on_the_disk_from_the_start(tmp_path: Path) -> None:
    file = tmp_path / "shared.bin"
    with file.open("wb") as before:  # as it was made once, with holes: full disk and a token's first request, SIGBUS
        before.truncate(SLOTS * 24)
    Allowances(file)
    assert file.stat().st_blocks * 512 >= SLOTS * 24


def test_limits_are_shared_where_the_c_library_takes_the_blocks_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As glibc does where the file system cannot (NFS before 4.2): by no descriptor that appends, and it writes."""
    file = tmp_path / "shared.bin"
    taken = []

    def emulated(fd: int, offset: int, length: int) -> None:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        with file.open("rb") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody else does so meanwhile
        os.pwrite(fd, bytes(length), offset)
        taken.append(length)

    monkeypatch.setattr(os, "posix_fallocate", emulated)
    two_workers(file, 1.0, 5.0)[0].spend(4.5)
    assert Bucket(1.0, 5.0, 0.0, Allowances(file).of("token", 5.0, 0.0)).wait_s(0.0) == 0.5
    assert taken == [SLOTS * 24], "what has its blocks is not written to: another process uses it"


def test_what_could_be_had_of_the_room_is_given_back_where_it_is_not_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, offset: int, _length: int) -> None:
        os.pwrite(fd, bytes(4096), offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    file = tmp_path / "shared.bin"
    with pytest.raises(OSError, match="No space left"):
        Allowances(file)
    assert file.stat().st_size == 0
