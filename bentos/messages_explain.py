"""Requests and answers about a past answer: why it was so, and that it was wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from bentos.messages import Answer, Identifier, ModelRef, Moment, Question

AnswerId = Annotated[str, StringConstraints(min_length=1, max_length=128)]
"""As an answer's ``answer_id`` says."""


def _whole(told: object) -> object:
    """100.0 is an integer to JSON Schema, but no int to Python."""
    return int(told) if isinstance(told, float) and told.is_integer() else told


class ExplainRequest(Question):
    """Why was this answered?"""

    answer_id: AnswerId = Field(examples=["0647f3a2c1d80012ab34cd56ef789012"])
    device_id: Identifier | None = Field(default=None, description="of a batch, this phone's candidates alone")
    skip: Annotated[int, BeforeValidator(_whole)] = Field(
        default=0, ge=0, le=100_000, description="candidates to leave out, the first ones of the answer"
    )


class Reason(Answer):
    """What one feature did to a probability."""

    feature: str
    meaning: str = Field(description="what the feature is")
    value: float | bool | str | None = Field(description="what was fed to the model; null: not known")
    log_odds: float = Field(
        description="its SHAP value, calibrated; all of them and the base's log-odds sum to the probability's log-odds"
    )
    says: str = Field(description="the same in words")


class Explained(Answer):
    """Why one candidate got its probability."""

    device_id: str
    candidate_id: str
    rank: int = Field(description="0: the phone's newest candidate")
    asked_at: datetime
    probability: float = Field(description="as it was answered, 0-1")
    base_probability: float = Field(description="what the model says where it knows nothing of a candidate, 0-1")
    says: str = Field(description="in a sentence")
    reasons: list[Reason] = Field(description="every feature that did something, the strongest first")


class ExplainAnswer(Answer):
    """A past answer, explained by the very model that gave it from the very features it was given."""

    answer_id: str
    answered_at: datetime
    state: str
    threshold: float = Field(description="a candidate counts as a parking from this probability on")
    model: ModelRef
    rules_version: str
    reproduced: Literal[True] = Field(
        description="the model gave exactly the answered probabilities of these candidates again, bit for bit; without "
        "that, no explanation"
    )
    more: int = Field(description="candidates of the answer that follow; ask again with skip, or for one device_id")
    candidates: list[Explained] = Field(description="in the answer's order, a phone's newest first; 100 at most")


class ActualSpot(Question):
    """Where and when the vehicle really was left."""

    lat: float = Field(ge=-90, le=90, description="degrees WGS84")
    lon: float = Field(ge=-180, le=180, description="degrees WGS84")
    at: Moment = Field(description="when the vehicle was left there")


class CorrectRequest(Question):
    """A person says: this answer was wrong, or: the vehicle really was here; or both."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["wrong"], "properties": {"wrong": {"const": True}}},
                {"required": ["actual"], "properties": {"actual": {"type": "object"}}},
            ]
        }
    )

    answer_id: AnswerId = Field(examples=["0647f3a2c1d80012ab34cd56ef789012"])
    wrong: bool = Field(default=False, description="the vehicle was not parked at the answered spot")
    actual: ActualSpot | None = Field(default=None, description="where and when it was really left")
    key: Identifier | None = Field(
        default=None,
        max_length=64,
        description="idempotency key of ``actual``; default: its content; a retry is then one label too",
    )

    @model_validator(mode="after")
    def _says_something(self) -> CorrectRequest:
        if not self.wrong and self.actual is None:
            raise ValueError("say that the answer was wrong, or where the vehicle really was")
        return self


class CorrectAnswer(Answer):
    """What was stored as labels."""

    stored: Literal[True]
    labels: list[Literal["parked", "not_parked"]] = Field(description="verdicts that are stored now")
    duplicate: bool = Field(description="all of them were stored already")
