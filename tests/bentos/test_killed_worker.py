"""A worker that is killed is not shown as living, and nothing that it counted is lost."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from bentos.launch import ServerHandle, start_server
from bentos.metric_files import forget_dead
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


def test_only_gauges_of_the_living_go_and_only_those_of_the_dead(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    dead, me = process.pid, os.getpid()
    stay = {f"gauge_liveall_{me}.db", f"counter_{dead}.db", f"gauge_max_{dead}.db", "gauge_liveall_x.db"}
    for name in stay | {f"gauge_liveall_{dead}.db", f"gauge_livesum_{dead}.db"}:
        (tmp_path / name).touch()
    forget_dead({})
    forget_dead({"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)})
    assert {file.name for file in tmp_path.iterdir()} == stay
