"""How honest ``vehicle_left``'s uncertainty is: ``python -m benchmarks.stops.uncertainty [--phones N] [--seed S]``.

Each place where a car was truly left is matched to the fact nearest in time, within 2 min; the share of places within
the stated uncertainty should be the level that ``parked/schemas.py`` states for it (68 %). ``--tune``: the held
world's seeds that may be looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from benchmarks.stops.held.world import make as held_world
from benchmarks.stops.world import World, make
from ingestion.facts.asof import as_of
from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from parked.geo import distances_m

WITHIN_S: Final = 120.0
LISTED: Final = ("clean", "jumps", "drift", "gaps", "sleep", "all")
"""Duplicates and shuffled rows give the same facts as clean."""

Floats = npt.NDArray[np.float64]


def matched(facts: pa.Table, parked: pd.DataFrame) -> pd.DataFrame:
    """True places and what was said of each: ``error_m``, ``stated_m``, ``garage`` or not.

    Places without a fact in time are left out. ``parked``: device_id, at (s since the epoch), lat, lon. A fact answers
    for one place, the nearest in time.
    """
    left = facts.to_pandas()
    left = left[left["kind"] == "vehicle_left"]
    said = pd.DataFrame(
        {
            "device_id": left["device_id"],
            "said_at": left["started_at"].astype("int64") / 1e6,
            "said_lat": left["lat"],
            "said_lon": left["lon"],
            "stated_m": left["uncertainty_m"],
            "garage": left["reasons"].str.contains("garage"),
        }
    ).reset_index(names="fact")
    pairs = parked.reset_index(names="place").merge(said, on="device_id")
    pairs = pairs.assign(apart_s=(pairs["said_at"] - pairs["at"]).abs())
    pairs = pairs[pairs["apart_s"] <= WITHIN_S].sort_values(["apart_s", "place"])
    pairs = pairs.drop_duplicates("place").drop_duplicates("fact")
    error = distances_m(*(pairs[name].to_numpy() for name in ("lat", "lon", "said_lat", "said_lon")))
    said_of_it = {name: pairs[name].to_numpy() for name in ("stated_m", "garage")}
    return pd.DataFrame({"error_m": error, **said_of_it})


def coverage(errors: pd.DataFrame, times: float = 1.0) -> float:
    """Share of places within ``times`` the stated uncertainty."""
    return float((errors["error_m"] <= times * errors["stated_m"]).mean())


def by_stated(errors: pd.DataFrame, parts: int = 10) -> pd.DataFrame:
    """As many places in each part, by the uncertainty stated: its range (m), coverage, median error (m)."""
    order = errors.sort_values("stated_m", kind="stable").reset_index(drop=True)
    part = np.arange(len(order)) * parts // max(1, len(order))
    rows = [
        (group["stated_m"].min(), group["stated_m"].max(), len(group), coverage(group), group["error_m"].median())
        for _, group in order.groupby(part)
    ]
    return pd.DataFrame(rows, columns=["from_m", "to_m", "places", "within", "median_error_m"])


def print_heading(columns: Sequence[str]) -> None:
    """Of a table with a row a world: its ``columns`` with motion activity, and again for fixes alone."""
    names = ["world", "places", *columns, *(f"fixes alone: {name}" for name in columns)]
    print("| " + " | ".join(names) + " |")
    print("|" + "---|" * len(names))


def main() -> None:
    """Print a row a variant of each world, then the tenths of all of them together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phones", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tune", action="store_true", help="of the held world: its phones and cities to look at")
    parser.add_argument("--no-motion", action="store_true", help="fixes alone")
    options = parser.parse_args()
    rules = load_rules()

    def world(name: str, variant: str) -> World:
        if name == "own":
            return make(variant, phones=options.phones, seed=options.seed)
        return held_world(variant, phones=options.phones, seed=options.seed, tune=options.tune)

    for name in ("own", "held"):
        print(f"| {name} world | places | found in time | stated, median | error, median | within 1 x | within 2 x |")
        print("|---|---|---|---|---|---|---|")
        found = []
        for variant in LISTED:
            made = world(name, variant)
            facts = as_of(build_facts(made.fixes, None if options.no_motion else made.motion, rules))
            errors = matched(facts, made.parked)
            found.append(errors)
            middle = errors.median()
            print(
                f"| {variant} | {len(made.parked):,} | {len(errors) / max(1, len(made.parked)):.1%} | "
                f"{middle['stated_m']:.1f} m | {middle['error_m']:.1f} m | {coverage(errors):.1%} | "
                f"{coverage(errors, 2.0):.1%} |"
            )
        print(f"\n| {name} world, stated | places | within 1 x | error, median |\n|---|---|---|---|")
        for row in by_stated(pd.concat(found)).itertuples():
            stated = f"{row.from_m:.1f}-{row.to_m:.1f} m"
            print(f"| {stated} | {row.places:,} | {row.within:.1%} | {row.median_error_m:.1f} m |")
        print()


if __name__ == "__main__":
    main()
