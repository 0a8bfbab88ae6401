"""Readers: one per file format, all behind ``port.Reader``; ``choose`` finds the one for a file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ingestion.readers.columns import CsvReader, wrong_columns
from ingestion.readers.csvfile import header_of
from ingestion.readers.emission import EmissionReader
from ingestion.readers.gpx import GpxReader
from ingestion.readers.owntracks import OwnTracksReader
from ingestion.readers.parquetfile import MAGIC, ParquetReader, columns_of
from ingestion.readers.port import Reader
from ingestion.readers.source import head_of
from ingestion.readers.start2park import Start2ParkReader
from parked.errors import InputError, NotFoundError

READERS: Final[dict[str, Reader]] = {
    reader.name: reader
    for reader in (ParquetReader(), CsvReader(), Start2ParkReader(), EmissionReader(), OwnTracksReader(), GpxReader())
}
"""By name, in the order they are asked; no two of them know the same file."""

SUFFIXES: Final = (".csv", ".parquet", ".gpx", ".json", ".jsonl", ".ndjson")
"""What a walked folder is searched for, each also with ``.gz`` (but Parquet, which is packed already)."""


def choose(path: Path) -> Reader | None:
    """The reader that knows the file by its first bytes; None where none does.

    Raises InputError where the file cannot be opened or unpacked.
    """
    head = head_of(path)
    return next((reader for reader in READERS.values() if reader.sniff(path, head)), None)


def by_name(name: str) -> Reader:
    """The reader called ``name``. Raises NotFoundError."""
    if name not in READERS:
        raise NotFoundError(f"no reader {name!r}", mend=f"choose one of auto, {', '.join(READERS)}")
    return READERS[name]


def unknown_format(path: Path) -> InputError:
    """The error for a file that no reader knows: what is wrong with it, as far as can be told."""
    head = head_of(path)
    if not head.strip():
        return InputError(f"{path}: empty", mend="give a file with records")
    if b".csv" in path.name.encode() and header_of(head):
        return wrong_columns(path, header_of(head))
    if head[:4] == MAGIC:
        return wrong_columns(path, columns_of(path))
    if path.suffix == ".parquet":
        return InputError(f"{path}: not Parquet", mend="write it again")
    return InputError(f"{path}: no reader knows this format", mend=f"readers: {', '.join(READERS)}; see --reader")


__all__ = ["READERS", "SUFFIXES", "Reader", "by_name", "choose", "unknown_format"]
