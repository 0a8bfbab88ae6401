"""The stored facts of a home: one revision log per rules version, rebuilt from raw, replaced atomically."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from ingestion.facts.build import build_facts, read_table
from ingestion.facts.rules import Rules
from parked.errors import InputError
from parked.files import write_table
from parked.schemas import FIXES, MOTION
from parked.settings import Settings


class Raw(Protocol):
    """What is needed of the raw log."""

    def scan_fixes(self, devices: None = None, *, columns: list[str]) -> pa.Table:
        """All fixes."""

    def scan_motion(self, devices: None = None, *, columns: list[str]) -> pa.Table:
        """All motion records."""


def facts_file(settings: Settings, version: str) -> Path:
    """Where the revision log of a rules version is kept."""
    return settings.facts_dir / version / "facts.parquet"


def rebuild(
    settings: Settings, raw: Raw, rules: Rules, *, progress: Callable[..., None] = lambda *_a, **_k: None
) -> pa.Table:
    """Build the facts of everything in raw and store them. Raises InputError where raw is empty."""
    fixes = raw.scan_fixes(columns=[*FIXES.names, "as_if_live"])
    motion = raw.scan_motion(columns=[*MOTION.names, "as_if_live"])
    progress(0, total=2)
    if fixes.num_rows == 0:
        raise InputError(f"{settings.raw_dir}: no fixes yet", mend="run: parked ingest PATH")
    facts = build_facts(fixes, motion, rules)
    progress(1)
    write_table(facts_file(settings, rules.version), facts)
    progress(1)
    return facts


def read_facts(settings: Settings, version: str) -> pa.Table:
    """The stored revision log. Raises InputError where it was not built yet."""
    path = facts_file(settings, version)
    if not path.exists():
        raise InputError(f"{path}: no facts of rules {version!r} yet", mend="run: parked facts build")
    return read_table(path, "facts")
