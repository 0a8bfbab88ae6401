"""What killed workers left of their metrics, where all workers of a server write (prometheus_client's files).

A worker that ends in good order takes its gauges of the living with it; one that is killed cannot, and would be shown
as ready with its model for ever. What it counted stays (a counter that goes back is a lie too), but not its files: two
for each worker that was ever killed would be read at every reading. So the counts of the dead are added up in one file
of each kind, by one process at a time and while nobody reads; what is to be done is written down first, so that who is
killed while doing it leaves nothing to be counted twice or lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import re
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import structlog

from parked.files import write_bytes, write_text
from parked.worker_status import process_started

log = structlog.get_logger(__name__)

_GAUGE: Final = re.compile(r"gauge_(?:live[a-z]*|all)_([0-9]+)\.db")
"""Of the living alone: ``all`` has a series for each process."""
_COUNTS: Final = re.compile(r"(counter|histogram|summary)_([0-9]+)\.db")
_ENDED: Final = "ended"
"""In the place of a process's number: of all that have ended."""
_PLAN: Final = "adding-up.json"
_LOCK: Final = "lock"
_LOOK_S: Final = 0.005
_PATIENCE_S: Final = 1.0
"""For who adds up: that takes milliseconds."""
_DAMAGED: Final = (OSError, struct.error, RuntimeError, ValueError)


def forget_dead(environment: Mapping[str, str] = os.environ) -> None:
    """Remove the gauges of processes that have ended, and add up what they counted, unless somebody reads just now.

    Does nothing where metrics are of one process. A process that was given a dead worker's number keeps that worker's
    values: the kernel goes round all numbers first.
    """
    folder = _folder(environment)
    if folder is not None:
        with _lock_of(folder) as lock:
            if lock is not None:
                _forget(folder, lock)


@contextlib.asynccontextmanager
async def reading(environment: Mapping[str, str] = os.environ) -> AsyncIterator[None]:
    """While all workers' files are read: none of them goes meanwhile, of the dead their counts are left, and a file in
    which there is nothing yet (its worker makes it just now, or was killed while it did) stops no reading."""
    folder = _folder(environment)
    if folder is None:
        yield
        return
    _pass_over_empty()
    with _lock_of(folder) as lock:
        if lock is not None:
            _forget(folder, lock)
            for _ in range(int(_PATIENCE_S / _LOOK_S)):
                if _locked(lock, fcntl.LOCK_SH):
                    break
                await asyncio.sleep(_LOOK_S)
        yield


@cache
def _pass_over_empty() -> None:
    """prometheus_client makes a file and then fills it, and its reader fails over one that it meets in between."""
    from prometheus_client.mmap_dict import MmapedDict  # not at import: BentoML says first where its files are

    its: Any = MmapedDict  # untyped
    read = its.read_all_values_from_file

    def filled(file: str) -> Iterable[tuple[str, float, float, int]]:
        made: Iterable[tuple[str, float, float, int]] = read(file) if Path(file).stat().st_size else ()
        return made

    its.read_all_values_from_file = staticmethod(filled)


def _folder(environment: Mapping[str, str]) -> Path | None:
    told = environment.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(told) if told and Path(told).is_dir() else None


@contextlib.contextmanager
def _lock_of(folder: Path) -> Iterator[int | None]:
    """The lock's descriptor; None where it cannot be had (no file can be made): then nobody adds up here."""
    lock = None
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        log.warning("metrics_not_locked", error=error.strerror)
    try:
        yield lock
    finally:
        if lock is not None:
            os.close(lock)


def _locked(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _forget(folder: Path, lock: int) -> None:
    if not _locked(lock, fcntl.LOCK_EX):
        return
    try:
        _carry_out(folder)  # what another was killed over
        dead: dict[str, list[Path]] = defaultdict(list)
        for file in folder.glob("*_*.db"):
            gauge, counts = _GAUGE.fullmatch(file.name), _COUNTS.fullmatch(file.name)
            if gauge is not None and process_started(int(gauge[1])) is None:
                file.unlink(missing_ok=True)
            elif counts is not None and process_started(int(counts[2])) is None:
                dead[counts[1]].append(file)
        if dead:
            _add_up(folder, dead)
            _carry_out(folder)
    except OSError as error:  # a full disk: what was there is there still
        log.warning("metrics_of_the_dead_not_added_up", error=str(error))
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)


def _add_up(folder: Path, dead: Mapping[str, Sequence[Path]]) -> None:
    """Write new sums aside, and then down what is to become of them and of the files they are made of. Raises OSError:
    then there is no plan, and nothing becomes of them."""
    for kind, files in dead.items():
        sums: defaultdict[str, float] = defaultdict(float)
        for file in [folder / f"{kind}_{_ENDED}.db", *files]:
            for key, value in _values(file):
                sums[key] += value
        write_bytes(folder / f"{kind}_{_ENDED}.new", _as_kept(sums))
    plan = {"kinds": sorted(dead), "gone": [file.name for files in dead.values() for file in files]}
    write_text(folder / _PLAN, json.dumps(plan))


def _as_kept(sums: Mapping[str, float]) -> bytes:
    """A file as prometheus_client's ``MmapedDict`` keeps one. Its own writer maps it: a full disk would be no error."""
    entries = []
    for key, value in sums.items():
        encoded = key.encode()
        padded = encoded + b" " * (8 - (len(encoded) + 4) % 8)
        entries.append(struct.pack(f"i{len(padded)}sdd", len(encoded), padded, value, 0.0))
    kept = b"".join(entries)
    return struct.pack("i4x", 8 + len(kept)) + kept


def _carry_out(folder: Path) -> None:
    """Do what is written down, as far as it is not done yet."""
    drawn = folder / _PLAN
    if not drawn.exists():
        return
    plan = json.loads(drawn.read_text(encoding="utf-8"))
    for kind in plan["kinds"]:
        with contextlib.suppress(FileNotFoundError):  # done before
            (folder / f"{kind}_{_ENDED}.new").replace(folder / f"{kind}_{_ENDED}.db")
    for name in plan["gone"]:
        (folder / name).unlink(missing_ok=True)
    drawn.unlink()


def _values(file: Path) -> list[tuple[str, float]]:
    """What a file counts; nothing of one whose process was killed before anything was in it."""
    from prometheus_client.mmap_dict import MmapedDict

    kept: Any = MmapedDict  # untyped
    if not file.exists() or not file.stat().st_size:
        return []
    try:
        return [(key, value) for key, value, _, _ in kept.read_all_values_from_file(str(file))]
    except _DAMAGED as error:  # every reading would fail over it
        log.warning("metrics_damaged", file=file.name, error=repr(error))
        return []
