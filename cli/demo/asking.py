"""Asking the running server where phones parked, and holding its answers against the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import httpx

from cli.demo.truth import Parked, TruthBook
from parked.errors import InternalError
from parked.geo import distance_m

RIGHT_WITHIN_M: Final = 100.0
"""A pin this near the vehicle counts as right: one sees the car from there."""


@dataclass(frozen=True)
class Asked:
    """One answer beside the truth."""

    device: str
    answer: dict[str, Any]
    truth: Parked | None

    @property
    def error_m(self) -> float | None:
        """Metres from the pin to the vehicle; None where there is no pin or no parked vehicle."""
        spot = self.answer["spot"]
        if spot is None or self.truth is None:
            return None
        return distance_m(spot["lat"], spot["lon"], self.truth.lat, self.truth.lon)

    @property
    def verdict(self) -> str:
        """``right`` pin, ``wrong`` pin, ``missed`` (parked, but no pin), or ``quiet`` (rightly no pin)."""
        if self.answer["spot"] is None:
            return "missed" if self.truth else "quiet"
        error = self.error_m
        return "right" if error is not None and error <= RIGHT_WITHIN_M else "wrong"


@dataclass(frozen=True)
class Tally:
    """What a round of questions came to."""

    asked: int
    counts: Counter[str]
    median_error_m: float | None

    @property
    def found(self) -> float:
        """Share of parked vehicles found."""
        parked = self.counts["right"] + self.counts["missed"] + self.counts["wrong"]
        return self.counts["right"] / parked if parked else float("nan")

    @property
    def pins_right(self) -> float:
        """Share of pins that are right."""
        pins = self.counts["right"] + self.counts["wrong"]
        return self.counts["right"] / pins if pins else float("nan")


def ask_all(
    url: str, devices: Sequence[str], moment: datetime, book: TruthBook, progress: Callable[[int], None]
) -> list[Asked]:
    """``POST /where_parked`` for every device. Raises InternalError for an answer that is not 200."""
    asked = []
    with httpx.Client(base_url=url, timeout=10.0) as client:
        for device in devices:
            response = client.post("/where_parked", json={"device_id": device, "asked_at": moment.isoformat()})
            if response.status_code != httpx.codes.OK:
                raise InternalError(f"/where_parked answered {response.status_code}: {response.text[:200]}")
            asked.append(Asked(device, response.json(), book.at(device, moment)))
            progress(1)
    return asked


def tally(asked: Sequence[Asked]) -> Tally:
    """Count verdicts."""
    errors = sorted(a.error_m for a in asked if a.verdict == "right" and a.error_m is not None)
    middle = errors[len(errors) // 2] if errors else None
    return Tally(len(asked), Counter(a.verdict for a in asked), middle)
