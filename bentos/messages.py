"""Requests and answers of the REST service. Requests are strict: no unknown field, NaN or naive time; bounded sizes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic.config import JsonDict

from bentos.answer import Reason, State

MAX_ITEMS = 1000
"""Questions in one ``/score`` request."""

_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_NEVER = datetime.max.replace(tzinfo=UTC)


def _sane(moment: datetime) -> datetime:
    # In UTC first, which costs half: to compare moments of two offsets, each is asked for its own.
    try:
        told = moment.astimezone(UTC)
    except OverflowError:  # an offset carries it out of the calendar
        told = _NEVER
    if not _EARLIEST <= told <= _LATEST:
        raise ValueError("outside 1990-2200")
    return told


def _written_out(told: object) -> object:
    """A number, also one in quotes, would be taken for Unix seconds: a date begins with a year and a hyphen."""
    if isinstance(told, datetime) or (isinstance(told, str) and told[4:5] == "-"):
        return told
    raise ValueError("write a time as ISO 8601 with an offset, as 2026-03-01T08:15:00Z")


Moment = Annotated[
    AwareDatetime,
    # Not strict: what a validator has looked at is a Python str, which strict would refuse.
    Field(strict=False, examples=["2026-03-01T08:15:00Z"]),
    BeforeValidator(_written_out),
    AfterValidator(_sane),
]
"""ISO 8601 with an offset; kept as UTC."""

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""1 to 128 characters, none of them a control character."""


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Question(_Request):
    """A request, and whom it is about."""

    def about(self) -> Sequence[str]:
        """The devices it is about: a token must be for each of them."""
        return ()


class Answer(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class WhereParkedRequest(Question):
    """Where did this phone's owner park?"""

    device_id: Identifier = Field(examples=["phone-0042"])
    asked_at: Moment | None = Field(
        default=None, description="the moment asked about; default: now; one to come: by what is known now"
    )

    def about(self) -> Sequence[str]:
        """The one device."""
        return (self.device_id,)


class ScoreItem(_Request):
    """One phone, or one candidate of it."""

    device_id: Identifier
    candidate_id: Identifier | None = Field(default=None, description="default: all current candidates of the device")
    asked_at: Moment | None = None


class Asked(NamedTuple):
    """``ScoreItem``, or an id alone, as it is answered."""

    device_id: str
    candidate_id: str | None = None
    asked_at: datetime | None = None


def _either(given: str, absent: str) -> JsonDict:
    """JSON Schema: the list ``given`` and not ``absent``."""
    return {"required": [given], "properties": {given: {"type": "array"}, absent: {"type": "null"}}}


class ScoreRequest(Question):
    """Many questions at once: either ``items`` or the shorter ``device_ids``."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [_either("items", "device_ids"), _either("device_ids", "items")]}
    )

    items: Annotated[list[ScoreItem], Field(min_length=1, max_length=MAX_ITEMS)] | None = None
    device_ids: Annotated[list[Identifier], Field(min_length=1, max_length=MAX_ITEMS)] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> ScoreRequest:
        if (self.items is None) == (self.device_ids is None):
            raise ValueError("give either items or device_ids")
        return self

    def about(self) -> Sequence[str]:
        """All devices, as often as they are asked about."""
        return self.device_ids or [item.device_id for item in self.items or []]

    def questions(self) -> list[Asked]:
        """The items, however they were given."""
        if self.items:
            return [Asked(item.device_id, item.candidate_id, item.asked_at) for item in self.items]
        return [Asked(device_id) for device_id in self.device_ids or ()]


class ConfirmRequest(Question):
    """A person says: my vehicle was (not) parked there then."""

    device_id: Identifier
    at: Moment = Field(description="when the vehicle was left there")
    lat: float = Field(ge=-90, le=90, description="degrees WGS84")
    lon: float = Field(ge=-180, le=180, description="degrees WGS84")
    verdict: Literal["parked", "not_parked"]
    answer_id: Identifier | None = Field(
        default=None, description="the answer this is about: kept beside the label as told"
    )
    key: Identifier | None = Field(
        default=None, description="idempotency key; default: the content itself; a retry is then one label too"
    )

    def about(self) -> Sequence[str]:
        """The one device."""
        return (self.device_id,)


class ModelRequest(Question):
    """No question: what is being served."""


class Place(Answer):
    """Where a vehicle was left."""

    candidate_id: str
    lat: float
    lon: float
    uncertainty_m: float | None = Field(description="metres")
    since: datetime = Field(description="when the vehicle was left there")
    ended_at: datetime | None = Field(description="when the next vehicle leg began")
    probability: float = Field(description="calibrated, 0-1: that this is a parking")
    reasons: list[str] = Field(
        description="reason codes of the fact: what said that the leg ended (speed, motion_activity: the phone did, "
        "silence, garage: it fell silent while it still rolled), no_pause where it was not seen to stand, merged, "
        "interval_departure; and what it rests on since (walked_off, settled: it stayed, drove_on, sparse: few fixes)"
    )


class ModelRef(Answer):
    """Which model answered."""

    tag: str
    generation: int


class WhereParkedAnswer(Answer):
    """``parked`` with a spot, ``driving``, or ``unknown``; always with a reason."""

    answer_id: str
    state: State
    reason: Reason
    spot: Place | None = Field(description="set where and only where state is parked")
    probability: float | None = Field(description="of the candidate that decided")
    uncertainty_m: float | None
    since: datetime | None = Field(description="parked: since when; driving: when the leg began")
    runner_up: list[Place] = Field(description="the other candidates, newest first")
    asked_at: datetime
    facts_as_of: datetime | None = Field(
        description="when the newest fact behind this became known; null: nothing is known of that moment"
    )
    facts_age_s: float | None = Field(
        ge=0,
        description="seconds from facts_as_of to asked_at; 0 where the facts are newer: a past moment is answered with "
        "what is known now",
    )
    freshness: Literal["fresh", "stale", "none"] = Field(
        description="stale: nothing new is known for longer than PARKED_SERVE_STALE_AFTER_S; none: nothing "
        "is known, or only of later moments than asked_at"
    )
    model: ModelRef
    rules_version: str


Unscored = Literal["unknown_device", "no_candidates", "unknown_candidate"]


class ScoredDevice(Answer):
    """The answer to one item; ``reason`` says why ``candidates`` is empty."""

    device_id: str
    reason: Unscored | None
    candidates: list[Place]


class ScoreAnswer(Answer):
    """One result per item, in the items' order."""

    answer_id: str
    results: list[ScoredDevice]
    model: ModelRef
    rules_version: str


class ConfirmAnswer(Answer):
    """The label is stored; ``duplicate`` where it was already."""

    stored: Literal[True]
    duplicate: bool


class ModelAnswer(Answer):
    """What is being served."""

    model: ModelRef
    rules_version: str
    feature_service: str
    features: list[str]
    threshold: float
    trained_at: datetime
    published_at: datetime
    manifest_sha256: str
    metrics: dict[str, float]
    evaluated_by: Literal["compiled", "catboost"] = Field(
        description="compiled: trees as arrays, proved CatBoost's equal at load; catboost: what could not be proved"
    )
    serving: bool = Field(
        description="false: it is loaded, and answers once the online store does and it passed its trial there"
    )


class ReadyAnswer(Answer):
    """Whether questions can be answered, and what is wrong (which it may be even while they can)."""

    ready: bool
    reasons: list[str]


class Fault(Answer):
    """What went wrong."""

    code: str
    message: str
    field: str | None = None


class ErrorAnswer(Answer):
    """The one shape of every error."""

    error: Fault
