"""Where is the vehicle? The decision over scored candidates, pure: no store, no model, no clock.

Candidates are the ends of a phone's newest vehicle legs. Which of them is a parking is the model's opinion
(probability ≥ threshold); whether the vehicle has left it again is a fact (``ended_at``, ``return_m``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from parked.vehicle import RETURN_M

State = Literal["parked", "driving", "unknown"]
Reason = Literal["last_parking", "vehicle_moving", "left_again", "below_threshold", "no_candidates", "unknown_device"]


class Candidate(NamedTuple):
    """A place where a vehicle leg ended, as the online store knows it now. Times: microseconds since the epoch, UTC."""

    candidate_id: str
    cell: str
    left_at_us: int
    lat: float
    lon: float
    uncertainty_m: float | None
    ended_at_us: int | None
    """When the next vehicle leg began; None while it has not."""
    return_m: float | None
    """How far from here it began, metres; None while unknown."""
    reasons: str = ""
    """Reason codes of the fact, comma-separated: ``garage`` where the phone fell silent while it still rolled."""


of_values: Final = tuple.__new__
"""A NamedTuple from a tuple of its values: its own constructor, in Python, costs twice as much."""


@dataclass(frozen=True)
class Decision:
    """What is answered and why. ``candidate`` indexes the candidates decided over (None: no one)."""

    state: State
    reason: Reason
    candidate: int | None = None
    since_us: int | None = None
    """Parked: when the vehicle was left there. Driving: when the leg began."""


def has_left(candidate: Candidate, at_us: int) -> bool:
    """Whether the vehicle had left the candidate again at ``at_us``."""
    if candidate.ended_at_us is None or candidate.ended_at_us > at_us:
        return False
    return candidate.return_m is None or candidate.return_m <= RETURN_M


def known_at(candidates: Sequence[Candidate], at_us: int) -> list[Candidate]:
    """The candidates whose vehicle had been left by ``at_us``, newest first."""
    left = [candidate for candidate in candidates if candidate.left_at_us <= at_us]
    if len(left) > 1:
        left.sort(key=_newest_first)
    return left


def _newest_first(candidate: Candidate) -> tuple[int, str]:
    return -candidate.left_at_us, candidate.candidate_id


def was_driving(before: Sequence[Candidate], at_us: int, *, later: bool, driving_now: bool) -> bool:
    """Whether a vehicle leg was going on at ``at_us``.

    ``before``: what ``known_at`` gives for that moment; ``later``: whether the store knows of others. For the present
    that is the fact ``driving_now``; for an earlier moment it follows from the candidates: the leg after one had begun
    and the end of that leg was still to come.
    """
    newest_began = before[0].ended_at_us if before else None
    if later:
        return newest_began is not None and newest_began <= at_us
    return driving_now and (newest_began is None or newest_began <= at_us)


def decide(
    candidates: Sequence[Candidate],
    probabilities: Sequence[float],
    *,
    threshold: float,
    driving: bool,
    at_us: int,
) -> Decision:
    """Walk from the newest candidate to the oldest; the first that is a parking decides.

    ``candidates``: newest first, all with ``left_at_us`` ≤ ``at_us``; ``probabilities``: 0–1, one each;
    ``driving``: a vehicle leg is going on at ``at_us``. If the vehicle has not left the deciding candidate, that is
    the spot. If it has, it stands at no older candidate either (it was last parked *here*), so the answer is never
    an older pin: it is ``driving`` while the leg goes on and ``unknown`` once the leg ended somewhere that is no
    parking.
    """
    for index, (candidate, probability) in enumerate(zip(candidates, probabilities, strict=True)):
        if probability < threshold:
            continue
        if not has_left(candidate, at_us):
            return Decision("parked", "last_parking", index, candidate.left_at_us)
        if driving:
            return Decision("driving", "vehicle_moving", index, candidate.ended_at_us)
        return Decision("unknown", "left_again", index)
    if driving:
        return Decision("unknown", "vehicle_moving")
    return Decision("unknown", "below_threshold" if candidates else "no_candidates")
