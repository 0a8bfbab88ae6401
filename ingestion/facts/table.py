"""Kernel rows -> the revision log as a table (``parked.schemas.FACTS``): collapse, number, name, convert."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.facts.canonical import Canonical
from ingestion.facts.kernel.types import NONE, NONE32, REASONS, RETRACTED, ROW, ROW_IS
from ingestion.facts.rules import Rules
from parked.schemas import ACTIVITIES, FACTS, FOLLOWED, KINDS, STATUSES, TIME

_ID_FIELDS = ("device", "kind", "anchor")


def revisions_of(rows: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    """Of each fact, what stood at each moment: one row per (fact, known) that changed something, and its number."""
    order = np.lexsort((np.arange(len(rows)), rows["known"], rows["anchor"], rows["kind"], rows["device"]))
    rows = rows[order]

    def fact_changes(r: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        change = np.ones(len(r), bool)
        if len(r):
            change[1:] = np.logical_or.reduce([r[f][1:] != r[f][:-1] for f in _ID_FIELDS])
        return change

    # Within one moment only the last word counts.
    last = np.ones(len(rows), bool)
    if len(rows):
        last[:-1] = fact_changes(rows)[1:] | (rows["known"][1:] != rows["known"][:-1])
    rows = rows[last]
    # A fact that was never visible cannot be retracted; a word said twice is no revision.
    while len(rows):
        first = fact_changes(rows)
        retracted = rows["status"] == RETRACTED
        names = [f for f in ROW.names or () if f not in ROW_IS]
        changed = np.ones(len(rows), bool)
        changed[1:] = np.logical_or.reduce([rows[f][1:] != rows[f][:-1] for f in names])
        changed[1:] &= ~(retracted[1:] & retracted[:-1])
        keep = np.where(first, ~retracted, changed)
        if keep.all():
            break
        rows = rows[keep]
    first = fact_changes(rows)
    starts = np.flatnonzero(first)
    revision = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
    return rows, (revision + 1).astype(np.int32)


def to_table(revisions: tuple[npt.NDArray[Any], npt.NDArray[np.int32]], records: Canonical, rules: Rules) -> pa.Table:
    """Revisions (from ``revisions_of``) as a ``FACTS`` table in its order."""
    rows, revision = revisions

    def missing(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        null = {8: NONE, 4: NONE32, 1: -1}[values.itemsize]
        return np.asarray(values == null)

    def number(name: str, scale: float) -> pa.Array:
        values = rows[name]
        return pa.array(values / scale, mask=missing(values))

    def moment(name: str, per_us: int = 1000) -> pa.Array:
        values = rows[name]
        null = missing(values)
        return pa.array(np.where(null, 0, values * per_us), pa.int64(), mask=null).cast(TIME)

    def word(name: str, words: tuple[str, ...]) -> pa.Array:
        values = rows[name]
        null = missing(values)
        return pa.array(words, pa.string()).take(pa.array(np.where(null, 0, values), mask=null))

    def count(name: str) -> pa.Array:
        values = rows[name]
        return pa.array(values, pa.int32(), mask=missing(values))

    stated = _stated_since(records)
    columns = {
        "device_id": pa.array(records.devices, pa.string()).take(pa.array(rows["device"])),
        "fact_id": _fact_ids(rows, records.devices, rules.version),
        "kind": word("kind", KINDS),
        "started_at": moment("start"),
        "ended_at": moment("end"),
        "lat": number("lat", 1e7),
        "lon": number("lon", 1e7),
        "uncertainty_m": number("uncertainty_cm", 100.0),
        "status": word("status", STATUSES),
        "revision": pa.array(revision, pa.int32()),
        "rules_version": pa.array([rules.version] * len(rows), pa.string()),
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
        "reasons": _reasons(rows["reasons"]),
        "as_if_live": pa.array(rows["known"] >= stated[rows["device"]], pa.bool_()),
    }
    table = pa.table([pc.cast(columns[f.name], f.type) for f in FACTS], schema=FACTS)
    keys = ("device_id", "available_at", "kind", "started_at", "fact_id", "revision")
    return table.take(pc.sort_indices(table, sort_keys=[(k, "ascending") for k in keys]))


def _stated_since(records: Canonical) -> npt.NDArray[np.int64]:
    """By device: from which moment (us) on its facts rest on arrival times that were stated, not observed."""
    never = np.iinfo(np.int64).max
    since = np.full(len(records.devices), never)
    stated = records.records[records.records["stated"]]
    np.minimum.at(since, stated["device"], stated["recv"])
    return since


def _fact_ids(rows: npt.NDArray[Any], devices: list[str], version: str) -> pa.Array:
    """128-bit content hash over (rules version, device, kind, anchor ms): the same fact has the same id for ever."""
    keys = np.stack([rows[f] for f in _ID_FIELDS], axis=1) if len(rows) else np.zeros((0, 3), np.int64)
    unique, inverse = np.unique(keys, axis=0, return_inverse=True)
    prefixes = [hashlib.blake2b(f"{version}\0{d}\0".encode(), digest_size=16) for d in devices]
    ids = []
    for device, kind, anchor in unique.tolist():
        digest = prefixes[device].copy()
        digest.update(f"{kind}\0{anchor}".encode())
        ids.append(digest.hexdigest())
    return pa.array(ids, pa.string()).take(pa.array(inverse.reshape(-1)))


def _reasons(bits: npt.NDArray[np.int64]) -> pa.Array:
    unique, inverse = np.unique(bits, return_inverse=True)
    texts = [",".join(text for i, text in enumerate(REASONS) if value >> i & 1) for value in unique.tolist()]
    return pa.array(texts, pa.string()).take(pa.array(inverse))
