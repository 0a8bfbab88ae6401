"""Kernel rows -> the revision log as a table (``parked.schemas.FACTS``): collapse, number, name, convert."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingestion.facts.canonical import Records
from ingestion.facts.kernel.records import first_stated, rises
from ingestion.facts.kernel.revise import hexadecimal, revised
from ingestion.facts.kernel.types import NEVER, NONE, NONE32, REASONS
from parked.schemas import ACTIVITIES, FACTS, FOLLOWED, KINDS, STATUSES, TIME

Rows = npt.NDArray[Any]
"""A numpy array of the kernel's ``ROW``."""


def to_table(rows: Rows, devices: list[str], stated_since: npt.NDArray[np.int64], version: str) -> pa.Table:
    """The revision log of kernel rows as a ``FACTS`` table in its order.

    rows: grouped by device, in order of moment within; devices: ids by the rows' ``device``; stated_since: by device
    (us), see ``stated_since``; version: of the rules.
    """
    kept, revision, names = revised(rows, prefixes(devices, version))
    rows = rows[kept]

    def missing(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
        null = values == {8: NONE, 4: NONE32, 1: -1}[values.itemsize]
        return np.asarray(null) if null.any() else None

    def number(name: str, scale: float) -> pa.Array:
        values = rows[name]
        return pa.array(values / scale, mask=missing(values))

    def moment(name: str, per_us: int = 1000) -> pa.Array:
        values = rows[name]
        return pa.array(values * per_us, pa.int64(), mask=missing(values)).view(TIME)

    def word(name: str, words: tuple[str, ...]) -> pa.Array:
        values = rows[name]
        return pa.array(words, pa.string()).take(pa.array(values, mask=missing(values)))

    def count(name: str) -> pa.Array:
        values = rows[name]
        return pa.array(values, pa.int32(), mask=missing(values))

    columns = {
        "device_id": pa.array(devices, pa.string()).take(pa.array(rows["device"])),
        "fact_id": _texts(hexadecimal(names), 32),
        "kind": word("kind", KINDS),
        "started_at": moment("start"),
        "ended_at": moment("end"),
        "lat": number("lat", 1e7),
        "lon": number("lon", 1e7),
        "uncertainty_m": number("uncertainty_cm", 100.0),
        "status": word("status", STATUSES),
        "revision": pa.array(revision, pa.int32()),
        "rules_version": pa.array([version], pa.string()).take(pa.array(np.zeros(len(rows), np.int8))),
        "available_at": moment("known", 1),
        "started_uncertainty_s": number("start_width", 1000.0),
        "ended_uncertainty_s": number("end_width", 1000.0),
        "radius_m": number("radius_cm", 100.0),
        "fixes": count("fixes"),
        "accuracy_m": number("accuracy_cm", 100.0),
        "silence_s": number("silence", 1000.0),
        "speed_before_mps": number("speed_before", 100.0),
        "speed_after_mps": number("speed_after", 100.0),
        "motion_before": word("motion_before", ACTIVITIES),
        "motion_after": word("motion_after", ACTIVITIES),
        "followed_by": word("followed", FOLLOWED),
        "walked_m": number("walked_cm", 100.0),
        "leg_started_at": moment("leg_start"),
        "leg_distance_m": number("leg_cm", 100.0),
        "leg_max_speed_mps": number("leg_speed", 100.0),
        "leg_fixes": count("leg_fixes"),
        "leg_halts": count("leg_halts"),
        "return_m": number("return_cm", 100.0),
        "next_leg_lat": number("next_lat", 1e7),
        "next_leg_lon": number("next_lon", 1e7),
        "reasons": _reason_texts().take(pa.array(rows["reasons"])),
        "as_if_live": pa.array(rows["known"] >= stated_since[rows["device"]], pa.bool_()),
    }
    return pa.table([columns[f.name] for f in FACTS], schema=FACTS)


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
