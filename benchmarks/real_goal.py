"""Delivery agents' chunks (goal): every change from Driving to OnFoot against the ``vehicle_left`` facts.

The files give ``x``, ``y`` in metres around an arbitrary centre and a relative time; both are laid at an arbitrary
place and day. No accuracy, no speed, no motion activity.
"""

from __future__ import annotations

import csv
import io
import itertools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa

from ingestion.facts.build import build_facts
from ingestion.facts.rules import Rules
from parked.clock import to_us
from parked.geo import offset_m
from parked.schemas import FIXES, TIME

CENTRE: Final = (48.0, 11.0)
START_US: Final = to_us(datetime(2026, 1, 1, tzinfo=UTC))
WITHIN_US: Final = 15_000_000


@dataclass(frozen=True)
class Changes:
    """``found`` of ``true`` changes have a fact of their own within 15 s; ``facts`` in all. ``missed``, ``wrong``:
    how many of the others by what was there instead."""

    true: int
    facts: int
    found: int
    missed: dict[str, int]
    wrong: dict[str, int]


def goal_fixes(folder: Path) -> tuple[pa.Table, dict[str, list[tuple[int, str]]]]:
    """FIXES of every chunk, a device each, and each chunk's (time us, word) a fix."""
    parts, words = [], {}
    for archive in sorted(folder.glob("*.zip")):
        with zipfile.ZipFile(archive) as opened:
            for name in sorted(n for n in opened.namelist() if n.endswith(".csv")):
                rows = list(csv.DictReader(io.TextIOWrapper(opened.open(name), encoding="utf-8")))
                device = f"goal-{Path(name).stem}"
                clock = [to_us(datetime.fromisoformat(row["timestamp"][:26]).replace(tzinfo=UTC)) for row in rows]
                at = [START_US + t - clock[0] for t in clock]
                places = [offset_m(*CENTRE, float(row["x"]), float(row["y"])) for row in rows]
                words[device] = [(t, row["groundtruth"]) for t, row in zip(at, rows, strict=True)]
                n = len(rows)
                columns = [[device] * n, pa.array(at).cast(TIME), [p[0] for p in places], [p[1] for p in places]]
                empty = [pa.nulls(n, pa.float64()), pa.nulls(n, pa.float64()), pa.nulls(n, TIME)]
                parts.append(pa.table([*columns, *empty], schema=FIXES))
    return pa.concat_tables(parts), words


def measure(folder: Path, rules: Rules, standing: Callable[[pa.Table], pa.Table]) -> Changes:
    """Build facts of the chunks and match them. ``standing``: facts table -> the ``vehicle_left`` rows that stand."""
    fixes, words = goal_fixes(folder)
    left = standing(build_facts(fixes, None, rules))
    facts: dict[str, list[int]] = {}
    for device, at in zip(left["device_id"].to_pylist(), left["started_at"].cast(pa.int64()).to_pylist(), strict=True):
        facts.setdefault(device, []).append(at)
    true = found = total = 0
    missed: dict[str, int] = {}
    wrong: dict[str, int] = {}
    for device, said in words.items():
        changes = [b[0] for a, b in itertools.pairwise(said) if (a[1], b[1]) == ("Driving", "OnFoot")]
        got = sorted(facts.get(device, []))
        pairs = _pairs(changes, got)
        true, found, total = true + len(changes), found + len(pairs), total + len(got)
        for i in set(range(len(changes))) - {i for i, _ in pairs}:
            _count(missed, _why_missed(changes[i], said, got))
        for j in set(range(len(got))) - {j for _, j in pairs}:
            _count(wrong, _why_wrong(got[j], said, changes))
    return Changes(true, total, found, missed, wrong)


def _pairs(changes: list[int], facts: list[int]) -> list[tuple[int, int]]:
    """One to one, nearest first, within 15 s."""
    near = sorted(
        (abs(c - f), i, j) for i, c in enumerate(changes) for j, f in enumerate(facts) if abs(c - f) <= WITHIN_US
    )
    pairs: list[tuple[int, int]] = []
    for _, i, j in near:
        if all(i != a and j != b for a, b in pairs):
            pairs.append((i, j))
    return pairs


def _why_missed(change: int, said: list[tuple[int, str]], facts: list[int]) -> str:
    before = [t for t, word in said if t < change and word == "OnFoot"]
    begun = max(before, default=said[0][0])
    after = min((t for t, word in said if t > change and word == "Driving"), default=None)
    if after is not None and after - change < 20_000_000:
        return "on foot (or standing) for under 20 s, then driving on"
    if change - begun < 30_000_000:
        return "driven for under 30 s before"
    if any(abs(f - change) <= 45_000_000 for f in facts):
        return "a fact 15-45 s off"
    return "no fact near"


def _why_wrong(fact: int, said: list[tuple[int, str]], changes: list[int]) -> str:
    if any(abs(c - fact) <= 45_000_000 for c in changes):
        return "15-45 s off a change, or the second one at it"
    if said[-1][0] - fact <= 30_000_000:
        return "the recording ends within 30 s"
    word = min(said, key=lambda row: abs(row[0] - fact))[1]
    return "the vehicle stands, labelled Driving" if word == "Driving" else "amid OnFoot"


def _count(counts: dict[str, int], why: str) -> None:
    counts[why] = counts.get(why, 0) + 1
