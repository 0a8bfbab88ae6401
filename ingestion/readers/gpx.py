"""GPX tracks (topografix.com/GPX/1/1): every ``trkpt`` is a fix; times without a zone are UTC, as the format says.

The device is ``--device``, else the file's name without suffix: GPX names none. Accuracy and speed are not in it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from gpxpy.gpx import GPXException
from gpxpy.gpxfield import parse_time

from ingestion.readers.port import BATCH_TEXT, Batch, Kept
from ingestion.readers.reasons import Reason
from ingestion.readers.records import BadRecordError, Collector
from ingestion.readers.source import head_of, opened
from parked.clock import to_us
from parked.errors import InputError
from parked.names import shown

MAX_ELEMENT: Final = 4 * 1024 * 1024
"""Bytes of XML in which at least one element ends: a track point has some hundred."""

_CHUNK_POINTS: Final = 20_000
_READ_BYTES: Final = 65_536
_DEEPEST: Final = 64
_MEND: Final = "copy or export it again"


class GpxReader:
    """Reads GPX track points."""

    name = "gpx"

    def sniff(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """XML whose head opens a ``gpx`` element."""
        return re.search(rb"<(\w+:)?gpx[\s>]", head) is not None

    def device_of(self, path: Path, device: str | None) -> str | None:
        """``--device``, else the file's name without its suffixes."""
        return device or shown(path.name).removesuffix(".gz").removesuffix(".gpx")

    def read(self, path: Path, *, device: str | None = None) -> Iterator[Batch]:
        """Batches of some thousand points."""
        name = self.device_of(path, device)
        start = before = 0
        chunk: list[ElementTree.Element] = []
        for element, read in _track_points(path):
            chunk.append(element)
            if len(chunk) == _CHUNK_POINTS or read - before >= BATCH_TEXT:
                yield _batch(chunk, start, name)
                start += len(chunk)
                chunk, before = [], read
        if not start and not chunk:
            raise InputError(f"{path}: no track points", mend="export the track, not only waypoints or a route")
        yield _batch(chunk, start, name)

    def again(self, kept: Sequence[Kept], *, source: str, device: str | None = None) -> Batch:
        """Kept points, as XML."""
        return _batch([ElementTree.fromstring(one.payload) for one in kept], 0, self.device_of(Path(source), device))


def _track_points(path: Path) -> Iterator[tuple[ElementTree.Element, int]]:
    """Every ``trkpt``, whole, and how many bytes were read by then; nothing else is kept in memory.

    Raises InputError for XML that is not well-formed or has a document type (entities may explode), and for one
    element larger than ``MAX_ELEMENT``.
    """
    head = head_of(path)
    if not head.strip():
        raise InputError(f"{path}: empty", mend="give a file with records")
    if b"<!DOCTYPE" in head or b"<!ENTITY" in head:
        raise InputError(f"{path}: not well-formed XML for us (it declares a document type)", mend="remove it")
    stated = re.match(rb"<\?xml[^>]*encoding=[\"']([\w.-]+)", head.lstrip())
    # In UTF-8 a stray byte costs the text it stands in; of other encodings expat knows more than we do.
    as_utf8 = stated is None or stated[1].lower() in (b"utf-8", b"utf8", b"us-ascii", b"ascii")
    decode = codecs.getincrementaldecoder("utf-8-sig")("backslashreplace").decode
    parser: Any = ElementTree.XMLPullParser(("start", "end"))
    open_elements: list[ElementTree.Element] = []
    silent = read = 0
    try:
        with opened(path) as stream:
            while data := stream.read(_READ_BYTES):
                read += len(data)
                parser.feed(decode(data) if as_utf8 else data)
                ended = False
                for event, element in parser.read_events():
                    if event == "start":
                        open_elements.append(element)
                        if len(open_elements) > _DEEPEST:
                            raise InputError(f"{path}: elements nested {_DEEPEST} deep", mend=_MEND)
                        continue
                    ended = True
                    open_elements.pop()
                    if any(_is_point(outer) for outer in open_elements):
                        continue
                    if _is_point(element):
                        yield element, read
                    if open_elements:
                        open_elements[-1].remove(element)
                silent = 0 if ended else silent + len(data)
                if silent > MAX_ELEMENT:
                    raise InputError(f"{path}: an element of more than {MAX_ELEMENT >> 20} MB", mend=_MEND)
        parser.close()
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # of an encoding nobody has, too
        raise InputError(f"{path}: not well-formed XML ({error})", mend=_MEND) from None


def _is_point(element: ElementTree.Element) -> bool:
    return element.tag.rpartition("}")[2] == "trkpt"


def _batch(elements: Sequence[ElementTree.Element], start: int, device: str | None) -> Batch:
    collector = Collector([_Lazy(element) for element in elements], start)
    for offset, element in enumerate(elements, start):
        with collector.record(offset):
            collector.fix(
                device_id=device,
                event_time=_time_us(element),
                lat=_degrees(element, "lat"),
                lon=_degrees(element, "lon"),
                source_offset=offset,
            )
    return collector.batch()


class _Lazy:
    """A track point that becomes text only when it must be shown."""

    def __init__(self, element: ElementTree.Element) -> None:
        self._element = element

    def __str__(self) -> str:
        return ElementTree.tostring(self._element, encoding="unicode").strip()


def _degrees(point: ElementTree.Element, name: str) -> float | None:
    text = point.get(name)
    try:
        return None if text is None else float(text.replace("_", "?"))  # Python's own digit groups are no numbers
    except ValueError:
        raise BadRecordError(Reason.BAD_NUMBER, f"{name}={text!r:.80}") from None


def _time_us(point: ElementTree.Element) -> int | None:
    stated = point.find("{*}time")
    if stated is None:
        return None
    try:
        moment = parse_time((stated.text or "").strip())
    except (GPXException, ValueError, OverflowError):
        moment = None
    if moment is None:
        raise BadRecordError(Reason.BAD_TIME, f"time={stated.text!r:.80}")
    return to_us(_utc(moment))


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
