"""What is known of one device at one moment: the current, non-retracted revisions of its facts.

Folds read this and nothing else, so a feature can only rest on what was known. The fold runner keeps one ``Known`` per
device, applies each revision to it and recomputes the rows that may have changed. That is exact as long as a fold keeps
to what its view may ask:

* ``candidate_state``: the candidate, ``previous``/``next`` of it, ``stop_after`` and ``halt_at`` it. Farther history
  belongs in ``device_state`` or ``place_state``: a late fact there would not refresh this candidate's row.
* ``device_state``: anything here.
* ``place_state``: the ``Place`` handed in.

A test compares the runner with a recomputation of every row at every moment, so a fold that reaches farther fails it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from feature_repo.fact import RETRACTED, SECOND_US, Fact
from feature_repo.timeline import Timeline
from parked.geo import distance_m

PLACE_MEMORY: Final = 50
"""A place is remembered by its newest stays and its newest candidates, this many each: bounds the work per revision."""

HALT_NEAR_M: Final = 150.0
"""A halt this near a candidate is at its place (two accuracies of a coarse phone fix)."""
HALT_NEAR_US: Final = 300 * SECOND_US
"""... and begins within this time of it: 5 minutes, the longest gap over which two stops are merged."""


@lru_cache(maxsize=65_536)
def cells_near(cell: str) -> tuple[str, ...]:
    """The H3 cell and its six neighbours: a place, about 350 m across, that GPS noise does not split."""
    import h3

    return tuple(sorted(h3.grid_disk(cell, 1)))


class Place:
    """What a device did in and next to one cell."""

    __slots__ = ("_candidates", "_stops", "cell")

    def __init__(self, cell: str) -> None:
        self.cell = cell
        self._stops = Timeline()
        self._candidates = Timeline()

    @property
    def stops(self) -> list[Fact]:
        """The newest stops here, oldest first, at most PLACE_MEMORY."""
        return self._stops.facts[-PLACE_MEMORY:]

    @property
    def candidates(self) -> list[Fact]:
        """The newest candidates here, oldest first, at most PLACE_MEMORY."""
        return self._candidates.facts[-PLACE_MEMORY:]

    def _of(self, fact: Fact) -> Timeline:
        return self._candidates if fact.kind == "vehicle_left" else self._stops


class Beside(NamedTuple):
    """What stands beside a candidate."""

    previous: Fact | None
    next: Fact | None
    stop_after: Fact | None
    halt_at: Fact | None


class Known:
    """One device's facts as known now."""

    def __init__(self, device_id: str) -> None:
        self.device_id = device_id
        self.candidates = Timeline()
        self.stops = Timeline()
        self.halts = Timeline()
        self.places: dict[str, Place] = {}
        """By cell: every cell that held a candidate at some time."""
        self._current: dict[str, Fact] = {}
        self._by_cell: dict[str, dict[str, Fact]] = {}
        self._beside: dict[str, Beside] = {}
        self._kinds = {"vehicle_left": self.candidates, "stop": self.stops, "halt": self.halts}

    # --- what folds ask ---

    def newest(self, rank: int) -> Fact | None:
        """The candidate of this rank, 1 is the newest."""
        facts = self.candidates.facts
        return facts[-rank] if rank <= len(facts) else None

    def recent(self, count: int) -> list[Fact]:
        """The newest ``count`` candidates, oldest first."""
        return self.candidates.facts[-count:]

    def candidates_since(self, us: int) -> int:
        """How many candidates were left at or after ``us``."""
        return len(self.candidates) - self.candidates.before(us)

    def span_us(self) -> int | None:
        """From the first to the last start of any fact, microseconds; None where nothing is known."""
        kept = [line.facts for line in self._kinds.values() if len(line)]
        if not kept:
            return None
        return max(facts[-1].started_at for facts in kept) - min(facts[0].started_at for facts in kept)

    def previous(self, candidate: Fact) -> Fact | None:
        """The candidate left just before this one."""
        return self.beside(candidate).previous

    def next(self, candidate: Fact) -> Fact | None:
        """The candidate left just after this one."""
        return self.beside(candidate).next

    def stop_after(self, candidate: Fact) -> Fact | None:
        """The first stop that was going on when this candidate was left, or began before the next was."""
        return self.beside(candidate).stop_after

    def halt_at(self, candidate: Fact) -> Fact | None:
        """The halt at the candidate's place nearest in time (HALT_NEAR_M, HALT_NEAR_S), if any."""
        return self.beside(candidate).halt_at

    def beside(self, candidate: Fact) -> Beside:
        """All that a candidate's folds may ask beside the candidate itself; looked up once per moment."""
        found = self._beside.get(candidate.fact_id)
        if found is None:
            found = self._beside[candidate.fact_id] = self._look_beside(candidate)
        return found

    def _look_beside(self, candidate: Fact) -> Beside:
        line = self.candidates.facts
        index = self.candidates.index(candidate)
        previous = line[index - 1] if index else None
        following = line[index + 1] if index + 1 < len(line) else None
        low = -1 if previous is None else previous.started_at
        high = None if following is None else following.started_at
        return Beside(previous, following, self._stop_after(candidate, low, high), self._halt_at(candidate, low, high))

    def _stop_after(self, candidate: Fact, low: int, high: int | None) -> Fact | None:
        """``low``/``high``: when the previous and the next candidate were left."""
        index = self.stops.until(candidate.started_at)
        if index:
            under_way = self.stops.facts[index - 1]
            lasts = under_way.ended_at is None or under_way.ended_at > candidate.started_at
            if lasts and under_way.started_at > low:
                return under_way
        if index < len(self.stops.facts):
            following = self.stops.facts[index]
            if high is None or following.started_at < high:
                return following
        return None

    def _halt_at(self, candidate: Fact, low: int, high: int | None) -> Fact | None:
        first = max(candidate.started_at - HALT_NEAR_US, low + 1)
        last = candidate.started_at + HALT_NEAR_US
        if high is not None:
            last = min(last, high - 1)
        near = [
            halt
            for halt in self.halts.facts[self.halts.before(first) : self.halts.until(last)]
            if distance_m(halt.lat, halt.lon, candidate.lat, candidate.lon) <= HALT_NEAR_M
        ]
        return min(near, key=lambda halt: abs(halt.started_at - candidate.started_at), default=None)

    # --- what the runner does ---

    def current(self, fact_id: str) -> Fact | None:
        """The revision known now; None where the fact is unknown or retracted."""
        return self._current.get(fact_id)

    def apply(self, fact: Fact) -> Fact | None:
        """Take in a revision; returns the revision it replaces, None where there was none."""
        self._beside.clear()
        old = self._current.pop(fact.fact_id, None)
        if old is not None:
            self._kinds[old.kind].remove(old)
            self._leave_cell(old)
        if fact.status != RETRACTED:
            self._current[fact.fact_id] = fact
            self._kinds[fact.kind].add(fact)
            self._enter_cell(fact)
        return old

    def places_near(self, cell: str) -> list[str]:
        """Cells of ``places`` whose rows a fact in ``cell`` takes part in."""
        return [near for near in cells_near(cell) if near in self.places] if cell else []

    def candidates_near(self, fact: Fact) -> list[Fact]:
        """The candidates whose rows this fact (present or just removed) may take part in."""
        first, last = self.candidates.around(fact.started_at)
        if fact.kind == "vehicle_left":
            first = max(0, first - 1)
        return self.candidates.facts[first:last]

    def _leave_cell(self, fact: Fact) -> None:
        if not fact.cell:
            return
        del self._by_cell[fact.cell][fact.fact_id]
        for cell in self.places_near(fact.cell):
            place = self.places[cell]
            place._of(fact).remove(fact)

    def _enter_cell(self, fact: Fact) -> None:
        if not fact.cell:
            return
        self._by_cell.setdefault(fact.cell, {})[fact.fact_id] = fact
        for cell in self.places_near(fact.cell):
            place = self.places[cell]
            place._of(fact).add(fact)
        if fact.kind == "vehicle_left" and fact.cell not in self.places:
            place = self.places[fact.cell] = Place(fact.cell)
            for cell in cells_near(fact.cell):
                for near in self._by_cell.get(cell, {}).values():
                    place._of(near).add(near)
