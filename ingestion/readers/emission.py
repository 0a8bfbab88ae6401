"""e-mission and MobilityNet: gzipped or plain JSON, an array of records as the phone app wrote them.

A record is ``{"metadata": {"key", "platform", "write_ts"}, "data": {...}, "user_id": {"$uuid"}}``. Read are
``background/location`` and ``background/motion_activity``; ``background/filtered_location`` is derived by the app
(not raw), and transitions, configurations and the like are neither fix nor motion: ignored, and counted.

* device: ``--device``, else the ``user_id``.
* received: ``metadata.write_ts``, when the phone's store took it. It may lie *before* ``data.ts``: clocks differ.
* speed: ``sensed_speed`` (m/s), older exports ``speed``; negative means unknown.
* Android motion: ``type``/``confidence`` are Google ActivityRecognition codes and percent; an obfuscated build wrote
  them as ``zzbhB``/``zzbhC`` without ``ts``, then the time is ``write_ts``.
* iOS motion: CMMotionActivity flags (several may be true, or none) and a confidence level.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ingestion.readers.jsonfile import JsonReader
from ingestion.readers.reasons import Reason
from ingestion.readers.records import (
    MOCK,
    BadRecordError,
    Collector,
    flag,
    instant_us,
    mapping,
    not_negative,
    number,
    words,
)

GOOGLE_ACTIVITY: Final = {
    0: "in_vehicle",
    1: "cycling",
    2: "on_foot",
    3: "still",
    4: "unknown",
    5: "unknown",  # tilting: the phone was turned, which says nothing of travel
    7: "on_foot",  # walking
    8: "on_foot",  # running
}
"""developers.google.com, DetectedActivity constants."""

APPLE_FLAGS: Final = (
    ("automotive", "in_vehicle"),
    ("cycling", "cycling"),
    ("running", "on_foot"),
    ("walking", "on_foot"),
    ("stationary", "still"),
    ("unknown", "unknown"),
)
"""developer.apple.com, CMMotionActivity. First true flag wins: a car at a red light is automotive *and* stationary."""

APPLE_CONFIDENCE: Final = {"low": 0.33, "medium": 0.66, "high": 1.0}
"""Apple sends a level, not a number; these are its thirds."""


class EmissionReader(JsonReader):
    """Reads e-mission / MobilityNet record arrays."""

    name = "emission"

    def sniff(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """JSON whose records carry ``metadata`` with a ``key``."""
        return head.lstrip()[:1] in (b"[", b"{") and b'"metadata"' in head and b'"key"' in head

    def read_one(self, collector: Collector, offset: int, record: Any, device: str | None) -> None:
        """A record as candidates."""
        _read_record(collector, offset, record, device)


def apple_activity(flags: Mapping[str, Any]) -> str:
    """The activity of CMMotionActivity flags; all false is unknown.

    >>> apple_activity({"automotive": True, "stationary": True})
    'in_vehicle'
    """
    return next((activity for flag, activity in APPLE_FLAGS if flags.get(flag) is True), "unknown")


def _read_record(collector: Collector, offset: int, record: Any, device: str | None) -> None:
    entry = mapping(record, "record")
    metadata = mapping(entry.get("metadata"), "metadata")
    key = metadata.get("key")
    if key not in ("background/location", "background/motion_activity"):
        collector.ignore()
        return
    data = mapping(entry.get("data"), "data")
    common = {
        "device_id": device or _user(entry.get("user_id")),
        "received_at": instant_us(metadata, "write_ts"),
        "platform": metadata.get("platform") if metadata.get("platform") in ("android", "ios") else None,
        "source_offset": offset,
    }
    if key == "background/location":
        collector.fix(
            **common,
            event_time=instant_us(data, "ts"),
            lat=number(data, "latitude"),
            lon=number(data, "longitude"),
            accuracy_m=number(data, "accuracy"),
            speed_mps=not_negative(number(data, "sensed_speed", "speed")),
            mock=flag(data, *MOCK),
        )
        return
    activity, confidence = _motion(data)
    moment = instant_us(data, "ts")
    collector.motion(
        **common,
        event_time=common["received_at"] if moment is None else moment,
        activity=activity,
        confidence=confidence,
    )


def _user(value: Any) -> str | None:
    return words(value.get("$uuid") if isinstance(value, dict) else value, "user_id")


def _motion(data: Mapping[str, Any]) -> tuple[str, float | None]:
    if any(flag in data for flag, _ in APPLE_FLAGS):
        level = data.get("confidence_level", data.get("confidence"))
        if isinstance(level, str):
            return apple_activity(data), APPLE_CONFIDENCE.get(level)
        percent = number(data, "confidence")
        return apple_activity(data), None if percent is None else percent / 100
    code = number(data, "type", "zzbhB")
    if code is None:
        raise BadRecordError(Reason.MISSING_ACTIVITY, "neither type, zzbhB nor activity flags")
    if code not in GOOGLE_ACTIVITY:
        raise BadRecordError(Reason.UNKNOWN_ACTIVITY, f"activity code {code:g}")
    percent = number(data, "confidence", "zzbhC")
    return GOOGLE_ACTIVITY[int(code)], None if percent is None else percent / 100
