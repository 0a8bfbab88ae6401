"""Answers as plain mappings, of exactly the shape of their message (``bentos.messages``; a test holds them to it).

Making a validated object of every place would cost as much as finding it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bentos.moment_kernel import NONE, moment_texts

if TYPE_CHECKING:
    from bentos.answer import Candidate, Decision
    from bentos.model.champion import Champion
    from bentos.ports import DeviceFacts

Answer = dict[str, object]
"""Ready to be written as JSON."""


def where_parked_body(
    answer_id: str,
    champion: Champion,
    facts: DeviceFacts | None,
    candidates: Sequence[Candidate],
    probabilities: Sequence[float],
    decision: Decision,
    at_us: int,
    *,
    stale_after_us: int,
) -> Answer:
    """A ``WhereParkedAnswer`` of what was decided at a moment (us). ``stale_after_us``: age of stale facts."""
    as_of_us = facts.facts_as_of_us if facts else None
    if as_of_us is not None and as_of_us > at_us and not candidates:
        as_of_us = None  # what is known is all of later moments
    moments = [at_us, or_none(as_of_us), or_none(decision.since_us)]
    for candidate in candidates:
        moments += (candidate.left_at_us, or_none(candidate.ended_at_us))
    asked_at, facts_as_of, since, *texts = moment_texts(moments)
    told = zip(candidates, probabilities, texts[::2], texts[1::2], strict=True)
    places = [place_body(*of) for of in told]
    chosen = decision.candidate
    spot = places.pop(chosen) if decision.state == "parked" and chosen is not None else None
    # A past moment is answered with what is known now: facts newer than it are no age at all.
    age_us = None if as_of_us is None else max(0, at_us - as_of_us)
    return {
        "answer_id": answer_id,
        "state": decision.state,
        "reason": decision.reason,
        "spot": spot,
        "probability": None if chosen is None else probabilities[chosen],
        "uncertainty_m": None if spot is None else spot["uncertainty_m"],
        "since": since or None,
        "runner_up": places,
        "asked_at": asked_at,
        "facts_as_of": facts_as_of or None,
        "facts_age_s": None if age_us is None else age_us / 1e6,
        "freshness": "none" if age_us is None else "stale" if age_us > stale_after_us else "fresh",
        "model": {"tag": champion.scorer.tag, "generation": champion.pointer.generation},
        "rules_version": champion.pointer.rules_version,
    }


def or_none(moment_us: int | None) -> int:
    """A moment (us) as ``moment_texts`` takes it."""
    return NONE if moment_us is None else moment_us


def place_body(candidate: Candidate, probability: float, since: str, ended_at: str) -> Answer:
    """A candidate as it is told; its moments are texts already, an empty one for none."""
    candidate_id, _cell, _left_at_us, lat, lon, uncertainty_m, _ended_at_us, _return_m, reasons = candidate
    return {
        "candidate_id": candidate_id,
        "lat": lat,
        "lon": lon,
        "uncertainty_m": uncertainty_m,
        "since": since,
        "ended_at": ended_at or None,
        "probability": probability,
        "reasons": reasons.split(",") if reasons else [],
    }
