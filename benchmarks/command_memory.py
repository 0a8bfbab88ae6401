"""Peak memory of the commands that go on from stored facts or compare them, as phones become more.

    python -m benchmarks.command_memory [--million 4 16] [--uploads 4]

Homes as in ``facts_memory``: facts are built of the first 96 % of each phone's day, and each of the two updates takes
in 2 % more (the first makes the states from raw, the second has them). Every command runs in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.facts_memory import build, ingest
from benchmarks.facts_speed import peak_gb
from benchmarks.stops.held.world import make
from cli.main import main as parked
from ingestion.facts.build import build_facts
from ingestion.facts.rules import PACKAGED, load_rules
from parked.settings import load_settings


def shares(days: pa.Table, ends: tuple[float, ...]) -> list[pa.Table]:
    """``days`` (by device and time) cut at shares of each phone's fixes."""
    phones = np.asarray(days["device_id"].combine_chunks().dictionary_encode().indices)
    counts = np.bincount(phones)
    place = (np.arange(days.num_rows) - np.repeat(np.cumsum(counts) - counts, counts)) / np.repeat(counts, counts)
    return [
        days.filter(pa.array((lo <= place) & (place < hi))) for lo, hi in zip((0.0, *ends), (*ends, 1.0), strict=True)
    ]


def other_rules(path: Path) -> Path:
    """Rules v1 but for one number, as a file."""
    text = (PACKAGED / "v1.toml").read_text(encoding="utf-8").replace('version = "v1"', 'version = "other"')
    path.write_text(text.replace("silence_s = 180.0", "silence_s = 240.0"), encoding="utf-8")
    return path


def measured(home: Path, words: list[str]) -> str:
    """Run a command on a home: its peak in GB and seconds."""
    command = [sys.executable, "-m", "benchmarks.command_memory", "--one", *words]
    environment = os.environ | {"PARKED_HOME": str(home)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return done.stderr.splitlines()[-1]


def run(words: list[str]) -> None:
    """Run a command in this process; the last line of stderr tells what it took."""
    sys.argv = ["parked", *words]
    began = time.perf_counter()
    try:
        parked()
    except SystemExit as ended:
        if ended.code:
            raise
    print(f"{peak_gb():.2f} | {time.perf_counter() - began:.1f}", file=sys.stderr)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", type=float, nargs="+", default=[4.0, 16.0], help="fixes of each home")
    parser.add_argument("--uploads", type=int, default=4, help="files that the first fixes come in")
    parser.add_argument("--one", nargs=argparse.REMAINDER, metavar="COMMAND", help="run a command; print what it took")
    options = parser.parse_args()
    if options.one:
        run(options.one)
        return
    days = make("clean", phones=200, seed=2026).fixes.sort_by([("device_id", "ascending"), ("event_time", "ascending")])
    days = days.combine_chunks()
    build_facts(days, None, load_rules())  # compiled
    first, *later = shares(days, (0.96, 0.98))
    phone = f"0000-{days['device_id'][0].as_py()}"
    print("| fixes | command | peak GB | s |\n|" + "---|" * 4)
    for million in options.million:
        folder = load_settings().home / "bench" / "commands"
        folder.mkdir(parents=True)
        try:
            settings = load_settings(home=folder / "home")
            copies = max(1, round(million * 1e6 / days.num_rows))
            fixes = ingest(settings, first, copies, options.uploads)
            build(settings, "streamed")
            for part in later:
                fixes += ingest(settings, part, copies, 1)
                print(f"| {fixes:,} | facts update | {measured(settings.home, ['facts', 'update'])} |", flush=True)
            for words in (
                ["facts", "replay", "--device", phone],
                ["facts", "diff", "--rules", "v1", str(other_rules(folder / "other.toml")), "--json"],
                ["facts", "show", "--device", phone, "--json"],
                ["features", "build"],
            ):
                print(f"| {fixes:,} | {' '.join(words[:2])} | {measured(settings.home, words)} |", flush=True)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
