"""Putting what a stream said into a stored revision log: the log a build of everything would write."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.facts.kernel.revise import hexadecimal, names_of
from ingestion.facts.kernel.types import NEVER, NONE, NONE32, REASONS, ROW
from ingestion.facts.log import Log, in_alphabet, render
from ingestion.facts.stream import StopStream
from ingestion.facts.table import COUNTS, MOMENTS, NUMBERS, WORDS, Rows, prefixes

ORDER: Final = ("device_id", "available_at", "kind", "started_at", "fact_id", "revision")
"""The order of FACTS."""


def splice(stored: pa.Table, log: Log, stream: StopStream) -> pa.Table:
    """The stored log (FACTS) with what ``stream``, which went on from it, said since; in the order of FACTS."""
    rows = log.rows()
    code = _codes(stored["device_id"], stream.codes)
    known = _ints(stored["available_at"])
    cut = np.full(len(stream.devices), NEVER)
    cut[list(log.cut)] = list(log.cut.values())
    stands = known < cut[code]
    names = _names(rows, stream)
    anchors = dict(zip(names.to_pylist(), rows["anchor"].tolist(), strict=True))
    told = stands & _mask(pc.is_in(stored["fact_id"], names.unique()))
    again = stored.filter(pa.array(told))
    before = rows_of(again, [anchors[name] for name in again["fact_id"].to_pylist()], stream.codes)
    # Of one moment, the stored word came first.
    both = np.concatenate([before, rows])
    both = both[np.argsort(both["known"], kind="stable")]
    news = render(both, stream)
    touched = np.zeros(len(stream.devices), bool)
    touched[both["device"]] = True
    rest = stands & ~told
    mixed = pa.concat_tables([stored.filter(pa.array(rest & touched[code])), news])
    mixed = mixed.take(pc.sort_indices(mixed, sort_keys=[(key, "ascending") for key in ORDER]))
    whole = pa.concat_tables([stored.filter(pa.array(rest & ~touched[code])), mixed])
    _, rank = in_alphabet(stream.devices)
    devices = _codes(whole["device_id"], stream.codes)
    order = np.argsort(rank[devices], kind="stable")
    whole, devices = whole.take(pa.array(order)), devices[order]
    # A stated arrival marks all its moment says, also what an earlier batch said.
    marks = pa.array(_ints(whole["available_at"]) >= stream.stated()[devices])
    return whole.set_column(whole.schema.get_field_index("as_if_live"), whole.schema.field("as_if_live"), marks)


def rows_of(table: pa.Table, anchors: list[int], codes: dict[str, int]) -> Rows:
    """Kernel rows of revisions: the inverse of ``to_table``. anchors: ms, by row; codes: the index of each device."""
    rows = np.zeros(table.num_rows, ROW)

    def put(name: str, values: npt.NDArray[Any], null: npt.NDArray[np.bool_]) -> None:
        rows[name] = np.where(null, {8: NONE, 4: NONE32, 1: -1}[rows.dtype[name].itemsize], values)

    for column, (name, scale) in (NUMBERS | {name: (name, 1.0) for name in COUNTS}).items():
        null = _mask(pc.is_null(table[column]))
        values = np.asarray(pc.fill_null(table[column], 0).combine_chunks()).astype(np.float64)
        put(name, np.rint(values * scale).astype(np.int64), null)
    for column, (name, per) in MOMENTS.items():
        put(name, _ints(table[column]) // int(per), _mask(pc.is_null(table[column])))
    for column, (name, words) in WORDS.items():
        at = pc.index_in(table[column], pa.array(words))
        put(name, np.asarray(pc.fill_null(at, 0).combine_chunks()), _mask(pc.is_null(at)))
    bits = {text: 1 << i for i, text in enumerate(REASONS)}
    rows["reasons"] = [sum(bits[t] for t in text.split(",") if t) for text in table["reasons"].to_pylist()]
    rows["device"] = _codes(table["device_id"], codes)
    rows["anchor"] = anchors
    return rows


def _names(rows: Rows, stream: StopStream) -> pa.Array:
    names = names_of(rows, np.arange(len(rows)), prefixes(stream.devices, stream.rules.version))
    text = hexadecimal(names).tobytes().decode()
    return pa.array([text[i : i + 32] for i in range(0, len(text), 32)], pa.string())


def _codes(column: pa.ChunkedArray, codes: dict[str, int]) -> npt.NDArray[np.int64]:
    encoded = pc.dictionary_encode(column).combine_chunks()
    if not len(encoded):
        return np.zeros(0, np.int64)
    index = np.array([codes[d] for d in encoded.dictionary.to_pylist()], np.int64)
    return np.asarray(index[np.asarray(encoded.indices)])


def _ints(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return np.asarray(pc.fill_null(pc.cast(column, pa.int64()), 0).combine_chunks()).astype(np.int64)


def _mask(column: Any) -> npt.NDArray[np.bool_]:
    return np.asarray(column.combine_chunks()).astype(bool)
