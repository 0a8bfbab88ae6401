"""``docs/real-drives.md``: the stop engine on real drives, its failures one by one. Nothing is tuned here.

python -m benchmarks.real_report [--out docs/real-drives.md]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.real_drives import Drives, Found, find, load, standing
from benchmarks.real_goal import Changes, measure
from benchmarks.real_misses import misses
from benchmarks.real_plain import plain_errors
from benchmarks.real_truth import real_data
from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from ingestion.raw.ingest import ingest_paths
from ingestion.raw.run import Counts
from parked.clock import system_clock
from parked.opsdb.engine import open_database
from parked.settings import load_settings

HEAD = """# Real drives

Written by `python -m benchmarks.real_report` (`make bench-real`) with rules {rules}; the data is not ours to ship
(`PARKED_REAL_DATA` names its folder). Thresholds were set on MobilityNet, goal and simulated phones, never on
start2park.

A spot counts as found where a `vehicle_left` fact stands within 50 m and 2 min of it. Errors are those of the nearest
fact within 2 min; a spot without one counts as infinitely far.

| source | spots | within 50 m | place error, median / p90 | time error, p90 | candidates |
|---|---|---|---|---|---|
"""


MISSES = """
## Misses, one by one

What the phone sent around the tap, measured, not judged. Where it reads "tapped while rolling", the phone moved at
that pace over the 30 s before the tap, and a fact "after" it lies where the car came to stand: the tap was early.
"""


def main() -> None:
    """Write the page, or print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="file to write; none: print")
    options = parser.parse_args()
    folder = real_data()
    if folder is None:
        raise SystemExit("the shared real data is not beside this checkout; set PARKED_REAL_DATA to its folder")
    page = report(folder)
    if options.out:
        options.out.write_text(page, encoding="utf-8")
    else:
        print(page)


def report(folder: Path) -> str:
    """The page, from the shared data in ``folder``."""
    rules = load_rules()
    text, failures = HEAD.format(rules=rules.version), []
    with tempfile.TemporaryDirectory() as scratch:
        for drives in load(folder, Path(scratch)):
            facts = build_facts(drives.fixes, drives.motion, rules)
            for name, spots in _views(drives):
                found = find(name, facts, spots)
                text += row(name, found.errors_m, found.errors_s, str(_candidates(found, drives, facts)))
                failures.append((found, misses(drives.fixes, standing(facts), spots, found.errors_m, found.errors_s)))
            if drives.name == "start2park":
                plain = plain_errors(drives.fixes, drives.spots)
                text += row("start2park, the plain rule", *plain, "one a trip")
        emission = _emission(folder / "emission", Path(scratch))
    text += "\nThe plain rule: the last fix whose median speed, over it and the two before, exceeds 10 km/h.\n"
    text += _goal(measure(folder / "goal", rules, standing))
    text += _mess(emission)
    text += MISSES
    for found, missed in failures:
        text += f"\n### {found.name}: {len(missed)} of {found.spots}\n"
        if missed:
            text += "\n| device or trip | tapped, UTC | nearest fact | what the phone sent |\n|---|---|---|---|\n"
            text += "\n".join(miss.line() for miss in missed) + "\n"
    return text


def _views(drives: Drives) -> list[tuple[str, list]]:  # type: ignore[type-arg]
    """Spots by platform where the source has several."""
    if not drives.platforms or len(set(drives.platforms.values())) < 2:
        return [(drives.name, drives.spots)]
    of, kinds = drives.platforms, sorted(set(drives.platforms.values()))
    return [(f"{drives.name}, {kind}", [s for s in drives.spots if of.get(s.device) == kind]) for kind in kinds]


def _candidates(found: Found, drives: Drives, facts) -> int:  # type: ignore[no-untyped-def]
    kind = found.name.rpartition(", ")[2]
    devices = [d for d in standing(facts)["device_id"].to_pylist() if drives.platforms.get(d, kind) == kind]
    return len(devices) if ", " in found.name else found.candidates


def row(name: str, metres: Sequence[float], seconds: Sequence[float], candidates: str) -> str:
    """A row of the table."""
    m, s = np.array(metres), np.array(seconds)

    def quantile(values: np.ndarray, share: float) -> float:
        return float(np.quantile(values, share, method="inverted_cdf"))

    return (
        f"| {name} | {len(m)} | {np.mean(m <= 50.0):.1%} | {quantile(m, 0.5):.0f} m / {quantile(m, 0.9):.0f} m | "
        f"{quantile(s, 0.9):.0f} s | {candidates} |\n"
    )


def _goal(changes: Changes) -> str:
    def listed(counts: dict[str, int]) -> str:
        return "; ".join(f"{why}: {n}" for why, n in sorted(counts.items(), key=lambda item: -item[1]))

    return f"""
## goal: delivery agents, Driving to OnFoot

{changes.true:,} labelled changes in 600 chunks of about 6.5 min; {changes.facts:,} facts; {changes.found:,} pairs
within 15 s: recall {changes.found / changes.true:.1%}, precision {changes.found / changes.facts:.1%}.

* Missed: {listed(changes.missed)}.
* Without a change: {listed(changes.wrong)}.

OnFoot includes sitting in the stopped van, and there is no motion activity to tell; a fact is only made where a leg
at vehicle speed ends.
"""


def _emission(folder: Path, scratch: Path) -> Counts:
    settings = load_settings(home=scratch / "emission", database_url="")
    engine = open_database(settings.database)
    return ingest_paths([folder], settings=settings, engine=engine, clock=system_clock).total


def _mess(counts: Counts) -> str:
    kept = counts.accepted + counts.quarantined + counts.duplicates
    verdict = "nothing is lost" if kept == counts.read else f"{counts.read - kept:,} ARE LOST"
    return f"""
## e-mission: the whole mess

{counts.read:,} records read = {counts.accepted:,} accepted + {counts.quarantined:,} quarantined +
{counts.duplicates:,} duplicates: {verdict}. {counts.ignored:,} more are no measurements (tracker states and the like).
"""


if __name__ == "__main__":
    main()
