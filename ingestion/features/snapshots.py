"""Snapshot files: one immutable Parquet file per view, replaced whole when a build has made a new one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.declare import VIEWS, Catalogue, declared
from feature_repo.objects import snapshot_file
from parked.errors import InputError
from parked.files import atomic_path, write_table
from parked.table_writer import CHUNK, Layout, TableWriter

LAYOUT: Final = Layout(16 * CHUNK, True, packed=True)
"""Of a snapshot file: as Arrow writes a table by default. Three wide views wait for their groups at once: packed."""


def write_snapshots(features_dir: Path, snapshots: Mapping[str, pa.Table]) -> dict[str, Path]:
    """Replace each view's snapshot file (atomically, one after the other); returns view → file.

    Same snapshots, same bytes. A reader that has a file open keeps the old one; ``built_by`` in every row tells builds
    of different rules or declarations apart.
    """
    written = {}
    for view in VIEWS:
        target = snapshot_file(features_dir, view)
        write_table(target, snapshots[view])
        written[view] = target
    return written


def snapshot_writer(path: Path, view: str) -> TableWriter:
    """A writer of a view's snapshots, table after table, to the bytes that ``write_snapshots`` gives all of them."""
    return TableWriter(path, declared().schema(view), LAYOUT)


def put_snapshots(features_dir: Path, files: Mapping[str, Path]) -> None:
    """Move files that ``snapshot_writer`` wrote, on the same file system, to where ``write_snapshots`` writes."""
    for view in VIEWS:
        with atomic_path(snapshot_file(features_dir, view)) as temporary:
            os.replace(files[view], temporary)


def write_missing(features_dir: Path, catalogue: Catalogue | None = None) -> None:
    """Give every view without a snapshot file an empty one, so that a fresh home can be queried."""
    catalogue = catalogue or declared()
    for view in VIEWS:
        target = snapshot_file(features_dir, view)
        if not target.exists():
            write_table(target, catalogue.schema(view).empty_table())


def read_snapshots(features_dir: Path) -> dict[str, pa.Table]:
    """All snapshots, view → table. Raises InputError where there are none or a file is damaged."""
    tables = {}
    for view in VIEWS:
        path = snapshot_file(features_dir, view)
        try:
            tables[view] = pq.ParquetFile(path).read()
        except FileNotFoundError:
            raise InputError(f"{path}: no feature snapshots", mend="run `parked features build`") from None
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path}: unreadable ({error})", mend="run `parked features build` again") from None
    return tables
