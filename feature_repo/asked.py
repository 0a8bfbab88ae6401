"""Features that depend on the moment asked: the on-demand view ``asked``."""

from __future__ import annotations

from typing import Final

from feature_repo.declare import FLOAT64, Dtype

ASKED: Final = "asked"
ASKED_INPUTS: Final = {
    "candidate_state": ("left_at_us", "lon", "rest_from_us", "rest_until_us"),
    "place_state": ("last_stay_ended_us",),
}
"""What the view reads from other views, beside the request's ``asked_at_us`` (Int64, microseconds since the epoch)."""

ASKED_FEATURES: Final[dict[str, Dtype]] = {
    "age_s": FLOAT64,
    "rest_so_far_s": FLOAT64,
    "since_last_stay_s": FLOAT64,
    "left_hour_sin": FLOAT64,
    "left_hour_cos": FLOAT64,
    "asked_hour_sin": FLOAT64,
    "asked_hour_cos": FLOAT64,
}
"""age_s: since the vehicle was left; rest_so_far_s: how long the stop that followed lasted, or lasts at the moment
asked; since_last_stay_s: since the last stop at the place that had ended; ``*_hour_*``: time of day by the sun at the
candidate (UTC + longitude / 15 h), on a circle."""


def ask(inputs: dict) -> dict:  # type: ignore[type-arg]
    """Columns in, columns out: lists of equal length, None where not known.

    Feast rebuilds this function from its source text with almost no globals (``udf_rehydrate.py``): imports and helpers
    must stay inside, annotations must be builtins.
    """
    import math
    from typing import Any

    day_us = 86_400_000_000

    def seconds(end: Any, start: Any) -> Any:
        return None if end is None or start is None else (end - start) / 1_000_000

    def turn(us: Any, degrees: Any) -> Any:
        if us is None or degrees is None:
            return None
        return 2 * math.pi * (((us + degrees * 240_000_000) % day_us) / day_us)

    def wave(function: Any, angles: Any) -> Any:
        return [None if angle is None else function(angle) for angle in angles]

    asked = inputs["asked_at_us"]
    left, lon = inputs["left_at_us"], inputs["lon"]
    starts, ends = inputs["rest_from_us"], inputs["rest_until_us"]
    left_turns = [turn(us, degrees) for us, degrees in zip(left, lon)]  # noqa: B905
    asked_turns = [turn(us, degrees) for us, degrees in zip(asked, lon)]  # noqa: B905
    return {
        "age_s": [seconds(end, start) for end, start in zip(asked, left)],  # noqa: B905
        "rest_so_far_s": [
            seconds(now if end is None else end, start)
            for now, start, end in zip(asked, starts, ends)  # noqa: B905
        ],
        "since_last_stay_s": [
            seconds(now, end)
            for now, end in zip(asked, inputs["last_stay_ended_us"])  # noqa: B905
        ],
        "left_hour_sin": wave(math.sin, left_turns),
        "left_hour_cos": wave(math.cos, left_turns),
        "asked_hour_sin": wave(math.sin, asked_turns),
        "asked_hour_cos": wave(math.cos, asked_turns),
    }
