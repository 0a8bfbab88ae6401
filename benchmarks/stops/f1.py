"""Our stops against truth, by variant: ``python -m benchmarks.stops.f1 [--phones N] [--seed S] [--failures]``."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

import numpy as np

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
    parser.add_argument("--failures", action="store_true", help="name what is wrong and missed")
    options = parser.parse_args()
    rules = load_rules()
    print("| variant | stays | F1 | precision | recall | arrival, median / p90 | departure, median / p90 |")
    print("|---|---|---|---|---|---|---|")
    for variant in options.variants.split(","):
        world = make(variant, phones=options.phones, seed=options.seed)
        facts = build_facts(world.fixes, world.motion, rules)
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
