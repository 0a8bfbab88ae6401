"""What serving needs from the outside, as narrow protocols: the feature store, the label store.

The adapters are ``bentos.features`` (Feast) and ``bentos.confirmations`` (operations database); tests bring their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from bentos.answer import Candidate

Row = Mapping[str, object]
"""Feature name → value; None where missing."""


@dataclass(frozen=True)
class DeviceFacts:
    """What the online store knows of one phone."""

    device_id: str
    candidates: tuple[Candidate, ...]
    """At most three, newest first."""
    driving: bool
    facts_as_of_us: int | None
    """Microseconds since the epoch: the newest fact this rests on became known then."""


@dataclass(frozen=True)
class CandidateKey:
    """One row of model features: which candidate, asked about which moment (µs since the epoch)."""

    device_id: str
    candidate_id: str
    cell: str
    asked_at_us: int


class NotReadyError(Exception):
    """The service cannot answer yet (no model, no feature store); the text says what to do. Becomes a 503."""


class UnknownAnswerError(Exception):
    """No such answer for who asks: never given, no candidate weighed, expired, dropped, or another's. Becomes a 404."""

    def __init__(self, why: str = "no such answer: never given, without a candidate, expired, or not yours") -> None:
        super().__init__(why)


@dataclass(frozen=True)
class Readiness:
    """Whether questions can be answered, and what is wrong (which it may be even while they can)."""

    ready: bool
    reasons: tuple[str, ...]


class FeatureSource(Protocol):
    """The online feature store. Called from one thread; may block."""

    def devices(self, device_ids: Sequence[str]) -> list[DeviceFacts | None]:
        """One entry per id, in order; None for a device the store has never seen."""
        ...

    def features(self, service: str, keys: Sequence[CandidateKey]) -> list[Row]:
        """The features of FeatureService ``service``, one row per key, in order."""
        ...


@dataclass(frozen=True)
class Confirmation:
    """What a person said about a moment and place."""

    key: str | None
    """Idempotency key: the same key is one label, however often it is sent. None: the content is the key."""
    device_id: str
    at: datetime
    lat: float
    lon: float
    verdict: Literal["parked", "not_parked"]
    note: str = ""


class LabelSink(Protocol):
    """Where confirmations go. May block."""

    def add(self, confirmation: Confirmation, known_at: datetime) -> bool:
        """Store it; False where it is stored already.

        Raises ConflictError where the key is stored with other content.
        """
        ...
