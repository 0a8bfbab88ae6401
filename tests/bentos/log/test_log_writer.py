"""The process that writes the prediction log: same files, and no answer lost or written twice by any death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.log import backlog as log_backlog
from bentos.log import prediction_log
from bentos.log.prediction_log import PIECE, PredictionLog
from bentos.log.spool import Spool, pieces
from parked.predictions import read_predictions
from tests.bentos.log.test_prediction_log import answered, parts, wait_for


def writer_of(log: PredictionLog) -> psutil.Process:
    """The writer's process, once it runs."""
    writer = wait_for(lambda: log._backlog._writer)
    assert writer
    return psutil.Process(writer.pid)  # type: ignore[attr-defined]


def asked(log: PredictionLog, first: int, count: int, rows: int = 3) -> list[str]:
    ids = [f"answer-{number}" for number in range(first, first + count)]
    for ident in ids:
        log.add(answered(ident, rows=rows))
    return ids


def written(folder: Path) -> Counter[str]:
    """How many rows there are of each answer."""
    return Counter(read_predictions(folder)["answer_id"].to_pylist())


def not_here(*_: object) -> int:
    raise AssertionError("written by the worker")


def test_the_writer_writes_the_same_bytes_as_the_worker_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = PredictionLog(tmp_path / "here")
    asked(here, 0, 300)
    assert here.flush() == 900
    monkeypatch.setattr(log_backlog, "write_part", not_here)
    monkeypatch.setattr(prediction_log, "_PATIENCE_S", 60.0)
    log = PredictionLog(tmp_path / "there", flush_s=3600)
    log.start()
    writer = writer_of(log)
    asked(log, 0, 300)
    assert log.flush() == 900
    (one,), (other,) = parts(tmp_path / "here"), parts(tmp_path / "there")
    assert one.name == other.name
    assert one.read_bytes() == other.read_bytes()
    log.stop()
    assert not writer.is_running()


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="this system has no SCHED_IDLE")
def test_the_writer_steps_aside(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.start()
    writer = writer_of(log)
    assert wait_for(lambda: os.sched_getscheduler(writer.pid) == os.SCHED_IDLE)
    assert os.getsid(writer.pid) == os.getsid(0)  # else autogroup gives it a share of its own
    log.stop()


def test_a_writer_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, flush_rows=60, flush_s=0.1)
    log.start()
    ids = asked(log, 0, 100)
    writer_of(log).send_signal(signal.SIGKILL)
    ids += asked(log, 100, 100)
    assert wait_for(lambda: len(written(tmp_path)) == 200)
    log.stop()
    assert written(tmp_path) == Counter(dict.fromkeys(ids, 3))


def test_another_writer_takes_the_place_of_one_that_died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_backlog, "_AGAIN_S", 0.0)
    log = PredictionLog(tmp_path, flush_s=0.1)
    log.start()
    first = writer_of(log)
    first.send_signal(signal.SIGKILL)
    assert wait_for(lambda: writer_of(log).pid != first.pid)
    monkeypatch.setattr(log_backlog, "write_part", not_here)
    monkeypatch.setattr(prediction_log, "_PATIENCE_S", 60.0)
    asked(log, 0, 10)
    assert log.flush() == 30
    log.stop()


def test_a_writer_that_stands_still_is_not_waited_for(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, flush_rows=30, flush_s=0.2)
    log.start()
    writer = writer_of(log)
    writer.suspend()
    ids = asked(log, 0, 100)
    assert wait_for(lambda: len(written(tmp_path)) == 100)
    writer.resume()
    log.stop()
    assert written(tmp_path) == Counter(dict.fromkeys(ids, 3))


def test_a_worker_that_is_killed_loses_a_piece_at_most(tmp_path: Path) -> None:
    script = f"""
        import os, signal
        from pathlib import Path
        from bentos.log.prediction_log import PredictionLog
        from tests.bentos.log.test_log_writer import asked, wait_for, writer_of
        log = PredictionLog(Path({str(tmp_path)!r}), flush_rows=450, flush_s=3600)
        log.start()
        writer_of(log)
        asked(log, 0, 500)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    root = Path(__file__).parents[3]
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=root, check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert wait_for(lambda: len(parts(tmp_path)) == 3)
    rows = written(tmp_path)
    assert set(rows.values()) == {3}
    assert 1500 - PIECE <= rows.total() < 1500


def test_the_worker_rests_for_a_writer_when_half_its_room_waits(tmp_path: Path) -> None:
    rests: list[float] = []
    log = PredictionLog(tmp_path, queue=16 * PIECE, flush_rows=PIECE, rest=rests.append)  # not started: nobody writes
    asked(log, 0, 8, rows=PIECE)
    assert rests == []
    asked(log, 8, 8, rows=PIECE)
    assert 1 < len(rests) < 8  # short ones are put together
    assert all(0.0005 < rest <= 0.003 for rest in rests)
    log.flush()
    had = len(rests)
    asked(log, 16, 8, rows=PIECE)
    assert len(rests) == had


def test_the_worker_rests_for_a_writer_that_is_late(tmp_path: Path) -> None:
    rests: list[float] = []
    now_s = [0.0]
    log = PredictionLog(
        tmp_path, queue=1_000_000, flush_rows=PIECE, flush_s=2.0, rest=rests.append, now_s=lambda: now_s[0]
    )
    asked(log, 0, 8, rows=PIECE)
    now_s[0] = 9.0
    asked(log, 8, 8, rows=PIECE)
    assert rests == []
    now_s[0] = 11.0
    asked(log, 16, 8, rows=PIECE)
    assert rests
    log.flush()


def test_no_memory_for_a_piece_is_counted_and_the_log_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError("no room")

    dropped: list[int] = []
    log = PredictionLog(tmp_path, on_drop=dropped.append)
    asked(log, 0, 1)
    log._take()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", full)
        asked(log, 1, 1, rows=PIECE)
        log.add(answered("tomorrow", answered_at_us=2 * 86_400_000_000))  # a part of its own cannot be begun
        log._take()
    assert dropped == [PIECE, 1]
    ids = asked(log, 2, 2)
    assert log.flush() == 9
    assert written(tmp_path) == Counter(dict.fromkeys(["answer-0", *ids], 3))


PIECES = st.dictionaries(st.text(), st.lists(st.text() | st.none()))


@given(st.lists(st.tuples(PIECES, st.lists(st.binary(max_size=40), max_size=3)), max_size=5), st.integers(0, 400))
def test_a_spool_gives_back_its_whole_pieces(
    told: list[tuple[dict[str, list[str | None]], list[bytes]]], cut: int
) -> None:
    spool, ends = Spool(), [0]
    for piece, buffers in told:
        spool.append(piece, [np.frombuffer(buffer, np.uint8) for buffer in buffers])
        ends.append(spool.end)
    assert list(pieces(spool.fd, spool.end)) == told
    os.ftruncate(spool.fd, min(cut, spool.end))
    whole = sum(end <= cut for end in ends[1:])
    assert list(pieces(spool.fd)) == told[:whole]
    spool.close()
