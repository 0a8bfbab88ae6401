"""Real drives against their tapped parking spots: ``python -m benchmarks.real_drives [--model-home HOME]``.

Ingests start2park and MobilityNet with the product's own readers, builds facts, and looks for a ``vehicle_left`` fact
near each tapped spot. With a trained model's home, candidates are scored too.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.real_truth import Spot, mobilitynet_parkings, mobilitynet_spots, real_data, start2park_spots
from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from ingestion.raw.ingest import ingest_paths
from ingestion.raw.log import RawLog
from parked.clock import system_clock
from parked.geo import distance_m
from parked.opsdb.engine import open_database
from parked.schemas import FIXES, MOTION
from parked.settings import Settings, load_settings

WITHIN_M = 50.0
WITHIN_US = 120_000_000


@dataclass(frozen=True)
class Drives:
    """A source's records and truth."""

    name: str
    fixes: pa.Table
    motion: pa.Table
    spots: list[Spot]
    platforms: dict[str, str]
    """android or ios by device, where known"""


@dataclass(frozen=True)
class Found:
    """How the facts did on a source: ``errors_m`` and ``errors_s`` of the nearest fact within 2 min, a spot each."""

    name: str
    spots: int
    hits: int
    errors_m: list[float]
    errors_s: list[float]
    candidates: int

    @property
    def share(self) -> float:
        """Share of spots with a fact within 50 m and 2 min."""
        return self.hits / self.spots if self.spots else float("nan")


def load(folder: Path, home: Path) -> list[Drives]:
    """Ingest both sources into ``home`` (a scratch folder) and read their truth."""
    drives = []
    for name, path in (
        ("start2park", folder / "start2park" / "waypoints.csv"),
        ("mobilitynet", folder / "mobilitynet"),
    ):
        settings = load_settings(home=home / name, database_url="")
        raw = _ingested(settings, path)
        fixes, motion = raw.scan_fixes(), raw.scan_motion()
        if name == "start2park":
            spots = start2park_spots(folder / name)
        else:
            spots = mobilitynet_spots(mobilitynet_parkings(folder / name), fixes)
        kinds = fixes.group_by(["device_id", "platform"]).aggregate([]).to_pylist()
        platforms = {row["device_id"]: row["platform"] for row in kinds if row["platform"]}
        drives.append(Drives(name, fixes.select(FIXES.names), motion.select(MOTION.names), spots, platforms))
    return drives


def _ingested(settings: Settings, path: Path) -> RawLog:
    engine = open_database(settings.database)
    ingest_paths([path], settings=settings, engine=engine, clock=system_clock, as_if_live_lag_s=0.0)
    return RawLog(settings, engine)


def standing(facts: pa.Table) -> pa.Table:
    """Of every ``vehicle_left`` fact the last revision, retracted ones left out."""
    left = facts.filter(pc.equal(facts["kind"], "vehicle_left"))
    last = left.group_by("fact_id").aggregate([("revision", "max")]).rename_columns(["fact_id", "revision"])
    left = left.join(last, keys=["fact_id", "revision"], join_type="inner")
    return left.filter(pc.not_equal(left["status"], "RETRACTED"))


def find(name: str, facts: pa.Table, spots: Sequence[Spot]) -> Found:
    """Match spots to the facts that stand. An error of a spot without any fact within 2 min is infinite."""
    left = standing(facts)
    by_device: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    for row in left.select(["device_id", "started_at", "lat", "lon"]).to_pylist():
        by_device[row["device_id"]].append((round(row["started_at"].timestamp() * 1e6), row["lat"], row["lon"]))
    errors_m, errors_s = [], []
    for spot in spots:
        near = [
            (distance_m(spot.lat, spot.lon, lat, lon), abs(at - spot.at_us) / 1e6)
            for at, lat, lon in by_device[spot.device]
            if abs(at - spot.at_us) <= WITHIN_US
        ]
        metres, seconds = min(near, default=(float("inf"), float("inf")))
        errors_m.append(metres)
        errors_s.append(seconds)
    hits = sum(e <= WITHIN_M for e in errors_m)
    return Found(name, len(spots), hits, errors_m, errors_s, left.num_rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-home", type=Path, help="PARKED_HOME of a published model, to score candidates too")
    options = parser.parse_args()
    folder = real_data()
    if folder is None:
        raise SystemExit("the shared real data is not beside this checkout; set PARKED_REAL_DATA to its folder")
    print("| source | spots | found (50 m, 2 min) | place error, median / p90 | time error, p90 | candidates |")
    print("|---|---|---|---|---|---|")
    scored: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for drives in load(folder, Path(scratch)):
            facts = build_facts(drives.fixes, drives.motion, load_rules())
            found = find(drives.name, facts, drives.spots)
            m, s = np.array(found.errors_m), np.array(found.errors_s)
            print(
                f"| {found.name} | {found.spots} | {found.hits} ({found.share:.1%}) | {np.median(m):.1f} m / "
                f"{np.quantile(m, 0.9):.0f} m | {np.quantile(s, 0.9):.0f} s | {found.candidates} |"
            )
            if options.model_home:
                scored.append(_scores(drives, options.model_home))
    if scored:
        print("\n| source | candidates at a tapped spot, called parking | others, called parking | AUC |")
        print("|---|---|---|---|")
        print("\n".join(scored))


def _scores(drives: Drives, home: Path) -> str:
    from bentos.model.scorer import load_published
    from cli.score import score_fixes

    scorer = load_published(load_settings(home=home))
    true, false = separate(score_fixes(drives.fixes, drives.motion, load_rules(), scorer), drives.spots)

    def called(probabilities: list[float]) -> str:
        return f"{len(probabilities)}, {np.mean([p >= scorer.card.threshold for p in probabilities]):.0%}"

    return f"| {drives.name} | {called(true)} | {called(false)} | {ranking(true, false):.2f} |"


def ranking(true: Sequence[float], false: Sequence[float]) -> float:
    """Probability that a candidate at a tapped spot scores above another one (AUC; ties count half)."""
    t, f = np.array(true)[:, None], np.array(false)[None, :]
    return float(((t > f) + 0.5 * (t == f)).mean())


def separate(scores: pa.Table, spots: Sequence[Spot]) -> tuple[list[float], list[float]]:
    """Last probabilities of candidates at a tapped spot (50 m, 2 min), and of all others."""
    by_device: dict[str, list[Spot]] = defaultdict(list)
    for spot in spots:
        by_device[spot.device].append(spot)
    last: dict[str, dict[str, object]] = {}
    for row in scores.sort_by("decided_at").to_pylist():
        last[row["fact_id"]] = row
    true: list[float] = []
    false: list[float] = []
    for row in last.values():
        at = round(row["left_at"].timestamp() * 1e6)  # type: ignore[attr-defined]
        hit = any(
            abs(at - spot.at_us) <= WITHIN_US and distance_m(spot.lat, spot.lon, row["lat"], row["lon"]) <= WITHIN_M  # type: ignore[arg-type]
            for spot in by_device[str(row["device_id"])]
        )
        (true if hit else false).append(float(row["probability"]))  # type: ignore[arg-type]
    return true, false


if __name__ == "__main__":
    main()
