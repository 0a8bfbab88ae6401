"""What serving needs from the outside, as narrow protocols: the feature store, the label store.

The adapters are ``bentos.store.features`` (Feast) and ``bentos.feedback.confirmations`` (operations database); tests
bring their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from bentos.answer import Candidate

if TYPE_CHECKING:
    from bentos.model.scorer import Fed, Scorer

Values = Sequence[object]
"""The features of one row in the order asked for; None where missing."""


class DeviceFacts(NamedTuple):
    """What the online store knows of one phone."""

    device_id: str
    candidates: tuple[Candidate, ...]
    """At most three, newest first."""
    driving: bool
    facts_as_of_us: int | None
    """Microseconds since the epoch: the newest fact this rests on became known then."""
    row: bytes = b""
    """All of it as the store keeps it, for sources that want it back (``CandidateKey.row``)."""


class CandidateKey(NamedTuple):
    """One row of model features: which candidate, asked about which moment (µs since the epoch)."""

    device_id: str
    candidate_id: str
    cell: str
    asked_at_us: int
    row: bytes = b""
    """``DeviceFacts.row`` of the device, where it was read for this question; else it is read again."""


class NotReadyError(Exception):
    """The service cannot answer yet (no model, no feature store); the text says what to do. Becomes a 503."""


class UnknownAnswerError(Exception):
    """No such answer for who asks: never given, expired, dropped, or another's. Becomes a 404."""

    def __init__(self, why: str = "no such answer: never given, expired, or not yours") -> None:
        super().__init__(why)


class NothingWeighedError(UnknownAnswerError):
    """The answer was given without weighing any candidate. Becomes a 404 of its own."""

    def __init__(self) -> None:
        super().__init__(
            "this answer weighed no candidate, so there is nothing to explain or correct: its reason says why; "
            "tell /confirm where the vehicle was"
        )


@dataclass(frozen=True)
class Readiness:
    """Whether questions can be answered, and what is wrong (which it may be even while they can)."""

    ready: bool
    reasons: tuple[str, ...]


class FeatureSource(Protocol):
    """The online feature store. Called by one thread at a time."""

    inline: bool
    """Its reads are quick and wait for nobody, so the event loop itself may make them. Else they run on a thread, which
    may be given up on."""

    answered: int = 0
    """How many reads came back, where they wait for somebody: who waits behind others sees by it that they do."""

    def devices(self, device_ids: Sequence[str]) -> list[DeviceFacts | None]:
        """One entry per id, in order; None for a device the store has never seen."""
        ...

    def values(self, service: str, names: Sequence[str], keys: Sequence[CandidateKey]) -> list[Values]:
        """The features ``names`` of FeatureService ``service``, one row per key, in order.

        Raises NotFoundError for a service that is not there or does not serve one of them.
        """
        ...

    def replaced(self) -> bool:
        """Whether it reads what is no longer there: it answers from that, and is to be opened anew."""
        return False

    def knows_any(self) -> bool:
        """Whether it knows a phone, where that can be told; one that takes another's place is waited for until then."""
        return True

    def sample(self, asked_at_us: int) -> list[CandidateKey]:  # noqa: ARG002  for those that have one
        """A few candidates that the store knows, of any phone, to try a model on; empty where it cannot name any."""
        return []

    def evaluate(self, scorer: Scorer, keys: Sequence[CandidateKey]) -> tuple[list[float], Fed]:
        """Probabilities of candidates (at least one) by ``scorer``, and what its model was fed. Raises NotFoundError.

        The same to the bit as ``scorer.evaluate`` of ``values``, which is what it does unless it has a shorter way.
        """
        card = scorer.card
        return scorer.evaluate(self.values(card.feature_service, card.features, keys))


Namespace = Literal["confirm", "actual", "wrong"]
"""Who chose a label's key: the client of ``/confirm``, the client of ``/correct``, or ``/correct`` itself."""


def label_key(namespace: Namespace, device_id: str, key: str) -> str:
    """The idempotency key of a label: no two (namespace, device, key) have the same, whatever is written in them.

    >>> label_key("confirm", "a", "b/c"), label_key("confirm", "a/b", "c")
    ('confirm:1:a:b/c', 'confirm:3:a/b:c')
    """
    return f"{namespace}:{len(device_id)}:{device_id}:{key}"


@dataclass(frozen=True)
class Confirmation:
    """What a person said about a moment and place."""

    key: str | None
    """Idempotency key (``label_key``): the same key is one label, however often it is sent. None: the content is it."""
    device_id: str
    at: datetime
    lat: float
    lon: float
    verdict: Literal["parked", "not_parked"]
    note: str = ""


@dataclass(frozen=True)
class Spot:
    """A place where a vehicle was left, and when (µs since the epoch)."""

    left_at_us: int
    lat: float
    lon: float


class LabelSink(Protocol):
    """Where confirmations go. May block."""

    def prepare(self) -> None:
        """What takes long and can be done before the first confirmation. Called from any thread; may raise."""
        ...

    def add(self, confirmation: Confirmation, known_at: datetime) -> bool:
        """Store it; False where it is stored already.

        Raises ConflictError where the key is stored with other content (and for nothing else), NotReadyError where
        nothing can be stored now.
        """
        ...
