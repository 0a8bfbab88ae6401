"""Measurements -> facts, by ranges of devices: memory holds a range and what waits, not the input."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow as pa

from ingestion.facts.ahead import in_order
from ingestion.facts.buffers import Buffers
from ingestion.facts.build import facts_of
from ingestion.facts.ranges import Part, ranges
from ingestion.facts.rules import Rules
from ingestion.facts.sources import Progress, Source
from ingestion.facts.writer import FactsWriter

AT_ONCE: Final = 8
"""Ranges, at most, whose facts are made or wait to be written, however many threads: what they hold is bounded."""
RECORDS_AT_ONCE: Final = 8_000_000
"""Likewise their records (40 bytes each), by the largest row group; of one range there may be more."""


@dataclass
class Built:
    """What a build wrote."""

    records: int = 0
    """that entered the machine, copies once"""
    devices: int = 0
    revisions: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    """revisions by kind"""
    refused: dict[str, int] = field(default_factory=dict)
    """rows that could not be used, by reason code"""

    def count(self, records: int, facts: pa.Table) -> None:
        """Add records and facts of further devices."""
        self.records += records
        self.revisions += facts.num_rows
        self.devices += len(facts["device_id"].unique())
        for kind in facts["kind"].value_counts().to_pylist():
            self.kinds[kind["values"]] += kind["counts"]


def build_streamed(
    sources: Sequence[Source],
    writer: FactsWriter,
    rules: Rules,
    *,
    scratch: Path,
    in_memory: int,
    lag_s: float = 0.0,
    workers: int | None = None,
    progress: Progress = lambda *_a, **_k: None,
) -> Built:
    """Write the facts of everything in ``sources``, in the order of FACTS.

    ``scratch``, ``in_memory``: where and from how many rows on temporary files are made, if in no order; ``lag_s``:
    stated lag in seconds where received_at is null; ``workers``: threads (default: one a core), which change nothing in
    the result; ``progress`` is called with rows read. Raises what the sources raise.
    """
    built = Built()
    buffers = Buffers()
    threads = workers or os.cpu_count() or 1

    def of(part: Part) -> tuple[int, pa.Table]:
        records = part()
        facts = facts_of(records, rules)
        buffers.give(records.records)
        return len(records.records), facts

    def keep(records: int, facts: pa.Table) -> None:
        built.count(records, facts)
        writer.add(facts)

    with ThreadPoolExecutor(threads, "facts") as pool, ThreadPoolExecutor(1, "facts-writer") as pen:
        parts = ranges(
            sources, lag_s, scratch, progress, built.refused, buffers, pool, threads=threads, in_memory=in_memory
        )
        largest = max(1, *(source.largest for source in sources))
        ahead = max(1, min(threads, AT_ONCE, RECORDS_AT_ONCE // largest))
        made = in_order((partial(of, part) for part in parts), pool, ahead)
        for _ in in_order((partial(keep, *one) for one in made), pen, 1):
            pass  # one is written while the next is made
    return built
