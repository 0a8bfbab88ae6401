"""OwnTracks JSON (owntracks.org/booklet/tech/json): one object, an array, or an object a line.

Read is ``_type: location``: ``tst`` (s, when measured), ``lat``, ``lon``, ``acc`` (m), ``vel`` (km/h), ``created_at``
(s, when the phone made the message: the closest to "received" that a file holds), and the iOS app's
``motionactivities``. The device is ``--device``, else ``user/device`` of the ``topic``, else the tracker id ``tid``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ingestion.readers.emission import apple_activity
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


class OwnTracksReader(JsonReader):
    """Reads OwnTracks messages."""

    name = "owntracks"

    def sniff(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """JSON with OwnTracks' ``_type``."""
        return head.lstrip()[:1] in (b"[", b"{") and b'"_type"' in head

    def read_one(self, collector: Collector, offset: int, record: Any, device: str | None) -> None:
        """A record as candidates."""
        _read_message(collector, offset, record, device)


def _read_message(collector: Collector, offset: int, record: Any, device: str | None) -> None:
    message = mapping(record, "message")
    if message.get("_type") != "location":
        collector.ignore()
        return
    common = {
        "device_id": device or _device(message),
        "event_time": instant_us(message, "tst"),
        "received_at": instant_us(message, "received_at", "created_at"),
        "source_offset": offset,
    }
    speed = not_negative(number(message, "vel"))
    fix = {
        **common,
        "lat": number(message, "lat"),
        "lon": number(message, "lon"),
        "accuracy_m": number(message, "acc"),
        "speed_mps": None if speed is None else speed / 3.6,
        "mock": flag(message, *MOCK),
    }
    activities = message.get("motionactivities")
    if activities is not None and not isinstance(activities, list):
        raise BadRecordError(Reason.UNKNOWN_ACTIVITY, f"motionactivities={activities!r:.80} is not a list")
    platform = "ios" if activities is not None else None  # only the iOS app sends the field
    collector.fix(**fix, platform=platform)
    if activities:
        flags = {name: True for name in activities if isinstance(name, str)}
        collector.motion(**common, platform=platform, activity=apple_activity(flags))


def _device(message: Mapping[str, Any]) -> str | None:
    topic = words(message.get("topic"), "topic")
    if topic is not None and len(levels := topic.split("/")) >= 3 and all(levels[1:3]):
        return "/".join(levels[1:3])
    return words(message.get("tid"), "tid")
