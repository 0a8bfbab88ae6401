"""Kernel rows -> the revision log as a table (``parked.schemas.FACTS``): collapse, number, name, convert."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingestion.facts.canonical import Records
from ingestion.facts.kernel.columns import columns
from ingestion.facts.kernel.order import rises
from ingestion.facts.kernel.records import first_stated
from ingestion.facts.kernel.revise import hexadecimal, revised
from ingestion.facts.kernel.types import NEVER, REASONS, ROW
from parked.schemas import ACTIVITIES, FACTS, FOLLOWED, KINDS, STATUSES, TIME

Rows = npt.NDArray[Any]
"""A numpy array of the kernel's ``ROW``."""


def to_table(rows: Rows, devices: list[str], stated_since: npt.NDArray[np.int64], version: str) -> pa.Table:
    """The revision log of kernel rows as a ``FACTS`` table in its order.

    rows: grouped by device, in order of moment within; devices: ids by the rows' ``device``; stated_since: by device
    (us), see ``stated_since``; version: of the rules.
    """
    rows = np.ascontiguousarray(rows)
    kept, revision, names = revised(rows, prefixes(devices, version))
    made = _columns(rows, kept)
    device, known = made["device"], made["available_at"]
    made |= {
        "device_id": pa.array(devices, pa.string()).take(device),
        "fact_id": _texts(hexadecimal(names), 32),
        "revision": pa.array(revision, pa.int32()),
        "rules_version": pa.array([version], pa.string()).take(pa.array(np.zeros(len(kept), np.int8))),
        "reasons": _reason_texts().take(made["reasons"]),
        "as_if_live": pa.array(np.asarray(known.view(pa.int64())) >= stated_since[np.asarray(device)], pa.bool_()),
    }
    return pa.table([made[f.name] for f in FACTS], schema=FACTS)


NUMBERS: Final = {
    "lat": ("lat", 1e7),
    "lon": ("lon", 1e7),
    "uncertainty_m": ("uncertainty_cm", 100.0),
    "started_uncertainty_s": ("start_width", 1000.0),
    "ended_uncertainty_s": ("end_width", 1000.0),
    "radius_m": ("radius_cm", 100.0),
    "accuracy_m": ("accuracy_cm", 100.0),
    "silence_s": ("silence", 1000.0),
    "speed_before_mps": ("speed_before", 100.0),
    "speed_after_mps": ("speed_after", 100.0),
    "walked_m": ("walked_cm", 100.0),
    "leg_distance_m": ("leg_cm", 100.0),
    "leg_max_speed_mps": ("leg_speed", 100.0),
    "return_m": ("return_cm", 100.0),
    "next_leg_lat": ("next_lat", 1e7),
    "next_leg_lon": ("next_lon", 1e7),
}
"""Columns that are a field divided by so much."""

MOMENTS: Final = {
    "started_at": ("start", 1000.0),
    "ended_at": ("end", 1000.0),
    "available_at": ("known", 1.0),
    "leg_started_at": ("leg_start", 1000.0),
}
"""Columns of moments that are, in microseconds, a field times so much."""

COUNTS: Final = ("fixes", "leg_fixes", "leg_halts")
"""Columns that are the field of their name."""

_CODES: Final = (*COUNTS, "device", "reasons")
"""Fields taken as they are, those that become texts among them."""

WORDS: Final = {
    "kind": ("kind", KINDS),
    "status": ("status", STATUSES),
    "motion_before": ("motion_before", ACTIVITIES),
    "motion_after": ("motion_after", ACTIVITIES),
    "followed_by": ("followed", FOLLOWED),
}
"""Columns that are the word of so many."""


@lru_cache(maxsize=1)
def _plan() -> tuple[list[str], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Names of the columns that the kernel fills, its ``plan`` and ``scales``."""
    scaled = [*NUMBERS.items(), *MOMENTS.items()]
    plain = [*((name, (name, 1.0)) for name in _CODES), *((name, (field, 1.0)) for name, (field, _) in WORDS.items())]
    array = [0] * len(NUMBERS) + [1] * len(MOMENTS) + [2] * len(_CODES) + [3] * len(WORDS)
    place = [*range(len(scaled)), *range(len(_CODES)), *range(len(WORDS))]
    names, plan = [], []
    for (name, (field, _)), which, k in zip([*scaled, *plain], array, place, strict=True):
        dtype, offset = ROW.fields[field][:2]  # type: ignore[index]
        names.append(name)
        plan.append((dtype.itemsize, offset // dtype.itemsize, which, k))
    return names, np.array(plan, np.int64), np.array([scale for _, (_, scale) in [*scaled, *plain]])


def _columns(rows: Rows, kept: npt.NDArray[np.int64]) -> dict[str, pa.Array]:
    """What the kernel makes of the rows at ``kept``, by the column's name; ``device`` and ``reasons`` as codes."""
    names, plan, scales = _plan()
    n = len(kept)
    words = tuple(rows.view(f"i{size}").reshape(len(rows), ROW.itemsize // size) for size in (8, 4, 1))
    wide = np.empty((len(NUMBERS) + len(MOMENTS), n))
    narrow, codes = np.empty((len(_CODES), n), np.int32), np.empty((len(WORDS), n), np.int8)
    bits = np.zeros((len(names), (n + 7) // 8), np.uint8)
    nulls = columns(words, kept, plan, scales, wide, narrow, codes, bits)
    made = {}
    for name, (_, _, array, k), valid, missing in zip(names, plan, bits, nulls, strict=True):
        values = (wide, wide, narrow, codes)[array][k]
        kind = (pa.float64(), TIME, pa.int32(), pa.int8())[array]
        there = pa.py_buffer(valid) if missing else None
        column = pa.Array.from_buffers(kind, n, [there, pa.py_buffer(values)], int(missing))
        made[name] = pa.array(WORDS[name][1], pa.string()).take(column) if name in WORDS else column
    return made


def stated_since(records: Records, bounds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """By device: from which moment (us) on its facts rest on arrival times that were stated, not observed.

    records: in canonical order, of (some of) the devices 0 to len(bounds) - 2.
    """
    first = np.asarray(first_stated(records, len(bounds) - 1), np.int64)
    if (first == NEVER).all() or rises(records):  # all observed, or no two of a moment: nothing to look for
        return first
    unheard = _never_heard(records)
    unheard = unheard[records["stated"][unheard]]
    for device in np.unique(records["device"][unheard[records["recv"][unheard] == first[records["device"][unheard]]]]):
        heard = records["device"] == device
        heard[unheard] = False
        first[device] = first_stated(records[heard], len(first))[device]
    return first


def _never_heard(records: Records) -> npt.NDArray[np.int64]:
    """Where there are fixes, in canonical order, that never spoke: a better one of their moment was there when they
    came. No fact rests on their arrival.
    """
    t = records["t"]
    rows = 1 + np.flatnonzero(t[1:] == t[:-1])
    both = np.take(records, rows), np.take(records, rows - 1)
    rows = rows[(both[0]["device"] == both[1]["device"]) & (both[0]["act"] < 0) & (both[1]["act"] < 0)]
    first = records["recv"].copy()  # receipt, of the fixes of a moment up to here
    while (first[rows - 1] < first[rows]).any():
        first[rows] = np.minimum(first[rows], first[rows - 1])
    return np.asarray(rows[first[rows - 1] <= records["recv"][rows]])


def prefixes(devices: list[str], version: str) -> npt.NDArray[np.uint64]:
    """uint64 [devices, 2]: what makes a fact's name depend on its device and the rules' version (BLAKE2b)."""
    digests = [hashlib.blake2b(f"{version}\0{d}".encode(), digest_size=16).digest() for d in devices]
    return np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2).astype(np.uint64)


def _texts(characters: npt.NDArray[np.uint8], width: int) -> pa.Array:
    """Texts of ``width`` characters each from their bytes one after another."""
    offsets = np.arange(0, len(characters) + width, width, dtype=np.int32)
    return pa.StringArray.from_buffers(len(characters) // width, pa.py_buffer(offsets), pa.py_buffer(characters))


@lru_cache(maxsize=1)
def _reason_texts() -> pa.Array:
    """Comma-separated reason codes for every set of bits."""
    sets = range(1 << len(REASONS))
    return pa.array([",".join(text for i, text in enumerate(REASONS) if bits >> i & 1) for bits in sets], pa.string())
