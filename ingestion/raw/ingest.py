"""``parked ingest``: files and folders into the raw log, all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from ingestion.raw.log import RawLog
from ingestion.raw.run import Counts
from ingestion.readers import SUFFIXES, Reader, by_name, choose, unknown_format
from parked.clock import Clock
from parked.errors import InputError, SettingError
from parked.files import check_regular, sha256_of
from parked.names import shown
from parked.settings import Settings

LONGEST_LAG_S: Final = 366 * 86_400.0

Progress = Callable[[int, int], None]
"""``progress(files done, files in all)``."""


@dataclass(frozen=True)
class FileReport:
    """What became of one file."""

    source: str
    """its path, printable"""
    reader: str
    run: int
    """id of the run that took it, now or (``already``) before"""
    already: bool
    """The same bytes were taken before, for the same device and lag: nothing read, nothing added."""
    counts: Counts


@dataclass(frozen=True)
class IngestReport:
    """What became of all of them."""

    files: list[FileReport] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Files met in folders that no reader knows. A file named outright is never skipped: it is an error."""

    @property
    def total(self) -> Counts:
        """Sums over the files; ``read == accepted + duplicates + quarantined``."""
        total = Counts()
        for file in self.files:
            for name, value in vars(file.counts).items():
                setattr(total, name, getattr(total, name) + value)
        return total


def ingest_paths(
    paths: Sequence[Path],
    *,
    settings: Settings,
    engine: Engine | Callable[[], Engine],
    clock: Clock,
    reader: str = "auto",
    device: str | None = None,
    as_if_live_lag_s: float | None = None,
    progress: Progress = lambda _done, _all: None,
) -> IngestReport:
    """Read files, and folders through and through, into the raw log.

    ``engine``: of the operations database, or how to open it, asked for once the input is known to be readable: a
    mistyped path then leaves not even an empty database behind. ``reader``: a name of ``ingestion.readers.READERS``,
    or ``auto`` to tell by the first bytes. ``device``: the phone all of it belongs to (else as the format says).
    ``as_if_live_lag_s``: give records that state no time of receipt "measured + so many seconds" and mark them;
    None: they were received now, which is true.

    All becomes visible together at the end. Raises InputError, naming the file and the mend, for a path that does not
    exist or is a pipe or device, a file no reader knows or can read, or nothing to read; then nothing has changed.
    """
    if as_if_live_lag_s is not None and not 0 <= as_if_live_lag_s <= LONGEST_LAG_S:
        raise SettingError(f"as if live with a lag of {as_if_live_lag_s} s", mend="give 0 s to one year")
    chosen, skipped = _choose_all(paths, reader)
    report = IngestReport(skipped=skipped)
    database = engine() if callable(engine) else engine
    with RawLog(settings, database).writing(clock) as writer:
        for path, file_reader in chosen:
            progress(len(report.files), len(chosen))
            source = shown(path)
            sha256, whole_device = sha256_of(path), file_reader.device_of(path, device)
            before = writer.is_done(sha256, whole_device, as_if_live_lag_s)
            if before is not None:
                report.files.append(FileReport(source, file_reader.name, before, True, Counts()))
                continue
            run = writer.begin(source, file_reader.name, sha256, device=whole_device, as_if_live_lag_s=as_if_live_lag_s)
            for batch in file_reader.read(path, device=device):
                run.add(batch)
            report.files.append(FileReport(source, file_reader.name, run.id, False, run.counts))
        progress(len(chosen), len(chosen))
    return report


def _choose_all(paths: Sequence[Path], reader: str) -> tuple[list[tuple[Path, Reader]], list[str]]:
    """A reader for every file, before anything is written."""
    forced = None if reader == "auto" else by_name(reader)
    chosen: list[tuple[Path, Reader]] = []
    skipped: list[str] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder", mend="check the path")
        check_regular(path)
        if not path.is_dir():
            found = forced or choose(path)
            if found is None:
                raise unknown_format(path)
            chosen.append((path, found))
            continue
        before = len(chosen)
        for file in sorted(f for f in path.rglob("*") if f.is_file() and not f.name.startswith(".")):
            known = (forced or choose(file)) if _is_data(file) else None
            if known is None:
                skipped.append(shown(file))
            else:
                chosen.append((file, known))
        if len(chosen) == before:
            raise InputError(f"{path}: no file in it that a reader knows", mend=f"readers take {', '.join(SUFFIXES)}")
    return chosen, skipped


def _is_data(file: Path) -> bool:
    return file.name.lower().removesuffix(".gz").endswith(SUFFIXES)
