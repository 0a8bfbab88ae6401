"""What the stop engine asks of the raw log: the records of some devices or of some time, or all of them in ranges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from ingestion.facts.canonical import Canonical, canonicalise
from ingestion.facts.ranges import one_by_one
from ingestion.facts.sources import BATCH, Progress, Source
from parked.schemas import FIXES, MOTION

IN_MEMORY = 2_000_000
"""A log of no more records is ordered in memory. More go through files, a third slower."""


class Raw(Protocol):
    """What is needed of the raw log."""

    def position(self) -> int:
        """Where it ends now."""

    def scan_fixes(
        self, devices: Sequence[str] | None = None, *, columns: Sequence[str], after: int = 0, upto: int | None = None
    ) -> pa.Table:
        """Fixes of all devices or some, between two positions."""

    def scan_motion(
        self, devices: Sequence[str] | None = None, *, columns: Sequence[str], after: int = 0, upto: int | None = None
    ) -> pa.Table:
        """Motion records, likewise."""

    def receipts(self, kind: str, *, columns: Sequence[str], rows: int, upto: int | None = None) -> Iterator[pa.Table]:
        """Every receipt of every record of a kind (fixes, motion) up to a position, at most ``rows`` at a time."""

    def count_receipts(self, kind: str, *, upto: int | None = None) -> int:
        """How many rows that gives."""

    def received_earlier(self, *, after: int = 0, upto: int | None = None) -> list[str]:
        """Devices with a record that raw learned between two positions to have been received earlier than known."""


def raw_records(
    raw: Raw, devices: Sequence[str] | None = None, *, after: int = 0, upto: int | None = None
) -> Canonical:
    """Raw fixes and motion between two positions, as the kernel takes them."""
    fixes = raw.scan_fixes(devices, columns=[*FIXES.names, "as_if_live"], after=after, upto=upto)
    motion = raw.scan_motion(devices, columns=[*MOTION.names, "as_if_live"], after=after, upto=upto)
    return canonicalise(fixes, motion)


class RawSource(Source):
    """All records of a kind up to a position, in no order. Of a record's receipts, which may all be there, the first
    counts: ``canonical_of`` sees to that, as of any copies.
    """

    def __init__(self, raw: Raw, what: str, upto: int) -> None:
        """``what``: fixes or motion."""
        self.what, self.name, self._raw, self._upto = what, f"raw {what}", raw, upto
        self.rows = raw.count_receipts(what, upto=upto)

    def tables(self, columns: list[str] | None = None, group: int | None = None) -> Iterator[pa.Table]:
        """The rows, BATCH at a time. Raises what ``raw`` raises where a segment is missing or damaged."""
        assert group is None, "raw has no groups"
        names = columns or [*self.schema.names, "as_if_live"]
        yield from self._raw.receipts(self.what, columns=names, rows=BATCH, upto=self._upto)


def raw_sources(raw: Raw, upto: int) -> list[RawSource]:
    """Everything in raw up to a position."""
    return [RawSource(raw, what, upto) for what in ("fixes", "motion")]


def raw_ranges(raw: Raw, upto: int, scratch: Path, progress: Progress = lambda *_a, **_k: None) -> Iterator[Canonical]:
    """Everything in raw up to a position, by ascending ranges of devices.

    ``scratch``: folder for temporary files; ``progress`` is called with rows read.
    """
    sources = raw_sources(raw, upto)
    progress(0, total=sum(source.rows for source in sources))
    yield from one_by_one(sources, scratch, progress, in_memory=IN_MEMORY)
