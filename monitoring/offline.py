"""What the offline store says of an answer's candidates, as known at a moment, and where that differs from the log.

Made anew from fact revisions: the folds and the point-in-time join are those that training rests on.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import pyarrow as pa

from feature_repo.declare import CANDIDATE, DEVICE, VIEWS
from feature_repo.features.device_carried import RANKS
from feature_repo.services import SERVICES, service_features
from ingestion.features.moments import assemble
from monitoring.sampled import Logged
from parked.errors import InputError
from parked.schemas import TIME

CANDIDATES: Final = "candidates"
"""Named like a feature where the candidates weighed are not those that were known."""

T = TypeVar("T")


class Difference(NamedTuple):
    """One value that is not what was known."""

    candidate_id: str
    feature: str
    served: object
    offline: object


class Offline:
    """Feature snapshots, and when each phone's changed."""

    def __init__(self, snapshots: Mapping[str, pa.Table]) -> None:
        self.snapshots = snapshots
        changes: defaultdict[str, set[int]] = defaultdict(set)
        for view in VIEWS:
            rows = snapshots[view]
            for device, us in zip(rows["device_id"].to_pylist(), _us(rows["available_at"]), strict=True):
                changes[device].add(us)
        self._changes = {device: sorted(moments) for device, moments in changes.items()}
        self._cells: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        rows = snapshots[CANDIDATE].sort_by("available_at")
        columns = rows["candidate_id"].to_pylist(), _us(rows["available_at"]), rows["cell"].to_pylist()
        for candidate, us, cell in zip(*columns, strict=True):
            self._cells[candidate].append((us, cell))
        self._weighed: defaultdict[str, list[tuple[int, list[tuple[str, int]]]]] = defaultdict(list)
        wanted = [f"{stem}_{rank}" for rank in RANKS for stem in ("candidate", "left_at_us")]
        rows = snapshots[DEVICE].sort_by("available_at")
        columns = rows["device_id"].to_pylist(), _us(rows["available_at"]), rows.select(wanted).to_pylist()
        for device, us, row in zip(*columns, strict=True):
            known = [(row[f"candidate_{r}"], row[f"left_at_us_{r}"]) for r in RANKS if row[f"candidate_{r}"]]
            self._weighed[device].append((us, known))

    def changes(self, device: str) -> list[int]:
        """Moments (us) at which anything known of a phone changed, ascending."""
        return self._changes.get(device, [])

    def cell(self, candidate: str, us: int) -> str:
        """The candidate's cell as known at a moment; "" where it was not."""
        return _as_of(self._cells.get(candidate, []), us) or ""

    def candidates(self, device: str, us: int, asked_us: int) -> list[str]:
        """The phone's newest candidates as known at a moment whose vehicle had been left by ``asked_us``."""
        known = _as_of(self._weighed.get(device, []), us) or []
        return sorted(candidate for candidate, left_us in known if left_us <= asked_us)


def differences(states: Sequence[tuple[Logged, int]], offline: Offline) -> list[tuple[Difference, ...]]:
    """For each answer and moment (us): what it was fed that was not so as known at the moment."""
    found: list[list[Difference]] = [[] for _ in states]
    by_names: defaultdict[tuple[str, ...], list[tuple[int, str]]] = defaultdict(list)
    for index, (answer, us) in enumerate(states):
        known = offline.candidates(answer.device_id, us, answer.asked_us)
        if answer.whole and known != sorted(answer.fed):
            found[index].append(Difference("", CANDIDATES, sorted(answer.fed), known))
        for candidate, fed in answer.fed.items():
            by_names[tuple(fed)].append((index, candidate))
    for names, rows in by_names.items():
        table = assemble(_moments(states, rows, offline), offline.snapshots, serving(names))
        for (index, candidate), known_row in zip(rows, table.select(list(names)).to_pylist(), strict=True):
            fed = states[index][0].fed[candidate]
            found[index] += [
                Difference(candidate, name, fed[name], known_row[name])
                for name in names
                if not same_bits(fed[name], known_row[name])
            ]
    return [tuple(each) for each in found]


def _moments(states: Sequence[tuple[Logged, int]], rows: Sequence[tuple[int, str]], offline: Offline) -> pa.Table:
    pairs = [(*states[index], candidate) for index, candidate in rows]
    return pa.table(
        {
            "device_id": pa.array([answer.device_id for answer, _, _ in pairs], pa.string()),
            "candidate_id": pa.array([candidate for _, _, candidate in pairs], pa.string()),
            "cell": pa.array([offline.cell(candidate, us) for _, us, candidate in pairs], pa.string()),
            "event_timestamp": pa.array([us for _, us, _ in pairs], pa.int64()).cast(TIME),
            "asked_at_us": pa.array([answer.asked_us for answer, _, _ in pairs], pa.int64()),
        }
    )


def serving(names: Sequence[str]) -> str:
    """The feature service that serves all of ``names``. Raises InputError where none does."""
    for service in SERVICES:
        if set(names) <= set(service_features(service)):
            return service
    best = min(SERVICES, key=lambda service: len(set(names) - set(service_features(service))))
    odd = sorted(set(names) - set(service_features(best)))[0]
    raise InputError(
        f"prediction log: feature {odd!r} is served by no feature service", mend="check answers of known models only"
    )


def same_bits(served: object, offline: object) -> bool:
    """Whether a logged value is the offline one to the last bit. Missing is None; a flag is the number it is fed as.

    >>> same_bits(0.1 + 0.2, 0.3), same_bits(True, 1), same_bits(None, 0.0), same_bits(-0.0, 0.0)
    (False, True, False, False)
    """
    if served is None or offline is None:
        return served is offline
    if isinstance(served, (int, float)) and isinstance(offline, (int, float)):
        here, there = float(served), float(offline)
        return here == there and math.copysign(1.0, here) == math.copysign(1.0, there)
    return served == offline


def _us(column: pa.ChunkedArray) -> list[int]:
    moments: list[int] = column.cast(TIME).cast(pa.int64()).to_pylist()
    return moments


def _as_of(timed: Sequence[tuple[int, T]], us: int) -> T | None:
    index = bisect_right(timed, us, key=lambda pair: pair[0])
    return timed[index - 1][1] if index else None
