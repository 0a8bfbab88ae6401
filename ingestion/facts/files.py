"""A file of fixes -> a file of facts, in bounded memory."""

from __future__ import annotations

from pathlib import Path

from ingestion.facts.rules import Rules
from ingestion.facts.sources import ParquetSource, Progress
from ingestion.facts.streamed import Built, build_streamed
from ingestion.facts.writer import FILE, FactsWriter
from parked.errors import InputError
from parked.files import atomic_path

IN_MEMORY = 12_000_000
"""Files of no more rows in all are ordered in memory, which is a little faster."""


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
    sources = [ParquetSource(fixes, "fixes"), *([ParquetSource(motion, "motion")] if motion else [])]
    if sources[0].rows == 0:
        raise InputError(f"{fixes}: no rows", mend="give at least one fix")
    rows = sum(source.rows for source in sources)
    progress(0, total=rows)
    try:
        with atomic_path(out) as temporary, FactsWriter(temporary, FILE) as writer:
            return build_streamed(
                sources,
                writer,
                rules,
                scratch=out.parent,
                in_memory=IN_MEMORY,
                lag_s=lag_s,
                workers=workers,
                progress=progress,
            )
    except MemoryError:
        mend = "write it in row groups of a million rows, in order of device"
        raise InputError(f"{fixes}: {rows:,} rows do not fit in memory", mend=mend) from None
