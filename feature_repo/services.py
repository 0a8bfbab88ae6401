"""Which features a model eats, by service. A service is a contract with models already trained: to add a feature, put a
new list beside these (``parking_v2``); never change one that a published model names."""

from __future__ import annotations

from typing import Final

from feature_repo.asked import ASKED, ASKED_FEATURES
from feature_repo.declare import DECLARED, STAMPS, Dtype, declared
from parked.errors import NotFoundError

PARKING_V1: Final = "parking_v1"
WHERE_PARKED_V1: Final = "where_parked_v1"
ANSWERED_V1: Final = "answered_v1"

SERVICES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    PARKING_V1: {
        "candidate_state": (
            "status",
            "uncertainty_m",
            "left_uncertainty_s",
            "accuracy_m",
            "evidence_fixes",
            "leg_duration_s",
            "leg_distance_m",
            "leg_max_speed_mps",
            "leg_mean_speed_mps",
            "leg_fixes",
            "leg_cadence_s",
            "leg_halts",
            "leg_halts_per_km",
            "leg_net_m",
            "leg_detour",
            "from_previous_m",
            "speed_before_mps",
            "motion_before",
            "since_previous_s",
            "previous_away_s",
            "previous_return_m",
            "followed_by",
            "motion_after",
            "speed_after_mps",
            "silence_s",
            "walked_m",
            "ended",
            "away_s",
            "return_m",
            "next_ride_s",
            "rest_delay_s",
            "rest_s",
            "rest_radius_m",
            "rest_distance_m",
            "halt_s",
        ),
        "device_state": (
            "candidates_7d",
            "median_leg_m",
            "quick_again_share",
            "usual_return_m",
            "usual_halts_per_km",
            "usual_leg_speed_mps",
            "median_accuracy_m",
            "median_cadence_s",
            "days_known",
            "sends_motion",
        ),
        "place_state": (
            "stays_here",
            "dwell_here_s",
            "days_here",
            "candidates_here",
            "returns_here",
            "quick_here",
        ),
        ASKED: tuple(ASKED_FEATURES),
    },
    WHERE_PARKED_V1: {
        "device_state": (
            *(
                f"{stem}_{rank}"
                for rank in (1, 2, 3)
                for stem in (
                    "candidate",
                    "cell",
                    "left_at_us",
                    "lat",
                    "lon",
                    "uncertainty_m",
                    "ended_at_us",
                    "return_m",
                    "reasons",
                )
            ),
            "driving",
            *STAMPS,
        ),
    },
    ANSWERED_V1: {"candidate_state": ("left_at_us", "lat", "lon")},
}
"""Service → view → features, in the order a model and an answer see them."""

DESCRIPTIONS: Final = {
    PARKING_V1: "What the first parking model eats: one candidate, its phone, its place, the moment asked.",
    ANSWERED_V1: "Where a candidate lies that was answered once: what a correction says was wrong.",
    WHERE_PARKED_V1: "Where a question starts: a phone's newest candidates, driving or not, as of when.",
}


def service_dtypes(service: str) -> dict[str, Dtype]:
    """Features of a service with their types, in the service's own order.

    Raises NotFoundError for a service that is not declared.
    """
    if service not in SERVICES:
        raise NotFoundError(f"feature service {service!r}", mend=f"use one of {', '.join(SERVICES)}")
    declared()
    types: dict[str, Dtype] = {}
    for view, names in SERVICES[service].items():
        for name in names:
            found = DECLARED.get(name)
            types[name] = ASKED_FEATURES[name] if view == ASKED else STAMPS[name] if found is None else found.dtype
    return types


def service_features(service: str) -> list[str]:
    """Names of a service's features, in its own order. Raises NotFoundError."""
    return list(service_dtypes(service))


def categorical_features(service: str) -> list[str]:
    """Those that are strings. Raises NotFoundError."""
    return [name for name, dtype in service_dtypes(service).items() if dtype is Dtype.STRING]
