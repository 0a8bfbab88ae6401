"""Facts, table after table, into one Parquet file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from parked.schemas import FACTS
from parked.table_writer import CHUNK, Layout, TableWriter

_WORDS = [name for name in FACTS.names if pa.types.is_string(FACTS.field(name).type) and name != "fact_id"]
TOLD = ("device_id", "started_at", "ended_at", "available_at")
"""A row group is a range of devices: by the others' least and greatest nobody could pass over it, and to find them is a
tenth of the writing."""
FILE = Layout(CHUNK, (*_WORDS, "revision", "fixes", "leg_halts"), TOLD)
"""Of a file that was asked for: small groups, and only columns that repeat few values are tried as a dictionary."""
STORED = Layout(16 * CHUNK, True, TOLD)
"""Of the stored log."""


class FactsWriter(TableWriter):
    """Writes FACTS to ``path``, as row groups of one size. Holds the rows of one group."""

    def __init__(self, path: Path, layout: Layout, said: Mapping[bytes, bytes] | None = None) -> None:
        """``said``: what the file says of itself."""
        super().__init__(path, FACTS.with_metadata(said), layout)
