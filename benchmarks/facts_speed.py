"""How fast facts are made beside trackintel and movingpandas, and what memory a large file takes.

    python -m benchmarks.facts_speed [--million 10] [--large 100] [--no-stream]

The fixes are the held world's clean days, copied under further names; a fix each 5-10 s when moving. Everything is held
to one core, the tools too, but for the rows that say otherwise. Every row is the best of two runs, but the large
file's, which runs once in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.cores import hold_to_one, on_all
from benchmarks.stops.environments import PEERS, python_of
from benchmarks.stops.held.world import make
from benchmarks.stops.peers import peer_run
from ingestion.facts.build import facts_of
from ingestion.facts.canonical import canonicalise
from ingestion.facts.files import build_file
from ingestion.facts.kernel import arrivals
from ingestion.facts.rules import load_rules
from parked.settings import load_settings

ROWS_IN_GROUP = 1_000_000


def write_copies(days: pa.Table, copies: int, path: Path) -> int:
    """``days`` (by device and time) under ``copies`` sets of names, in order, in row groups of about a million."""
    names = days["device_id"].combine_chunks().dictionary_encode()
    rows = 0
    with pq.ParquetWriter(path, days.schema) as writer:
        for copy in range(copies):
            renamed = pc.binary_join_element_wise(f"{copy:04d}", names.dictionary, "-")
            devices = pa.DictionaryArray.from_arrays(names.indices, renamed).cast(pa.string())
            writer.write_table(days.set_column(0, days.schema.field(0), devices), row_group_size=ROWS_IN_GROUP)
            rows += days.num_rows
    return rows


def best(run: Callable[[], object], times: int = 2) -> float:
    """Seconds of the fastest run."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        spent.append(time.perf_counter() - began)
    return min(spent)


def peak_gb() -> float:
    """Peak resident memory of this process (getrusage would count what the parent held when it forked)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", type=float, default=10.0, help="fixes of the middle-sized file")
    parser.add_argument("--large", type=float, default=100.0, help="fixes of the large file; 0: none")
    parser.add_argument("--no-stream", action="store_true")
    parser.add_argument(
        "--one", nargs=2, metavar=("IN", "OUT"), help="build one file, print its seconds and peak memory"
    )
    options = parser.parse_args()
    cores = hold_to_one()
    rules = load_rules()
    if options.one:
        began = time.perf_counter()
        build_file(Path(options.one[0]), None, Path(options.one[1]), rules, workers=1)
        print(f"{time.perf_counter() - began:.2f} {peak_gb():.2f}")
        return
    folder = load_settings().home / "bench" / "speed"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _measure(folder, options, cores)
    finally:
        shutil.rmtree(folder)
    if not options.no_stream:
        print("\nstreaming, in order of arrival:", flush=True)
        subprocess.run([sys.executable, "-m", "benchmarks.stream_facts"], check=True)


def _measure(folder: Path, options: argparse.Namespace, cores: set[int]) -> None:
    rules = load_rules()
    days = make("clean", phones=200, seed=2026).fixes.sort_by([("device_id", "ascending"), ("event_time", "ascending")])
    days = days.combine_chunks()
    small, middle, mixed, out = (folder / f"{n}.parquet" for n in ("small", "middle", "mixed", "facts"))
    pq.write_table(days, small)
    peers: dict[str, float] = {}
    together = ""
    for peer in PEERS:
        if peer.name in ("trackintel", "movingpandas"):
            python = python_of(peer, folder.parent / "peers")
            if isinstance(python, Path):
                _, took, fixes = peer_run(peer, python)(small, peer.most_phones)
                peers[peer.name] = fixes / took
                if peer.name == "trackintel" and len(cores) > 1:
                    with on_all(cores):
                        _, took, fixes = peer_run(peer, python, len(cores))(small, peer.most_phones)
                    together = f"; trackintel in {len(cores)} jobs on {len(cores)} cores {fixes / took:,.0f}"
    print("tools alone, fixes/s: " + ", ".join(f"{name} {rate:,.0f}" for name, rate in peers.items()) + together + "\n")
    print(f"| what | fixes | s | fixes/s | {' | '.join('x ' + name for name in peers)} |")
    print("|" + "---|" * (4 + len(peers)))

    def row(what: str, fixes: int, seconds: float) -> None:
        ratios = " | ".join(f"{fixes / seconds / rate:,.0f}" for rate in peers.values())
        print(f"| {what} | {fixes:,} | {seconds:.2f} | {fixes / seconds:,.0f} | {ratios} |", flush=True)

    records = canonicalise(days, None)
    facts_of(records, rules)
    row(
        "kernel: records to fact rows",
        days.num_rows,
        best(lambda: arrivals.build(records.bounds, records.records, rules.record())),
    )
    row("kernel and facts table", days.num_rows, best(lambda: facts_of(records, rules)))
    fixes = write_copies(days, max(1, round(options.million * 1e6 / days.num_rows)), middle)
    row("reading the Parquet file alone (the floor)", fixes, best(lambda: pq.read_table(middle, use_threads=False)))

    def rows(what: str, source: Path, fixes: int) -> None:
        row(what, fixes, best(lambda: build_file(source, None, out, rules, workers=1)))
        if len(cores) > 1:
            with on_all(cores):
                seconds = best(lambda: build_file(source, None, out, rules, workers=len(cores)))
            row(f"the same, on {len(cores)} cores", fixes, seconds)

    rows("Parquet file to facts file, sorted", middle, fixes)
    table = pq.read_table(middle)
    rng = np.random.default_rng(2026)
    order = np.concatenate([np.arange(fixes), rng.choice(fixes, fixes // 20, replace=False)])
    rng.shuffle(order)
    pq.write_table(table.take(pa.array(order)), mixed, row_group_size=ROWS_IN_GROUP)
    del table
    rows("Parquet file to facts file, shuffled, 5 % twice", mixed, len(order))
    mixed.unlink()
    middle.unlink()
    if options.large:
        large = folder / "large.parquet"
        fixes = write_copies(days, max(1, round(options.large * 1e6 / days.num_rows)), large)
        size = large.stat().st_size / 2**30
        command = [sys.executable, "-m", "benchmarks.facts_speed", "--one", str(large), str(out)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        row(f"a file of {size:.1f} GB, sorted: peak memory {said[1]} GB", fixes, float(said[0]))


if __name__ == "__main__":
    main()
