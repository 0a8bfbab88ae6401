"""Our stops against truth, by variant: ``python -m benchmarks.stops.f1 [--phones N] [--seed S] [--failures]``.

``--held`` measures on the world nothing was tuned on, ``--held --tune`` on its seeds that may be looked at.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

import numpy as np

from benchmarks.stops.held.world import make as held_world
from benchmarks.stops.score import last_seen, score, stops_of
from benchmarks.stops.world import VARIANTS, make
from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules


def main() -> None:
    """Print a row a variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phones", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--held", action="store_true", help="the world that nothing was tuned on")
    parser.add_argument("--tune", action="store_true", help="with --held: its phones and cities to look at")
    parser.add_argument("--no-motion", action="store_true", help="fixes alone, as the peers get them")
    parser.add_argument("--failures", action="store_true", help="name what is wrong and missed")
    options = parser.parse_args()
    rules = load_rules()
    print("| variant | stays | F1 | precision | recall | arrival, median / p90 | departure, median / p90 |")
    print("|---|---|---|---|---|---|---|")
    for variant in options.variants.split(","):
        if options.held:
            world = held_world(variant, phones=options.phones, seed=options.seed, tune=options.tune)
        else:
            world = make(variant, phones=options.phones, seed=options.seed)
        facts = build_facts(world.fixes, None if options.no_motion else world.motion, rules)
        result = score(stops_of(facts, last_seen(world.fixes)), world.stays)
        errors = [np.quantile(np.abs(e), [0.5, 0.9]) for e in (result.arrival_s, result.departure_s)]
        shown = " | ".join(f"{a:.0f} s / {b:.0f} s" for a, b in errors)
        print(
            f"| {variant} | {result.true} | {result.f1:.4f} | {result.matched / max(1, result.found):.3f} | "
            f"{result.matched / max(1, result.true):.3f} | {shown} |"
        )
        if options.failures:
            for name, rows in (("wrong", result.wrong), ("missed", result.missed)):
                for row in rows.itertuples():
                    a, b = (datetime.fromtimestamp(s, UTC).strftime("%H:%M:%S") for s in (row.arrived, row.left))
                    print(f"  {name} {row.device_id} {a}-{b} {getattr(row, 'reasons', '')}")


if __name__ == "__main__":
    main()
