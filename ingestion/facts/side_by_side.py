"""Two rules versions computed from the same records, by ranges of devices: memory holds a range and the differences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ingestion.facts.build import facts_of
from ingestion.facts.canonical import Canonical
from ingestion.facts.diff import Difference, difference, joined
from ingestion.facts.files import IN_MEMORY
from ingestion.facts.ranges import one_by_one
from ingestion.facts.rules import Rules
from ingestion.facts.sources import ParquetSource, Progress


def side_by_side(parts: Iterable[Canonical], a: Rules, b: Rules) -> tuple[Difference, int]:
    """What B makes of the facts of A, and of how many records. parts: in ascending ranges of devices."""
    found, records = [], 0
    for part in parts:
        found.append(difference(facts_of(part, a), facts_of(part, b)))
        records += len(part.records)
    return joined(found), records


def file_ranges(fixes: Path, motion: Path | None, scratch: Path, progress: Progress) -> Iterator[Canonical]:
    """The records of a file of FIXES (and one of MOTION) by ascending ranges of devices.

    ``scratch``: folder for temporary files, made where many rows are in no order; ``progress``: told of rows read.
    Raises InputError for unreadable or wrongly shaped input.
    """
    sources = [ParquetSource(fixes, "fixes"), *([ParquetSource(motion, "motion")] if motion else [])]
    progress(0, total=sum(source.rows for source in sources))
    yield from one_by_one(sources, scratch, progress, in_memory=IN_MEMORY)


def only(parts: Iterable[Canonical], device: str) -> Iterator[Canonical]:
    """The records of one device, where there are any."""
    for part in parts:
        records = part.of(device)
        if len(records):
            records["device"] = 0
            yield Canonical([device], np.array([0, len(records)]), records, {})
