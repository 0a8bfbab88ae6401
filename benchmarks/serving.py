"""Serving, side by side in one run: ours, the naive service, and BentoML's no-op (default and tuned).

``python -m benchmarks.serving``; wants ``wrk`` (Debian's package) and two cores: the server is held to one, the client
to the other. CPU is that of all the server's processes. The naive service gets fewer phones, as Feast's SQLite store
takes minutes to load as many; that is to its advantage.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from bentos.launch import SERVICE, ServerHandle, start_server
from parked.settings import Settings

LUA = """
local n, count, batch = 0, {phones}, {batch}
math.randomseed(7)
request = function()
  local ids = {{}}
  for i = 1, batch do ids[i] = string.format('"phone-%06d"', math.random(0, count - 1)) end
  local body = '{{"device_id": ' .. ids[1] .. '}}'
  if batch > 1 then body = '{{"device_ids": [' .. table.concat(ids, ',') .. ']}}' end
  return wrk.format('POST', '{path}', {{['content-type'] = 'application/json'}}, body)
end
"""


TURNS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phones", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--only", default="ours,log,score,naive,noop,tuned")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed: apt-get install wrk")
    only = options.only.split(",")
    cores = sorted(os.sched_getaffinity(0))
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="parked-serving-") as folder:
        from benchmarks.serving_world import make_home

        home = Settings(home=Path(folder) / "lmdb")
        began = time.process_time()
        found["loaded"] = make_home(home, options.phones)
        found["load_cpu_s"] = round(time.process_time() - began, 1)
        run = Run(options, cores, found)
        if "ours" in only:
            run.measure("ours", home, SERVICE, (1, 8, 32, 128))
        if "log" in only:
            run.share_of_log(home)
        if "score" in only:
            run.measure("score x100, 2 workers", home, SERVICE, (16,), workers=2, batch=100)
            run.measure("ours, 2 workers", home, SERVICE, (32,), workers=2)
        if "noop" in only:
            run.measure("no-op", home, "benchmarks.serving_others:NoOp", (1, 32))
        if "tuned" in only:
            run.measure("no-op, tuned", home, "benchmarks.serving_others:NoOpTuned", (1, 32))
        if "naive" in only:
            small = Settings(home=Path(folder) / "sqlite", online_store="sqlite")
            run.options.phones = 500
            make_home(small, 500)
            run.measure("naive", small, "benchmarks.serving_others:Naive", (1, 32))
    text = json.dumps(found, indent=1)
    if options.json:
        options.json.write_text(text, encoding="utf-8")
    print(text)


class Run:
    """Starts a server, asks it, keeps what was seen."""

    def __init__(self, options: argparse.Namespace, cores: list[int], found: dict[str, Any]) -> None:
        self.options = options
        self.cores = cores
        self.found: dict[str, Any] = found

    def measure(
        self,
        name: str,
        settings: Settings,
        service: str,
        connections: tuple[int, ...],
        environment: dict[str, str] | None = None,
        workers: int = 1,
        batch: int = 1,
        seconds: int = 0,
    ) -> None:
        os.environ.update(environment or {})
        os.sched_setaffinity(0, self.cores if workers > 1 else {self.cores[0]})  # a child keeps it
        began = time.monotonic()
        server = start_server(settings, port=0, workers=workers, service=service)
        try:
            os.sched_setaffinity(0, {self.cores[-1]})
            server.wait_ready(90)
            ready_s = time.monotonic() - began
            wrk(server, 8, 2, self.options.phones, batch)  # caches, branch predictors, first parts of the log
            for count in connections:
                before = cpu(server)
                seen = wrk(server, count, seconds or self.options.seconds, self.options.phones, batch)
                seen["cpu_ms_per_1000"] = round((cpu(server) - before) / max(1, seen["requests"]) * 1e6, 1)
                line = {**seen, **memory(server), "ready_s": round(ready_s, 1)}
                self.found[f"{name} @{count}"] = line
                print(f"{name:24s} @{count:<4d} {line}", flush=True)
        finally:
            server.stop()
            os.sched_setaffinity(0, self.cores)
            for key in environment or {}:
                os.environ.pop(key)

    def share_of_log(self, home: Settings) -> None:
        """By turns with the log, whose writer waits for an idle core meanwhile, and without; then a minute of it."""
        names = "ours, log", "ours, no log"
        rates: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(TURNS):
            for name in names:
                self.measure(name, home, SERVICE, (32,), {"PARKED_SERVE_LOG_QUEUE": "0"} if "no" in name else None)
                rates[name].append(self.found[f"{name} @32"]["rps"])
        with_log, without = (statistics.median(rates[name]) for name in names)
        self.measure("ours, a minute", home, SERVICE, (32,), seconds=60)
        lasting = self.found["ours, a minute @32"]["rps"]
        self.found["log's share"] = {
            "turns": rates,
            "of five seconds": round(1 - with_log / without, 3),
            "of a minute": round(1 - lasting / without, 3),
        }


def wrk(server: ServerHandle, connections: int, seconds: int, phones: int, batch: int) -> dict[str, float]:
    """Ask for ``seconds``; requests, rps, latencies in ms, failed answers."""
    path = "/score" if batch > 1 else "/where_parked"
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LUA.format(phones=phones, batch=batch, path=path) + DONE)
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script.name, server.url]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    told = re.search(r"^FOUND (.*)$", said, re.MULTILINE)
    if told is None:
        sys.exit(f"wrk said nothing to be read:\n{said}")
    requests, us, failed, *latencies = (float(number) for number in told.group(1).split())
    rate = requests / us * 1e6
    seen = {"requests": requests, "rps": round(rate), "failed": failed}
    seen |= {p: round(v / 1000, 3) for p, v in zip(("p50_ms", "p99_ms", "p999_ms"), latencies, strict=True)}
    return seen | ({"candidates_per_s": round(rate * batch * 3)} if batch > 1 else {})


DONE = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('FOUND %d %d %d %d %d %d\\n', summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""


def processes(server: ServerHandle) -> list[psutil.Process]:
    """The supervisor and its workers."""
    top = psutil.Process(server.pid)
    return [top, *top.children(recursive=True)]


def cpu(server: ServerHandle) -> float:
    """CPU seconds so far."""
    return float(sum(sum(process.cpu_times()[:2]) for process in processes(server)))


def memory(server: ServerHandle) -> dict[str, int]:
    """MB of the largest worker: resident, and without the pages of files (the store's map is one)."""
    largest = max(processes(server), key=lambda process: process.memory_info().rss).memory_info()
    return {"rss_mb": largest.rss >> 20, "anonymous_mb": (largest.rss - largest.shared) >> 20}


if __name__ == "__main__":
    main()
