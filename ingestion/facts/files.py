"""A file of fixes -> a file of facts, by ranges of devices: memory holds a range and what waits, not the input."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.facts.build import facts_of
from ingestion.facts.canonical import Canonical
from ingestion.facts.ranges import Buffers, Progress, Source, ranges
from ingestion.facts.rules import Rules
from parked.errors import InputError
from parked.files import atomic_path
from parked.schemas import FACTS

ROW_GROUP = 65_536
"""Rows in a row group of the output, however the input was cut: the same facts are the same bytes."""


@dataclass
class Built:
    """What a build wrote."""

    devices: int = 0
    revisions: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    """revisions by kind"""
    refused: dict[str, int] = field(default_factory=dict)
    """rows that could not be used, by reason code"""

    def count(self, facts: pa.Table) -> Built:
        """Add facts of further devices."""
        self.revisions += facts.num_rows
        self.devices += len(facts["device_id"].unique())
        for kind in facts["kind"].value_counts().to_pylist():
            self.kinds[kind["values"]] += kind["counts"]
        return self


def build_file(
    fixes: Path,
    motion: Path | None,
    out: Path,
    rules: Rules,
    *,
    lag_s: float = 0.0,
    workers: int | None = None,
    progress: Progress = lambda *_a, **_k: None,
) -> Built:
    """``parked facts build``: Parquet of FIXES (and MOTION) in, Parquet of FACTS out (atomic); rows in any order.

    Files in order of device are streamed; others of more than some million rows are first cut into ranges of devices in
    temporary files beside ``out``. workers: threads (default: one a core); they change nothing in the result.
    Raises InputError for unreadable, empty or wrongly shaped input, or ``out`` that is the input (by a link, perhaps);
    then ``out`` is untouched.
    """
    for source in (fixes, motion):
        if source is not None and source.exists() and out.exists() and out.samefile(source):
            raise InputError(f"--out {out}: is the input {source}", mend="give another file")
    sources = [Source.open(fixes, "fixes"), *([Source.open(motion, "motion")] if motion else [])]
    if sources[0].rows == 0:
        raise InputError(f"{fixes}: no rows", mend="give at least one fix")
    rows = sum(source.rows for source in sources)
    progress(0, total=rows)
    try:
        return _build(sources, out, rules, lag_s, workers, progress)
    except MemoryError:
        mend = "write it in row groups of a million rows, in order of device"
        raise InputError(f"{fixes}: {rows:,} rows do not fit in memory", mend=mend) from None


def _build(
    sources: list[Source], out: Path, rules: Rules, lag_s: float, workers: int | None, progress: Progress
) -> Built:
    built = Built()
    with (
        atomic_path(out) as temporary,
        pq.ParquetWriter(temporary, FACTS, compression="zstd", use_dictionary=DICTIONARY) as writer,
    ):
        waiting = _Slices(writer)
        buffers = Buffers()
        parts = ranges(sources, lag_s, out.parent, progress, built.refused, buffers)
        for facts in _in_order(parts, rules, workers, buffers):
            built.count(facts)
            waiting.add(facts)
        waiting.close()
    return built


DICTIONARY = [
    name
    for name in FACTS.names
    if pa.types.is_string(FACTS.field(name).type) and name != "fact_id"
] + ["revision", "fixes", "leg_halts"]  # fmt: skip
"""Columns that repeat few values."""


def _in_order(parts: Iterator[Canonical], rules: Rules, workers: int | None, buffers: Buffers) -> Iterator[pa.Table]:
    """Facts of each part, in the parts' order, a few parts at once."""
    workers = workers or os.cpu_count() or 1
    with ThreadPoolExecutor(workers, thread_name_prefix="facts") as pool:
        going: deque[tuple[Canonical, Future[pa.Table]]] = deque()

        def oldest() -> pa.Table:
            part, future = going.popleft()
            facts = future.result()
            buffers.give(part.records)
            return facts

        for part in parts:
            going.append((part, pool.submit(facts_of, part, rules)))
            while len(going) > workers:
                yield oldest()
        while going:
            yield oldest()


class _Slices:
    """Writes tables as row groups of ROW_GROUP rows, wherever one table ends and the next begins."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer
        self._tables: list[pa.Table] = []
        self._rows = 0

    def add(self, table: pa.Table) -> None:
        self._tables.append(table)
        self._rows += table.num_rows
        if self._rows >= ROW_GROUP:
            whole = pa.concat_tables(self._tables)
            full = self._rows - self._rows % ROW_GROUP
            self._writer.write_table(whole.slice(0, full).combine_chunks(), row_group_size=ROW_GROUP)
            rest = whole.slice(full)
            self._tables, self._rows = [rest], rest.num_rows

    def close(self) -> None:
        if self._rows:
            self._writer.write_table(pa.concat_tables(self._tables).combine_chunks(), row_group_size=ROW_GROUP)
