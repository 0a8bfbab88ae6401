"""Workers that are started and killed while all their metrics are read: no reading fails over a file just made."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from prometheus_client.multiprocess import MultiProcessCollector

from bentos.metrics import files as metric_files

KEY = '["a", "a_total", {}, "a"]'
KINDS = ("counter", "gauge_max", "gauge_liveall")


def make_and_kill(folder: Path) -> None:
    """One worker after another, each killed within two milliseconds; until this process is killed too."""
    from prometheus_client.mmap_dict import MmapedDict

    pause = random.Random(7)
    print("ready", flush=True)
    while True:
        worker = os.fork()
        if not worker:
            for kind in KINDS:
                MmapedDict(str(folder / f"{kind}_{os.getpid()}.db")).write_value(KEY, 1.0, 0.0)
            os._exit(0)
        time.sleep(pause.random() / 500)
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)


def test_no_reading_fails_while_workers_are_started_and_killed(tmp_path: Path) -> None:
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    async def read() -> float:
        async with metric_files.reading(environment):
            metrics = list(MultiProcessCollector(None, str(tmp_path)).collect())
        return sum(sample.value for metric in metrics for sample in metric.samples)

    command = [sys.executable, "-c", f"from {__name__} import *; make_and_kill(Path({str(tmp_path)!r}))"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout is not None
        assert maker.stdout.readline() == "ready\n"
        try:
            seen = [asyncio.run(read()) for _ in range(100)]
            end = time.monotonic() + 60
            while not seen[-1] and time.monotonic() < end:  # on a loaded machine all are killed too soon for a while
                seen.append(asyncio.run(read()))
        finally:
            maker.kill()
    assert seen[-1] > 0, "there was something to read"


def test_a_file_in_which_there_is_nothing_yet_stops_no_reading(tmp_path: Path) -> None:
    (tmp_path / f"gauge_max_{os.getpid()}.db").touch()

    async def read() -> int:
        async with metric_files.reading({"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}):
            return len(list(MultiProcessCollector(None, str(tmp_path)).collect()))

    assert asyncio.run(read()) == 0
