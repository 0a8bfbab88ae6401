"""How honest ``uncertainty_m`` is where the car stands a few steps from the door.

``python -m benchmarks.stops.near_doors [--phones N] [--seed S] [--tune]``. A row a world: doors 5, 15 or 30 m from the
car, long and short stays, fixes every 1, 5, 5-10 or 60 s, indoor drift; beside them the held world as it is, and the
real drives where they are at hand. Each with motion activity (of every second phone) and with fixes alone: the share of
true places within the stated uncertainty (``parked/schemas.py`` states 68 %), the median error, the median stated.
``--tune``: the phones and cities to look at, and no real drives.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pandas as pd

from benchmarks.real_drives import load
from benchmarks.real_truth import real_data
from benchmarks.stops.held.doors import LONG_S, SHORT_S, behind_doors
from benchmarks.stops.held.sampling import USUAL_S
from benchmarks.stops.held.world import Held, people
from benchmarks.stops.uncertainty import LISTED, coverage, matched, print_heading
from benchmarks.stops.world import World
from ingestion.facts.asof import as_of
from ingestion.facts.build import build_facts
from ingestion.facts.rules import Rules, load_rules

DOORS_M: Final = (5.0, 15.0, 30.0)
WAYS: Final = (
    ("long stays", LONG_S, USUAL_S, "clean"),
    ("short stays", SHORT_S, USUAL_S, "clean"),
    ("long, every 1 s", LONG_S, (1.0, 1.0), "clean"),
    ("long, every 5 s", LONG_S, (5.0, 5.0), "clean"),
    ("long, every 60 s", LONG_S, (60.0, 60.0), "clean"),
    ("long, indoor drift", LONG_S, USUAL_S, "drift"),
)


def worlds(phones: int, seed: int, *, tune: bool) -> Iterator[tuple[str, World]]:
    """Each world and what it is called."""
    for variant in LISTED:
        yield f"held, {variant}", _world(people(phones, seed, tune=tune), variant)
    for door in DOORS_M:
        for name, stay_s, every_s, variant in WAYS:
            life = behind_doors(door, stay_s)
            held = Held.make(phones, seed, tune=tune, life=life, every_s=every_s)
            yield f"door at {door:.0f} m, {name}", _world(held, variant)
    folder = real_data()
    if folder is not None and not tune:
        with tempfile.TemporaryDirectory() as scratch:
            for drives in load(folder, Path(scratch)):
                spots = [(spot.device, spot.at_us / 1e6, spot.lat, spot.lon) for spot in drives.spots]
                parked = pd.DataFrame(spots, columns=["device_id", "at", "lat", "lon"])
                yield drives.name, World(drives.fixes, drives.motion, pd.DataFrame(), parked)


def _world(held: Held, variant: str) -> World:
    return World(held.fixes(variant), held.motion(), held.stays(), held.parked())


def row(name: str, world: World, rules: Rules) -> str:
    """A row of the table, with motion activity and without."""
    cells = [name, f"{len(world.parked):,}"]
    for motion in (world.motion, None):
        errors = matched(as_of(build_facts(world.fixes, motion, rules)), world.parked)
        middle = errors.median()
        cells += [f"{len(errors) / max(1, len(world.parked)):.0%}", f"{coverage(errors):.1%}"]
        cells += [f"{middle['error_m']:.1f} m", f"{middle['stated_m']:.1f} m"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phones", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tune", action="store_true", help="phones and cities to look at")
    options = parser.parse_args()
    rules = load_rules()
    print_heading(["found in time", "within 1 x", "error", "stated"])
    for name, world in worlds(options.phones, options.seed, tune=options.tune):
        print(row(name, world, rules), flush=True)


if __name__ == "__main__":
    main()
