"""A worker that is killed is not shown as living, and nothing that it counted is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

from bentos.launch import ServerHandle, start_server
from bentos.metrics import files as metric_files
from bentos.metrics.files import forget_dead
from tests.bentos.conftest import FAKE_SERVICE
from tests.bentos.fakes import answering, publish, settings_in, until, write_model


def test_a_killed_workers_gauges_go_and_its_counts_stay(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, pointer_poll_s=0.05)
    publish(settings, write_model(settings, "v1"), 1)
    with start_server(settings, port=0, workers=2, service=FAKE_SERVICE) as server:

        def metrics() -> str:
            return httpx.get(f"{server.url}/metrics", timeout=10).text

        def shown() -> set[int]:
            return {int(pid) for pid in re.findall(r'parked_model_generation\{pid="([0-9]+)"\} 1\.0', metrics())}

        def counted() -> dict[str, float]:
            return {
                name: float(value)
                for name, value in re.findall(r"^(parked_\S+_(?:total|count|bucket)\S*) (\S+)$", metrics(), re.M)
            }

        until(lambda: len(answering(settings)) == 2, 60)
        before = answering(settings)
        assert shown() == before
        for _ in range(60):  # on connections of their own, so that both have something to lose
            httpx.post(f"{server.url}/where_parked", json={"device_id": "phone-jam"}, timeout=10)
        name = 'parked_answers_total{reason="below_threshold",state="unknown"}'
        until(lambda: counted().get(name) == 60)
        counts = counted()
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(answering(settings) - {victim}) == 2, 60)
        assert shown() == answering(settings)
        assert victim not in shown()
        after = counted()
        assert {name: value for name, value in counts.items() if after.get(name, 0) < value} == {}
        folder = settings.home / "serving" / f"metrics-{server.url.rsplit(':', 1)[1]}"
        assert not list(folder.glob(f"*_{victim}.db")), "and no file of its own is left"


def test_a_second_server_of_a_home_leaves_the_firsts_metrics(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, pointer_poll_s=0.05)
    publish(settings, write_model(settings, "v1"), 1)

    def answers(server: ServerHandle) -> float:
        told = httpx.get(f"{server.url}/metrics", timeout=10).text
        return sum(float(value) for value in re.findall(r"^parked_answers_total\{.*\} (\S+)$", told, re.M))

    with start_server(settings, port=0, service=FAKE_SERVICE) as first:
        first.wait_ready()
        for _ in range(5):
            httpx.post(f"{first.url}/where_parked", json={"device_id": "phone-jam"}, timeout=10)
        assert answers(first) == 5
        with start_server(settings, port=0, service=FAKE_SERVICE) as second:
            second.wait_ready()
            assert (answers(first), answers(second)) == (5, 0)
            httpx.post(f"{first.url}/where_parked", json={"device_id": "phone-jam"}, timeout=10)
            assert (answers(first), answers(second)) == (6, 0)


def ended() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_only_gauges_of_the_living_go_and_only_those_of_the_dead(tmp_path: Path) -> None:
    dead, me = ended(), os.getpid()
    stay = {f"gauge_liveall_{me}.db", f"gauge_max_{dead}.db", "gauge_liveall_x.db", f"counter_{me}.db"}
    for name in stay | {f"gauge_liveall_{dead}.db", f"gauge_livesum_{dead}.db", f"gauge_all_{dead}.db"}:
        (tmp_path / name).touch()
    forget_dead({})
    forget_dead({"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)})
    assert {file.name for file in tmp_path.glob("*.db")} == stay


KEYS = {"counter": '["a", "a_total", {}, "a"]', "histogram": '["b", "b_bucket", {"le": "0.5"}, "b"]'}


class Kept:
    """A folder of metrics, as prometheus_client keeps it; what it counts, by its own reader."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"PROMETHEUS_MULTIPROC_DIR": str(folder)}

    def count(self, pid: int, value: float) -> None:
        for kind, key in KEYS.items():
            aside = self.folder / f"{kind}_{pid}"  # a reader of a file that is just made fails, in prometheus_client
            file = MmapedDict(str(aside))
            file.write_value(key, value, 0.0)
            file.close()
            aside.rename(aside.with_suffix(".db"))

    def counted(self) -> dict[str, float]:
        read = MultiProcessCollector(None, str(self.folder)).collect()
        return {sample.name: sample.value for metric in read for sample in metric.samples if "count" not in sample.name}

    @property
    def files(self) -> set[str]:
        return {file.name for file in self.folder.glob("*.db")}


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_a_thousand_killed_workers_leave_one_file_of_each_kind_and_every_count(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: set[int] = set()
    monkeypatch.setattr(metric_files, "process_started", lambda pid: 1 if pid in alive else None)
    stop, errors = threading.Event(), list[BaseException]()

    def read(seen: list[float]) -> None:
        async def one() -> float:
            async with metric_files.reading(kept.environment):
                return kept.counted().get("a_total", 0.0)

        try:
            while not stop.is_set():
                seen.append(asyncio.run(one()))
        except BaseException as error:
            errors.append(error)

    told: list[list[float]] = [[], []]
    readers = [threading.Thread(target=read, args=(seen,)) for seen in told]
    for reader in readers:
        reader.start()
    most = 0
    for pid in range(1, 1001):
        alive.add(pid)
        kept.count(pid, 3.0)
        alive.discard(pid - 5)
        if pid % 50 == 0:
            until(lambda: forget_dead(kept.environment) or len(kept.files) < 30)  # whenever nobody reads
            most = max(most, len(kept.files))
    stop.set()
    for reader in readers:
        reader.join()
    assert errors == []
    for seen in told:
        assert len(seen) > 10
        assert seen == sorted(seen), "no count ever went back"
    assert most < 30
    alive.clear()
    forget_dead(kept.environment)
    assert kept.files == {"counter_ended.db", "histogram_ended.db"}
    assert kept.counted() == {"a_total": 3000.0, "b_bucket": 3000.0}


class Killed(BaseException):
    """In the middle of something."""


@pytest.mark.parametrize("after", range(12))
def test_who_is_killed_while_adding_up_leaves_nothing_counted_twice_or_lost(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """After so many changes of the folder; the next reading does the rest."""
    dead = [ended() for _ in range(2)]
    for pid in dead:
        kept.count(pid, 2.0)
    forget_dead(kept.environment)
    more = [ended() for _ in range(2)]
    for pid in more:
        kept.count(pid, 5.0)
    changes = 0

    def dying(change: Any) -> Any:
        def changing(*arguments: Any, **named: Any) -> Any:
            nonlocal changes
            if changes == after:
                raise Killed
            changes += 1
            return change(*arguments, **named)

        return changing

    with monkeypatch.context() as there:
        for name in ("replace", "unlink"):
            there.setattr(Path, name, dying(getattr(Path, name)))
        there.setattr(os, "fsync", dying(os.fsync))  # what is written may be there, and may not
        with contextlib.suppress(Killed):
            forget_dead(kept.environment)
    forget_dead(kept.environment)
    assert kept.files == {"counter_ended.db", "histogram_ended.db"}
    assert kept.counted() == {"a_total": 14.0, "b_bucket": 14.0}


def test_a_file_its_process_died_over_stops_no_reading(kept: Kept) -> None:
    me, early, torn = os.getpid(), ended(), ended()
    kept.count(me, 1.0)
    (kept.folder / f"counter_{early}.db").touch()
    (kept.folder / f"counter_{torn}.db").write_bytes(struct.pack("iii", 64, 0, 5000) + bytes(200))
    forget_dead(kept.environment)
    assert kept.counted() == {"a_total": 1.0, "b_bucket": 1.0}


def test_nothing_is_added_up_while_somebody_reads_nor_read_meanwhile(kept: Kept) -> None:
    kept.count(ended(), 1.0)

    async def read() -> None:
        async with metric_files.reading(kept.environment):
            kept.count(ended(), 1.0)
            before = kept.files
            forget_dead(kept.environment)
            assert kept.files == before
            async with metric_files.reading(kept.environment):  # others may read, too
                assert kept.counted()["a_total"] == 2.0

    asyncio.run(read())
    forget_dead(kept.environment)
    assert kept.files == {"counter_ended.db", "histogram_ended.db"}
