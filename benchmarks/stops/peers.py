"""Our stop engine and published tools on the same files in the same run: ``python -m benchmarks.stops.peers``.

Every tool gets the same Parquet file (fixes alone, no motion activity) of every variant, on one core. Slow tools get
the first phones of it, as the table says, and are scored on those. Peers' seconds are those of the tool alone: reading
the file, dropping what was sent twice, and sorting are done for them and not counted; ours count everything between the
table read and the facts table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.cores import hold_to_one
from benchmarks.stops import peer_tools
from benchmarks.stops.environments import PEERS, Peer, python_of
from benchmarks.stops.held.world import make as held_world
from benchmarks.stops.score import last_seen, score, stops_of
from benchmarks.stops.traccar import traccar
from benchmarks.stops.world import VARIANTS
from benchmarks.stops.world import make as our_world
from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from parked.settings import load_settings

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
Found = tuple[pd.DataFrame, float, int]
"""stops (device_id, arrived, left), seconds, fixes"""


def ours(path: Path, _: int) -> Found:
    """Facts of the file's fixes."""
    fixes = pq.read_table(path)
    began = time.perf_counter()
    facts = build_facts(fixes, None, load_rules())
    took = time.perf_counter() - began
    return stops_of(facts, last_seen(fixes)), took, fixes.num_rows


def ported(path: Path, _: int) -> Found:
    """Traccar's rule."""
    fixes = peer_tools.read(path)
    took, stops = traccar(fixes)
    return stops, took, len(fixes)


def peer_run(peer: Peer, python: Path, jobs: int = 1) -> Callable[[Path, int], Found]:
    """How to run a peer on a file, in so many ``jobs`` if it can; TimeoutExpired where that takes over ten minutes."""

    def run(path: Path, phones: int) -> Found:
        part, out = path.with_suffix(f".{phones}.parquet"), path.with_suffix(f".{peer.name}.parquet")
        table = pq.read_table(path)
        names = sorted(pc.unique(table["device_id"]).to_pylist())[:phones]
        pq.write_table(table.filter(pc.is_in(table["device_id"], pa.array(names))), part)
        script = str(Path(peer_tools.__file__))
        got = subprocess.run(
            [str(python), script, peer.name, str(part), str(out), str(jobs)],
            env={**os.environ, **ONE_THREAD},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if got.returncode:
            raise ValueError((got.stderr.strip().splitlines() or ["no word"])[-1])
        said = json.loads(got.stdout.strip().splitlines()[-1])
        return pd.read_parquet(out), said["seconds"], said["fixes"]

    return run


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phones", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--world", choices=["held", "tuned"], default="held", help="held: nothing was tuned on it")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--tools", default="", help="only these, comma-separated")
    options = parser.parse_args()
    hold_to_one()
    home = load_settings().home / "bench"
    made = held_world if options.world == "held" else our_world
    print(f"{options.world} world, {options.phones} phones a day each, seed {options.seed}; one core")
    print("F1 of stops >= 5 min, matched one to one at IoU >= 0.5\n")
    folder = home / "stops" / f"{options.world}-{options.seed}-{options.phones}"
    folder.mkdir(parents=True, exist_ok=True)
    stays = pd.DataFrame()
    variants = options.variants.split(",")
    for variant in variants:
        world = made(variant, phones=options.phones, seed=options.seed)
        pq.write_table(world.fixes, folder / f"{variant}.parquet")
        stays = world.stays
    tools: list[tuple[str, Callable[[Path, int], Found], int, str]] = [
        ("ours", ours, options.phones, f"rules {load_rules().version}"),
        ("Traccar's rule", ported, options.phones, "ported, new logic: 100 m, 5 min"),
    ]
    ours(folder / f"{variants[0]}.parquet", 0)  # compiled and warm
    missing = []
    for peer in PEERS:
        if options.tools and peer.name not in options.tools.split(","):
            continue
        python = python_of(peer, home / "peers")
        if isinstance(python, str):
            missing.append(f"| {peer.package} | not installable: {python} |")
        else:
            tools.append((peer.package, peer_run(peer, python), min(peer.most_phones, options.phones), peer.settings))
    print(
        "| tool | phones | "
        + " | ".join(variants)
        + " | arrival s, median / p90 (clean; all) | departure s | fixes/s |"
    )
    print("|" + "---|" * (len(variants) + 5))
    for name, run, phones, _ in tools:
        print(_row(name, run, phones, folder, variants, stays), flush=True)
    print("\n".join(missing))
    print("\nparameters: " + "; ".join(f"{name}: {text}" for name, _, _, text in tools))


def _row(
    name: str,
    run: Callable[[Path, int], Found],
    phones: int,
    folder: Path,
    variants: list[str],
    stays: pd.DataFrame,
) -> str:
    f1, fixes, spent = [], 0, 0.0
    errors: dict[str, tuple[str, str]] = {}
    some = sorted(stays["device_id"].unique())[:phones]
    for variant in variants:
        try:
            stops, took, given = run(folder / f"{variant}.parquet", phones)
        except subprocess.TimeoutExpired:
            f1.append("> 10 min")
            continue
        except ValueError as error:
            f1.append(f"failed: {str(error)[:60]}")
            continue
        result = score(stops, stays[stays["device_id"].isin(some)])
        f1.append(f"{result.f1:.3f}")
        fixes, spent = fixes + given, spent + took
        errors[variant] = (_spread(result.arrival_s), _spread(result.departure_s))
    shown = [errors[v] for v in ("clean", "all") if v in errors]
    arrivals, departures = ("; ".join(e[k] for e in shown) for k in (0, 1))
    speed = f"{fixes / spent:,.0f}" if spent else "-"
    return f"| {name} | {phones} | {' | '.join(f1)} | {arrivals} | {departures} | {speed} |"


def _spread(signed_s: np.ndarray) -> str:
    if not len(signed_s):
        return "-"
    middle, most = np.quantile(np.abs(signed_s), [0.5, 0.9])
    return f"{middle:.0f} / {most:.0f}"


if __name__ == "__main__":
    main()
