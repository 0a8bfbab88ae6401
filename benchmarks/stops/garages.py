"""What is told of cars left in underground garages, and of silences that are none.

``python -m benchmarks.stops.garages [--phones N] [--seed S] [--tune | --held]``. A row a world: garages that are silent
for 60-300 s, the driver staying in the house or walking on; then the street, with fixes lost at lights, in tunnels and
around where the car is left, and phones with a fix a minute. Of each: the share of true places with a fact within
2 min, of these the share told as garage, the share within the stated uncertainty (``parked/schemas.py`` states 68 %),
the median error, the median stated, and how many facts there are for each true place. ``--tune``: the phones and cities
to look at; ``--held``: the others.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

import pandas as pd

from benchmarks.stops.held.doors import LONG_S, behind_doors
from benchmarks.stops.held.sampling import USUAL_S
from benchmarks.stops.held.underground import (
    STAYS,
    WALKS_ON,
    around_the_end,
    at_lights,
    in_garages,
    in_the_dark,
    in_tunnels,
    without,
)
from benchmarks.stops.held.world import Held
from benchmarks.stops.uncertainty import coverage, matched, print_heading
from ingestion.facts.asof import as_of
from ingestion.facts.build import build_facts
from ingestion.facts.rules import Rules, load_rules

SILENT_S: Final = (60.0, 75.0, 90.0, 120.0, 150.0, 200.0, 300.0)
RHYTHMS: Final = {"every 1 s": (1.0, 1.0), "every 5-10 s": USUAL_S, "every 20 s": (20.0, 20.0)}
OTHERS: Final = {
    "street": None,
    "street, lights lose fixes": at_lights,
    "street, tunnels": in_tunnels,
    "street, silent around the end": around_the_end,
}


def worlds(phones: int, seed: int, *, tune: bool) -> Iterator[tuple[str, Held]]:
    """Each world and what it is called."""
    for then in (STAYS, WALKS_ON):
        for silent in SILENT_S:
            held = Held.make(phones, seed, tune=tune, life=in_garages(silent, then))
            yield f"garage, {silent:.0f} s, {then}", without(held, in_the_dark, indoors=then == STAYS)
        for name, every in RHYTHMS.items():
            if every != USUAL_S:
                held = Held.make(phones, seed, tune=tune, life=in_garages(120.0, then), every_s=every)
                yield f"garage, 120 s, {then}, {name}", without(held, in_the_dark, indoors=then == STAYS)
    for name, where in OTHERS.items():
        held = Held.make(phones, seed, tune=tune, life=behind_doors(60.0, LONG_S))
        yield name, held if where is None else without(held, where)
    for every_s in (30.0, 60.0):
        held = Held.make(phones, seed, tune=tune, life=behind_doors(60.0, LONG_S), every_s=(every_s, every_s))
        yield f"street, every {every_s:.0f} s", held
        yield f"street, every {every_s:.0f} s, lights lose fixes", without(held, at_lights)


def row(name: str, held: Held, rules: Rules) -> str:
    """A row of the table, with motion activity and without."""
    truth = held.parked()
    cells = [name, f"{len(truth):,}"]
    for motion in (held.motion(), None):
        facts = as_of(build_facts(held.fixes("clean"), motion, rules))
        errors = matched(facts, truth)
        left = facts.to_pandas()
        left = left[left["kind"] == "vehicle_left"]
        told: pd.Series[bool] = left["reasons"].str.contains("garage")
        cells += [f"{len(errors) / max(1, len(truth)):.0%}", f"{errors['garage'].mean():.1%}"]
        cells += [f"{coverage(errors):.1%}", f"{errors['error_m'].median():.0f} m"]
        cells += [f"{errors['stated_m'].median():.0f} m", f"{len(left) / max(1, len(truth)):.2f} ({told.mean():.1%})"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phones", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--tune", action="store_true", help="phones and cities to look at")
    which.add_argument("--held", action="store_true", help="the others (so it is without a word, too)")
    options = parser.parse_args()
    rules = load_rules()
    print_heading(["found", "told as garage", "within 1 x", "error", "stated", "facts a place (garages)"])
    for name, held in worlds(options.phones, options.seed, tune=options.tune):
        print(row(name, held, rules), flush=True)


if __name__ == "__main__":
    main()
