"""Peak memory of ``parked facts build`` of everything ingested, as phones become more; all of raw at once beside it.

    python -m benchmarks.facts_memory [--million 1 4 16] [--uploads 4] [--streamed-only]

The fixes are the held world's clean days, copied under further names. Each upload holds a part of every phone's fixes,
as a day's uploads do, so no file of raw is in order of device. Both builds run in processes of their own, on the same
home, and must write the same bytes.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from benchmarks.facts_speed import peak_gb, write_copies
from benchmarks.stops.held.world import make
from ingestion.facts.build import build_facts, facts_of
from ingestion.facts.raw import raw_records
from ingestion.facts.rebuild import rebuild
from ingestion.facts.rules import load_rules
from ingestion.facts.store import facts_file, write_facts
from ingestion.raw.ingest import ingest_paths
from ingestion.raw.log import RawLog
from parked.clock import fixed_clock
from parked.files import sha256_of
from parked.opsdb.engine import open_database
from parked.settings import Settings, load_settings

WAYS = ("streamed", "at once")
LAG_S = 5.0
"""Fixes count as received so long after they were measured, as from living phones: facts have all their revisions."""
AFTERWARDS = datetime(2027, 2, 1, tzinfo=UTC)
"""When the uploads come: the world's days lie before it, so none is refused as being of the future."""


def build(settings: Settings, way: str) -> None:
    """Build the stored facts: streamed, as the command does, or of all of raw in memory at once."""
    raw, rules = RawLog(settings, open_database(settings.database)), load_rules()
    if way == "streamed":
        rebuild(settings, raw, rules)
        return
    position = raw.position()
    write_facts(settings, rules, [facts_of(raw_records(raw, upto=position), rules)], position)


def ingest(settings: Settings, days: pa.Table, copies: int, uploads: int) -> int:
    """Fill a home; how many fixes."""
    files, rows = [], 0
    for i in range(uploads):
        files.append(settings.home.parent / f"upload-{i}.parquet")
        rows += write_copies(days.filter(pa.array(np.arange(days.num_rows) % uploads == i)), copies, files[-1])
    database, clock = open_database(settings.database), fixed_clock(AFTERWARDS)
    taken = ingest_paths(files, settings=settings, engine=database, clock=clock, as_if_live_lag_s=LAG_S).total
    assert taken.accepted == rows, taken
    for file in files:
        file.unlink()
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", type=float, nargs="+", default=[1.0, 4.0, 16.0], help="fixes of each home")
    parser.add_argument("--uploads", type=int, default=4, help="files that the fixes come in")
    parser.add_argument("--streamed-only", action="store_true", help="for homes too large to be read at once")
    parser.add_argument("--one", nargs=2, metavar=("HOME", "WAY"), help="build once; print seconds and peak memory")
    options = parser.parse_args()
    if options.one:
        began = time.perf_counter()
        build(load_settings(home=options.one[0]), options.one[1])
        print(f"{time.perf_counter() - began:.2f} {peak_gb():.2f}")
        return
    days = make("clean", phones=200, seed=2026).fixes.sort_by([("device_id", "ascending"), ("event_time", "ascending")])
    days = days.combine_chunks()
    build_facts(days, None, load_rules())  # compiled
    ways = WAYS[:1] if options.streamed_only else WAYS
    print(f"| fixes | phones | {' | '.join(f'{way}: peak GB | s' for way in ways)} |\n|" + "---|" * (2 + 2 * len(ways)))
    for million in options.million:
        folder = load_settings().home / "bench" / "memory"
        folder.mkdir(parents=True)
        try:
            settings = load_settings(home=folder / "home")
            copies = max(1, round(million * 1e6 / days.num_rows))
            fixes = ingest(settings, days, copies, options.uploads)
            said, files = [], set()
            for way in ways:
                command = [sys.executable, "-m", "benchmarks.facts_memory", "--one", str(settings.home), way]
                seconds, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
                said += [peak, seconds]
                files.add(sha256_of(facts_file(settings, load_rules().version)))
            if len(files) != 1:
                raise SystemExit("the two ways wrote different facts")
            print(f"| {fixes:,} | {copies * 200:,} | {' | '.join(said)} |", flush=True)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
