"""The revision log a stream writes: rows appended, moments rewritten, shown as a table whenever asked."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingestion.facts.kernel.types import ROW
from ingestion.facts.stream import Changes, StopStream
from ingestion.facts.table import Rows, to_table


class Log:
    """What a stream said, in memory; ``cut`` holds from which moment (us) on it speaks of a device anew."""

    def __init__(self) -> None:
        self.cut: dict[int, int] = {}
        self._parts: list[Rows] = []

    def take(self, changes: Changes) -> None:
        """Apply what a batch changed."""
        if len(changes.rows):
            self._parts.append(changes.rows)
        for new in changes.rewritten:
            rows = self.rows()
            self._parts = [rows[~((rows["device"] == new.device) & (rows["known"] >= new.since))], new.rows]
            self.cut[new.device] = min(new.since, self.cut.get(new.device, new.since))

    def rows(self) -> Rows:
        """All rows, in the order they were said."""
        if len(self._parts) != 1:
            self._parts = [np.concatenate([np.empty(0, ROW), *self._parts])]
        return self._parts[0]

    def part(self, inside: npt.NDArray[np.bool_]) -> Log:
        """What was said of some devices. inside: of each of the stream's."""
        some, rows = Log(), self.rows()
        some._parts = [rows[inside[rows["device"]]]]
        some.cut = {device: since for device, since in self.cut.items() if inside[device]}
        return some

    def table(self, stream: StopStream) -> pa.Table:
        """The log as FACTS: of each fact what stood at each moment, numbered, in the order of a build."""
        return render(self.rows(), stream)


def render(rows: Rows, stream: StopStream) -> pa.Table:
    """Rows of a stream's devices, in the order they were said, as a table of FACTS in its order."""
    devices, rank = in_alphabet(stream.devices)
    rows = rows.copy()
    rows["device"] = rank[rows["device"]]
    rows = rows[np.argsort(rows["device"], kind="stable")]
    return to_table(rows, devices, stream.stated()[np.argsort(rank)], stream.rules.version)


def in_alphabet(devices: list[str]) -> tuple[list[str], np.ndarray[tuple[int], np.dtype[np.int32]]]:
    """(devices in the order of FACTS, the new index of each)."""
    order = sorted(range(len(devices)), key=devices.__getitem__)
    rank = np.empty(len(devices), np.int32)
    rank[order] = np.arange(len(devices), dtype=np.int32)
    return [devices[i] for i in order], rank
