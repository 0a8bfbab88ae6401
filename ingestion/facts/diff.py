"""Two rules versions side by side: which facts appear, vanish, move or change, matched one to one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.facts.asof import as_of
from parked.geo import distance_m
from parked.schemas import KINDS, TIME

APPEARED, VANISHED, MOVED, CHANGED, SAME = "appeared", "vanished", "moved", "changed", "same"
CHANGES: Final = (APPEARED, VANISHED, MOVED, CHANGED, SAME)

NEAR_M: Final = {"stop": 250.0, "halt": 100.0, "vehicle_left": 500.0}
"""Facts farther apart than this are two facts: at rest with its hysteresis; a light; minutes of slow walk."""
NEAR_S: Final = {"stop": 0.0, "halt": 60.0, "vehicle_left": 600.0}
"""Facts that do not overlap in time are one only if no more than this lies between (a candidate has no duration)."""
MOVED_S: Final = 1.0
MOVED_M: Final = 1.0
"""Facts that lie this near each other in time and place did not move."""

DIFF: Final = pa.schema(
    [
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("change", pa.string(), nullable=False),
        pa.field("started_a", TIME),
        pa.field("started_b", TIME),
        pa.field("ended_a", TIME),
        pa.field("ended_b", TIME),
        pa.field("lat_a", pa.float64()),
        pa.field("lon_a", pa.float64()),
        pa.field("lat_b", pa.float64()),
        pa.field("lon_b", pa.float64()),
        pa.field("distance_m", pa.float64()),
        pa.field("start_shift_s", pa.float64()),
        pa.field("end_shift_s", pa.float64()),
        pa.field("fields", pa.string()),
        pa.field("fact_a", pa.string()),
        pa.field("fact_b", pa.string()),
    ]
)
"""One row per fact of A or B, matched ones together; ordered by device, kind and time. ``*_shift_s``: B minus A, null
where one of them is open; ``fields``: what else differs."""

_SAID: Final = ("status", "uncertainty_m", "radius_m", "silence_s", "followed_by", "walked_m", "return_m", "reasons")
"""Further columns whose difference is a change worth showing."""


@dataclass(frozen=True)
class Difference:
    """What B makes of the facts of A."""

    table: pa.Table
    """DIFF"""
    counts: dict[str, dict[str, int]]
    """kind → change → facts"""

    def first(self, change: str, count: int) -> list[dict[str, Any]]:
        """Some facts of a change: the first, by device, kind and time."""
        return _rows(self._of(change).slice(0, count))

    def largest(self, count: int) -> list[dict[str, Any]]:
        """The moved facts that moved most: by distance, then by time."""
        moved = self._of(MOVED)
        moved = moved.append_column("late", pc.abs(moved["start_shift_s"]))
        order = [("distance_m", "descending"), ("late", "descending"), ("device_id", "ascending")]
        return _rows(moved.take(pc.sort_indices(moved, sort_keys=order).slice(0, count)).select(DIFF.names))

    def _of(self, change: str) -> pa.Table:
        return self.table.filter(pc.equal(self.table["change"], change))


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    return list(table.to_pylist())


def joined(parts: Sequence[Difference]) -> Difference:
    """One difference of those of ascending ranges of devices."""
    counts = {kind: {change: sum(part.counts[kind][change] for part in parts) for change in CHANGES} for kind in KINDS}
    tables = [DIFF.empty_table(), *(part.table for part in parts)]
    return Difference(pa.concat_tables(tables).combine_chunks(), counts)


def difference(a: pa.Table, b: pa.Table) -> Difference:
    """Compare what stands at the end of two revision logs (FACTS) of the same records.

    Facts of one device and kind are paired one to one, nearest first, where they overlap in time or nearly and are near
    in place (``NEAR_S``, ``NEAR_M``).
    """
    sides = [_by_device_and_kind(as_of(log)) for log in (a, b)]
    rows: list[dict[str, Any]] = []
    for device, kind in sorted({*sides[0], *sides[1]}):
        ours, theirs = (side.get((device, kind), []) for side in sides)
        pairs = _pairs(ours, theirs, kind)
        matched = set(pairs.values())
        found = [_row(fact, theirs[pairs[i]] if i in pairs else None) for i, fact in enumerate(ours)]
        found += [_row(None, fact) for j, fact in enumerate(theirs) if j not in matched]
        rows += sorted(found, key=lambda r: (r["started_a"] or r["started_b"], r["change"]))
    counted = Counter((row["kind"], row["change"]) for row in rows)
    counts = {kind: {change: counted[kind, change] for change in CHANGES} for kind in KINDS}
    return Difference(pa.Table.from_pylist(rows, schema=DIFF), counts)


def _by_device_and_kind(facts: pa.Table) -> dict[tuple[str, str], list[dict[str, Any]]]:
    found = defaultdict(list)
    for row in facts.to_pylist():
        found[row["device_id"], row["kind"]].append(row)
    for rows in found.values():
        rows.sort(key=lambda r: r["started_at"])
    return found


def _pairs(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], kind: str) -> dict[int, int]:
    """Index in A → index in B, one to one: the nearest pair first, by seconds plus metres."""
    candidates = []
    first = 0
    for i, a in enumerate(ours):
        begin, end = a["started_at"].timestamp(), _end(a)
        # Of one kind and device, ends rise with starts: what ended long before this one matters to no later one.
        while first < len(theirs) and _end(theirs[first]) < begin - NEAR_S[kind]:
            first += 1
        for j in range(first, len(theirs)):
            b = theirs[j]
            start = b["started_at"].timestamp()
            if start > end + NEAR_S[kind]:
                break
            if max(begin, start) - min(end, _end(b)) > NEAR_S[kind]:
                continue
            far = distance_m(a["lat"], a["lon"], b["lat"], b["lon"])
            if far <= NEAR_M[kind]:
                candidates.append((abs(start - begin) + far, i, j))
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in sorted(candidates):
        if i not in pairs and j not in taken:
            pairs[i] = j
            taken.add(j)
    return pairs


def _end(fact: dict[str, Any]) -> float:
    """When a fact ends (s): a candidate is a moment; what is open has no end yet."""
    if fact["kind"] == "vehicle_left":
        return float(fact["started_at"].timestamp())
    return float(fact["ended_at"].timestamp()) if fact["ended_at"] else float("inf")


def _row(a: dict[str, Any] | None, b: dict[str, Any] | None) -> dict[str, Any]:
    one: dict[str, Any] = a or b or {}
    row: dict[str, Any] = {"device_id": one["device_id"], "kind": one["kind"]}
    for side, fact in (("a", a), ("b", b)):
        if fact is not None:
            row |= {f"started_{side}": fact["started_at"], f"ended_{side}": fact["ended_at"]}
            row |= {f"lat_{side}": fact["lat"], f"lon_{side}": fact["lon"], f"fact_{side}": fact["fact_id"]}
    row = {name: row.get(name) for name in DIFF.names}
    if a is None or b is None:
        return row | {"change": APPEARED if a is None else VANISHED}
    far = distance_m(a["lat"], a["lon"], b["lat"], b["lon"])
    shift = (b["started_at"] - a["started_at"]).total_seconds()
    both_ended = a["ended_at"] is not None and b["ended_at"] is not None
    end = (b["ended_at"] - a["ended_at"]).total_seconds() if both_ended else None
    fields = [name for name in _SAID if a[name] != b[name]]
    if (a["ended_at"] is None) != (b["ended_at"] is None):
        fields.append("ended_at")
    moved = far >= MOVED_M or abs(shift) >= MOVED_S or abs(end or 0.0) >= MOVED_S
    change = MOVED if moved else CHANGED if fields else SAME
    return row | {
        "change": change,
        "distance_m": far,
        "start_shift_s": shift,
        "end_shift_s": end,
        "fields": ",".join(fields),
    }
