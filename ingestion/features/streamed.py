"""Fact revisions -> feature snapshots, by ranges of devices: memory holds a range and what waits, not the log."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from feature_repo.declare import VIEWS, declared
from ingestion.features.fold import Folder, Progress
from ingestion.features.online import online_rows
from ingestion.features.revisions import Revisions
from ingestion.features.snapshots import snapshot_writer


@dataclass(frozen=True)
class Folded:
    """What folding a log made."""

    files: Mapping[str, Path]
    """view → its snapshots, as ``write_snapshots`` would write them"""
    rows: Mapping[str, int]
    """view → how many they are"""
    online: Mapping[str, pa.Table]
    """view → the snapshots that serving can ask for"""


def fold_streamed(revisions: Revisions, scratch: Path, progress: Progress | None = None) -> Folded:
    """Fold ``revisions`` into files in ``scratch``. Raises what ``fold_facts`` and reading them raise."""
    catalogue = declared()
    folder = Folder(sorted(revisions.versions), catalogue)
    files = {view: scratch / f"{view}.parquet" for view in VIEWS}
    rows = dict.fromkeys(VIEWS, 0)
    online = {view: [catalogue.schema(view).empty_table()] for view in VIEWS}
    with ExitStack() as stack:
        writers = {view: stack.enter_context(snapshot_writer(files[view], view)) for view in VIEWS}
        for devices in revisions.ranges(scratch):
            for made in folder.fold_all(devices, progress):
                for view, chosen in online_rows(made).items():
                    online[view].append(chosen.slice())
                for view in VIEWS:
                    writers[view].add(made[view])
                    rows[view] += made[view].num_rows
            pa.default_memory_pool().release_unused()  # or it keeps a few ranges' worth
    return Folded(files, rows, {view: pa.concat_tables(parts) for view, parts in online.items()})
