"""The stop engine as records arrive: one process, many devices, a bounded state each; equal to a build at every moment.

What it writes are kernel rows (``ROW``), to be appended to the revision log (``ingestion.facts.log``). Where a record
came so late that the kept state cannot tell what changes, the device's history is asked for, and its log from that
moment on is written anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ingestion.facts.canonical import Canonical, Records, canonical_of
from ingestion.facts.kernel import arrivals
from ingestion.facts.kernel.stream import KEPT, META, feed
from ingestion.facts.kernel.types import NEVER, RECORD, ROOM, ROW, SINK, SLOTS, STATE
from ingestion.facts.rules import Rules
from ingestion.facts.table import Rows, stated_since
from parked.errors import InternalError

BYTES_PER_DEVICE: Final = 2 * STATE.itemsize + KEPT * RECORD.itemsize + SLOTS * ROW.itemsize + META.itemsize
"""All that is remembered of a device, whatever it sends and for how long: nothing in it grows."""


EVER: Final = -NEVER
"""A moment (us) before any."""


class History(Protocol):
    """Where records older than the kept state are found: the raw log."""

    def records(self, devices: list[str]) -> Canonical:
        """All records of some devices (``devices`` in it may be fewer). Those being fed right now, and ones not fed
        yet, may be missing or not."""


class NoHistory:
    """For streams whose records are never later than what is kept. Raises InternalError where one is."""

    def records(self, devices: list[str]) -> Canonical:
        """Raise."""
        raise InternalError(f"device {devices[0]!r}: a record is later than what is kept, and there is no history")


@dataclass(frozen=True)
class Rewritten:
    """The log of one device from a moment on (us, inclusive): what it held there is replaced by ``rows``."""

    device: int
    since: int
    rows: Rows


class Changes(NamedTuple):
    """What a batch changed: rows to append, then devices to rewrite. ``device`` in rows: index in the stream."""

    rows: Rows
    rewritten: Sequence[Rewritten] = ()


def arrival_order(records: Canonical) -> Records:
    """Canonical records as they arrived: by moment of receipt, within one moment in canonical order."""
    return records.records[np.argsort(records.records["recv"], kind="stable")]


class StopStream:
    """The engine. Not shared between threads; devices are independent, so any split of them over processes is equal."""

    def __init__(self, rules: Rules, history: History | None = None, *, room: int = 64) -> None:
        """``history``: asked where a record is older than what is kept; ``room``: devices to make room for at first."""
        self.rules = rules
        self.history: History = history or NoHistory()
        self.devices: list[str] = []
        self.codes: dict[str, int] = {}
        self._rules = rules.record()
        self._spare = np.zeros((2, SLOTS + (KEPT + 1) * ROOM), ROW)
        self._sinks = np.zeros(1, SINK)
        self._log = np.zeros(4096, ROW)
        self._alloc(room)

    def _alloc(self, room: int) -> None:
        def grown(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
            fresh = np.zeros(shape, dtype)
            n = len(self.devices)
            if n:
                fresh[:n] = getattr(self, name)[:n]
            setattr(self, name, fresh)

        self._room = room
        grown("_meta", (room,), META)
        grown("_now", (room + 1,), STATE)
        grown("_old", (room + 1,), STATE)
        grown("_kept", (room, KEPT), RECORD)
        grown("_said", (room, SLOTS), ROW)
        states = (self._meta, self._now, self._old, self._kept, self._said)
        self._arrays = (*states, self._rules, self._spare, self._sinks)

    _meta: npt.NDArray[Any]
    _now: npt.NDArray[Any]
    _old: npt.NDArray[Any]
    _kept: npt.NDArray[Any]
    _said: npt.NDArray[Any]

    def code(self, device: str) -> int:
        """The device's index in this stream; a new device gets the next one."""
        code = self.codes.get(device)
        if code is None:
            code = len(self.devices)
            if code == self._room:
                self._alloc(2 * self._room)
            self.codes[device] = code
            self.devices.append(device)
        return code

    def codes_of(self, devices: Sequence[str]) -> npt.NDArray[np.int32]:
        """``code`` of each of many devices, int32."""
        if len(devices) > 1:
            with contextlib.suppress(KeyError):  # all are known: one call, in C
                return np.array(itemgetter(*devices)(self.codes), np.int32)
        return np.array([self.code(device) for device in devices], np.int32)

    def recode(self, records: Canonical) -> npt.NDArray[np.int32]:
        """The index in this stream of each device of ``records``."""
        return self.codes_of(records.devices)

    def feed(self, records: Records) -> Changes:
        """Take records in order of arrival (``device``: from ``code``); what changed in the log.

        Copies change nothing. Records of any lateness and any split into batches give the same log. Raises what the
        history raises; then the batch counts as not fed for the devices that needed it, and the stream must be restored
        from its checkpoint.
        """
        self._log, n, waiting, _ = feed(records, *self._arrays, self._log, False)
        rows = self._log[:n].copy()
        if not waiting:
            return Changes(rows)
        held = np.unique(records["device"])
        held = held[self._meta["held"][held]]
        past = self.history.records([self.devices[code] for code in held.tolist()])
        return Changes(rows, [self._rewrite(code, past, records[records["device"] == code]) for code in held.tolist()])

    def adopt(self, records: Records) -> None:
        """Make the states of devices what they are after these records, all of them, in canonical order; no log.

        ``device`` in them: from ``code``. What the stream knew of these devices is forgotten.
        """
        codes = np.unique(records["device"])
        for code in codes.tolist():
            self._forget(code)
        self._log, _, waiting, _ = feed(records, *self._arrays, self._log, True)
        if waiting:
            raise InternalError("records to adopt are not in canonical order")
        # In canonical order a fix that spoke until a better one of its moment came looks as if it never had.
        self._meta["stated"][codes] = stated_since(records, np.zeros(len(self.devices) + 1, np.int64))[codes]

    def renew(self, devices: Sequence[str]) -> Changes:
        """Make devices anew from their history alone, whatever was fed; their logs, from the beginning.

        For records of which it turned out that they had been received earlier than when they were fed.
        """
        past = self.history.records(list(devices)) if devices else None
        return Changes(self._log[:0], [self._anew(self.code(d), past.of(d), EVER) for d in devices] if past else [])

    def stated(self) -> npt.NDArray[np.int64]:
        """By device: from which moment (us) on its facts rest on stated arrivals (a far future: never)."""
        known = self._meta[: len(self.devices)]
        return np.where(known["born"], known["stated"], NEVER).astype(np.int64)

    def arrays(self) -> list[npt.NDArray[Any]]:
        """All that is remembered of the devices, as views: a checkpoint's content."""
        n = len(self.devices)
        return [array[:n] for array in (self._meta, self._now, self._old, self._kept, self._said)]

    def _forget(self, code: int) -> None:
        for array in (self._meta, self._now, self._old):
            array[code] = np.zeros(1, array.dtype)[0]

    def _rewrite(self, code: int, past: Canonical, batch: Records) -> Rewritten:
        """The device's log from the first moment of ``batch`` on, from its history."""
        before = self._meta[code]
        newest = max(int(before["recv"]), int(batch["recv"].max()))
        since = int(batch["recv"].min())
        name = self.devices[code]
        everything = np.concatenate([past.of(name), batch])
        everything = everything[everything["recv"] <= newest]
        return self._anew(code, everything, since)

    def _anew(self, code: int, everything: Records, since: int) -> Rewritten:
        """The device's log from a moment on and its states, of all its records (in any order; they are reused)."""
        everything["device"] = 0
        known = canonical_of(everything, {self.devices[code]: 0}, {})
        rows = arrivals.build(known.bounds, known.records, self._rules)
        rows = rows[rows["known"] >= since]
        rows["device"] = code
        known.records["device"] = code
        self.adopt(known.records)
        return Rewritten(code, since, rows)
