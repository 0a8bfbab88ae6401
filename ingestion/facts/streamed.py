"""Measurements -> facts, by ranges of devices: memory holds a range and what waits, not the input."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from ingestion.facts.build import facts_of
from ingestion.facts.canonical import Canonical
from ingestion.facts.ranges import Buffers, ranges
from ingestion.facts.rules import Rules
from ingestion.facts.sources import Progress, Source
from ingestion.facts.writer import FactsWriter


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
    parts = ranges(sources, lag_s, scratch, progress, built.refused, buffers, in_memory=in_memory)
    for records, facts in _in_order(parts, rules, workers, buffers):
        built.count(records, facts)
        writer.add(facts)
    return built


def _in_order(
    parts: Iterator[Canonical], rules: Rules, workers: int | None, buffers: Buffers
) -> Iterator[tuple[int, pa.Table]]:
    """(records, facts) of each part, in the parts' order, a few parts at once."""
    workers = workers or os.cpu_count() or 1
    with ThreadPoolExecutor(workers, thread_name_prefix="facts") as pool:
        going: deque[tuple[Canonical, Future[pa.Table]]] = deque()

        def oldest() -> tuple[int, pa.Table]:
            part, future = going.popleft()
            facts, records = future.result(), len(part.records)
            buffers.give(part.records)
            return records, facts

        for part in parts:
            going.append((part, pool.submit(facts_of, part, rules)))
            while len(going) > workers:
                yield oldest()
        while going:
            yield oldest()
