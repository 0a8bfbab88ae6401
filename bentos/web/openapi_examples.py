"""Examples of the OpenAPI document. A test holds every one against the messages."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from bentos.messages import (
    ConfirmAnswer,
    ConfirmRequest,
    ModelAnswer,
    ReadyAnswer,
    ScoreAnswer,
    ScoreRequest,
    WhereParkedAnswer,
    WhereParkedRequest,
)
from bentos.messages_explain import CorrectAnswer, CorrectRequest, ExplainAnswer, ExplainRequest

_ID: Final = "0649b3fe3f2c4012ab34cd56ef789012"
_MODEL: Final = {"tag": "parking:3f9a6c1d2e4b5a70", "generation": 3}
_PLACE: Final[dict[str, Any]] = {
    "candidate_id": "5f1d0c2b9a8e7f60",
    "lat": 48.13702,
    "lon": 11.57541,
    "uncertainty_m": 9.5,
    "since": "2026-03-01T07:00:12Z",
    "ended_at": None,
    "probability": 0.94,
    "reasons": ["speed", "walked_off"],
}
_PARKED: Final[dict[str, Any]] = {
    "answer_id": _ID,
    "state": "parked",
    "reason": "last_parking",
    "spot": _PLACE,
    "probability": 0.94,
    "uncertainty_m": 9.5,
    "since": "2026-03-01T07:00:12Z",
    "runner_up": [],
    "asked_at": "2026-03-01T12:00:00Z",
    "facts_as_of": "2026-03-01T11:58:40Z",
    "facts_age_s": 80.0,
    "freshness": "fresh",
    "model": _MODEL,
    "rules_version": "v1",
}
_NOWHERE: Final = {"spot": None, "probability": None, "uncertainty_m": None}
_UNKNOWN: Final = {**_PARKED, **_NOWHERE, "state": "unknown", "since": None}
_NOTHING_KNOWN: Final = {"facts_as_of": None, "facts_age_s": None, "freshness": "none"}

EXAMPLES: Final[dict[type[BaseModel], dict[str, Any]]] = {
    WhereParkedRequest: {
        "now": {"device_id": "phone-0042"},
        "at a moment": {"device_id": "phone-0042", "asked_at": "2026-03-01T13:00:00+01:00"},
    },
    WhereParkedAnswer: {
        "parked": _PARKED,
        "driving": {
            **_PARKED,
            **_NOWHERE,
            "state": "driving",
            "reason": "vehicle_moving",
            "probability": 0.91,
            "since": "2026-03-01T11:41:03Z",
            "runner_up": [{**_PLACE, "ended_at": "2026-03-01T11:41:03Z", "probability": 0.91}],
        },
        "parked in a garage": {**_PARKED, "spot": {**_PLACE, "reasons": ["garage", "walked_off"]}},
        "parked, by old facts": {
            **_PARKED,
            "asked_at": "2026-03-08T12:00:00Z",
            "facts_age_s": 604880.0,
            "freshness": "stale",
        },
        "moving, from where is not known": {**_UNKNOWN, "reason": "vehicle_moving"},
        "it left and stopped where it is hardly parked": {
            **_UNKNOWN,
            "reason": "left_again",
            "probability": 0.94,
            "runner_up": [
                {**_PLACE, "candidate_id": "5f1d0c2b9a8e7f61", "since": "2026-03-01T11:52:40Z", "probability": 0.08},
                {**_PLACE, "ended_at": "2026-03-01T11:41:03Z"},
            ],
        },
        "it stopped, but is hardly parked": {
            **_UNKNOWN,
            "reason": "below_threshold",
            "runner_up": [{**_PLACE, "probability": 0.08}],
        },
        "a phone never seen": {**_UNKNOWN, **_NOTHING_KNOWN, "reason": "unknown_device"},
        "no parking of it is known yet": {**_UNKNOWN, "reason": "no_candidates"},
        "a moment before all that is known": {
            **_UNKNOWN,
            **_NOTHING_KNOWN,
            "reason": "no_candidates",
            "asked_at": "2020-01-01T00:00:00Z",
        },
    },
    ScoreRequest: {
        "devices": {"device_ids": ["phone-0042", "phone-0043"]},
        "one candidate": {"items": [{"device_id": "phone-0042", "candidate_id": "5f1d0c2b9a8e7f60"}]},
    },
    ScoreAnswer: {
        "scored": {
            "answer_id": _ID,
            "results": [
                {"device_id": "phone-0042", "reason": None, "candidates": [_PLACE]},
                {"device_id": "phone-0043", "reason": "unknown_device", "candidates": []},
            ],
            "model": _MODEL,
            "rules_version": "v1",
        }
    },
    ConfirmRequest: {
        "parked here": {
            "device_id": "phone-0042",
            "at": "2026-03-01T07:00:00Z",
            "lat": 48.137,
            "lon": 11.5754,
            "verdict": "parked",
            "answer_id": _ID,
        }
    },
    ConfirmAnswer: {"stored": {"stored": True, "duplicate": False}, "again": {"stored": True, "duplicate": True}},
    CorrectRequest: {
        "wrong, and where it was": {
            "answer_id": _ID,
            "wrong": True,
            "actual": {"lat": 48.139, "lon": 11.571, "at": "2026-03-01T07:04:00Z"},
        },
        "wrong": {"answer_id": _ID, "wrong": True},
    },
    CorrectAnswer: {"stored": {"stored": True, "labels": ["not_parked", "parked"], "duplicate": False}},
    ExplainRequest: {
        "an answer": {"answer_id": _ID},
        "one phone of a batch": {"answer_id": _ID, "device_id": "phone-0042"},
        "the next of a large batch": {"answer_id": _ID, "skip": 100},
    },
    ExplainAnswer: {
        "explained": {
            "answer_id": _ID,
            "answered_at": "2026-03-01T12:00:00Z",
            "state": "parked",
            "threshold": 0.5,
            "model": _MODEL,
            "rules_version": "v1",
            "reproduced": True,
            "more": 0,
            "candidates": [
                {
                    "device_id": "phone-0042",
                    "candidate_id": "5f1d0c2b9a8e7f60",
                    "rank": 0,
                    "asked_at": "2026-03-01T12:00:00Z",
                    "probability": 0.94,
                    "base_probability": 0.41,
                    "says": "A parking with probability 0.94 (0.41 before anything is known), most of all for "
                    "walked_m.",
                    "reasons": [
                        {
                            "feature": "walked_m",
                            "meaning": "Farthest seen on foot from the vehicle so far, metres",
                            "value": 120.0,
                            "log_odds": 1.8,
                            "says": "Farthest seen on foot from the vehicle so far, metres: 120. Makes a parking 6.0 "
                            "times as likely (odds).",
                        }
                    ],
                }
            ],
        }
    },
    ModelAnswer: {
        "served": {
            "model": _MODEL,
            "rules_version": "v1",
            "feature_service": "parking_v1",
            "features": ["walked_m", "followed_by", "age_s"],
            "threshold": 0.5,
            "trained_at": "2026-02-28T22:00:00Z",
            "published_at": "2026-03-01T06:00:00Z",
            "manifest_sha256": "9b2f" * 16,
            "metrics": {"test_devices.auc": 0.95},
            "evaluated_by": "compiled",
            "serving": True,
        }
    },
    ReadyAnswer: {
        "ready": {"ready": True, "reasons": []},
        "not ready": {"ready": False, "reasons": ["no model is published; run `parked train`, then `parked publish`"]},
    },
}
"""Message → name → example."""
