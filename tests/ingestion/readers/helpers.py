"""Reading a small file in one go."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from ingestion.readers.port import CANDIDATE_FIXES, CANDIDATE_MOTION, Malformed, Reader


class Everything(NamedTuple):
    fixes: list[dict[str, Any]]
    motion: list[dict[str, Any]]
    malformed: list[Malformed]
    ignored: int

    @property
    def reasons(self) -> list[str]:
        return [str(entry.reason) for entry in self.malformed]


def read_all(reader: Reader, path: Path, device: str | None = None) -> Everything:
    fixes, motion = [CANDIDATE_FIXES.empty_table()], [CANDIDATE_MOTION.empty_table()]
    malformed: list[Malformed] = []
    ignored = 0
    for batch in reader.read(path, device=device):
        assert batch.fixes.schema.equals(CANDIDATE_FIXES)
        assert batch.motion.schema.equals(CANDIDATE_MOTION)
        fixes.append(batch.fixes)
        motion.append(batch.motion)
        malformed += batch.malformed
        ignored += batch.ignored
    return Everything(
        pa.concat_tables(fixes).to_pylist(), pa.concat_tables(motion).to_pylist(), malformed, ignored
    )  # fmt: skip
