"""GPX tracks (topografix.com/GPX/1/1): every ``trkpt`` is a fix; times without a zone are UTC, as the format says.

The device is ``--device``, else the file's name without suffix: GPX names none. Accuracy and speed are not in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import gpxpy
from gpxpy.gpx import GPXException, GPXTrackPoint

from ingestion.readers.port import Batch
from ingestion.readers.reasons import Reason
from ingestion.readers.records import BadRecordError, Collector
from ingestion.readers.source import text_of
from parked.clock import to_us
from parked.errors import InputError

_FRAME: Final = '<gpx version="1.1" creator="parked"><trk><trkseg>{}</trkseg></trk></gpx>'
_UPSET: Final = (GPXException, ValueError, OverflowError, AttributeError)
"""What gpxpy raises on values it cannot read."""


class GpxReader:
    """Reads GPX track points."""

    name = "gpx"

    def sniff(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """XML whose head opens a ``gpx`` element."""
        return re.search(rb"<(\w+:)?gpx[\s>]", head) is not None

    def device_of(self, path: Path, device: str | None) -> str | None:
        """``--device``, else the file's name without its suffixes."""
        return device or path.name.removesuffix(".gz").removesuffix(".gpx")

    def read(self, path: Path, *, device: str | None = None) -> Iterator[Batch]:
        """One batch: the whole file."""
        text = text_of(path)
        try:
            elements = [e for e in ElementTree.fromstring(text).iter() if e.tag.rpartition("}")[2] == "trkpt"]
        except ElementTree.ParseError as error:
            raise InputError(f"{path}: not well-formed XML ({error})", mend="copy or export it again") from None
        if not elements:
            raise InputError(f"{path}: no track points", mend="export the track, not only waypoints or a route")
        collector = Collector([_Lazy(element) for element in elements])
        name = self.device_of(path, device)
        points = _all_points(text)
        for offset, element in enumerate(elements):
            with collector.record(offset):
                point = points[offset] if len(points) == len(elements) else _one_point(element)
                stated = element.find("{*}time")
                if point.time is None and stated is not None:
                    raise BadRecordError(Reason.BAD_TIME, f"time={stated.text!r:.80}")
                collector.fix(
                    device_id=name,
                    event_time=None if point.time is None else to_us(_utc(point.time)),
                    lat=point.latitude,
                    lon=point.longitude,
                    source_offset=offset,
                )
        yield collector.batch()


class _Lazy:
    """A track point that becomes text only when it must be shown."""

    def __init__(self, element: ElementTree.Element) -> None:
        self._element = element

    def __str__(self) -> str:
        return ElementTree.tostring(self._element, encoding="unicode").strip()


def _all_points(text: str) -> list[GPXTrackPoint]:
    """Every track point, or none where one of them upsets gpxpy."""
    try:
        return _parsed(text)
    except _UPSET:
        return []


def _parsed(text: str) -> list[GPXTrackPoint]:
    return [place.point for place in gpxpy.parse(text).get_points_data()]


def _one_point(element: ElementTree.Element) -> GPXTrackPoint:
    """One track point by itself, so that a bad neighbour does no harm.

    Raises BadRecordError where it is the bad one.
    """
    point = ElementTree.tostring(element, encoding="unicode").replace("ns0:", "").replace("xmlns:ns0", "xmlns")
    try:
        (found,) = _parsed(_FRAME.format(point))
    except _UPSET as error:
        raise BadRecordError(Reason.NOT_A_RECORD, str(error)[:200]) from None
    return found


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
