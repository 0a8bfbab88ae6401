"""Features as they were known at given moments, joined in memory: Feast's point-in-time join of our own views, quicker.

Feast's DuckDB join pairs each question with all its key's earlier snapshots before it picks the newest; here one pass
over the keys finds the row each question means (``as_of_kernel``), and of the features only those rows are kept. Equal
to Feast's in every value and type, which a property test holds. A row is never lost: what was not known is null.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo.as_of_kernel import newest_at
from feature_repo.asked import ASKED, ASKED_INPUTS, ask
from feature_repo.declare import KEYS
from feature_repo.services import SERVICES, service_dtypes
from parked.errors import InputError
from parked.schemas import TIME

AVAILABLE: Final = "available_at"


class Snapshots(Protocol):
    """A view's snapshots, wherever they are."""

    def columns(self, names: Sequence[str]) -> pa.Table:
        """All rows of these columns."""

    def rows(self, names: Sequence[str], index: pa.Array) -> pa.Table:
        """The rows ``index`` (int64; null: a row of nulls) of these columns, in that order."""


class InMemory:
    """Snapshots as a table."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def columns(self, names: Sequence[str]) -> pa.Table:
        """See Snapshots."""
        return self._table.select(list(names))

    def rows(self, names: Sequence[str], index: pa.Array) -> pa.Table:
        """See Snapshots."""
        return self._table.select(list(names)).take(index)


class InFile:
    """Snapshots in a Parquet file: of the features, one row group at a time is held."""

    def __init__(self, path: Any) -> None:
        """``path``: or what else pyarrow reads. Raises InputError, as all here: damaged, or lacking a column."""
        self._path = path
        with self._readable():
            self._file = pq.ParquetFile(path)

    def columns(self, names: Sequence[str]) -> pa.Table:
        """See Snapshots."""
        with self._readable():
            return self._file.read(columns=self._there(names))

    def rows(self, names: Sequence[str], index: pa.Array) -> pa.Table:
        """See Snapshots."""
        wanted, place = np.unique(index.fill_null(-1).to_numpy(), return_inverse=True)
        missing = int(len(wanted) and wanted[0] < 0)
        wanted = wanted[missing:]
        kept, begin = [], 0
        for group in range(self._file.num_row_groups):
            end = begin + self._file.metadata.row_group(group).num_rows
            own = wanted[np.searchsorted(wanted, begin) : np.searchsorted(wanted, end)]
            if len(own):
                with self._readable():
                    rows = self._file.read_row_group(group, columns=self._there(names))
                kept.append(rows.take(pa.array(own - begin)))
            begin = end
        found = pa.concat_tables(kept) if kept else self._file.schema_arrow.empty_table()
        back = pa.array(place - missing, mask=place < missing)
        return found.select(self._there(names)).combine_chunks().take(back)

    def _there(self, names: Sequence[str]) -> list[str]:
        missing = [name for name in names if name not in self._file.schema_arrow.names]
        if missing:
            raise InputError(f"{self._path}: no column {missing[0]}", mend="run `parked features build` again")
        return list(names)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            why = str(error).splitlines()[0]
            raise InputError(f"{self._path}: unreadable ({why})", mend="run `parked features build` again") from None


def known_at(moments: pa.Table, snapshots: Mapping[str, Snapshots], service: str) -> dict[str, pa.ChunkedArray]:
    """The features of ``service`` for each of ``moments`` (keys, ``event_timestamp``, ``asked_at_us``), by name.

    Features are those of the newest snapshot at or before ``event_timestamp``, in the service's order and declared
    types, null where nothing was known. Raises NotFoundError for a service that is not declared.
    """
    dtypes = service_dtypes(service)
    wanted = SERVICES[service]
    found: dict[str, pa.ChunkedArray] = {}
    inputs: dict[str, pa.ChunkedArray] = {"asked_at_us": moments["asked_at_us"]}
    for view in KEYS:
        reads = ASKED_INPUTS.get(view, ()) if ASKED in wanted else ()
        names = list(dict.fromkeys([*wanted.get(view, ()), *reads]))
        if names:
            rows = snapshots[view].rows(names, _newest(moments, snapshots[view], KEYS[view]))
            found |= {name: rows[name] for name in wanted.get(view, ())}
            inputs |= {name: rows[name] for name in reads}
    if ASKED in wanted:
        answers = ask({name: column.to_pylist() for name, column in inputs.items()})
        found |= {name: pa.chunked_array([pa.array(answers[name], dtypes[name].arrow)]) for name in wanted[ASKED]}
    return {name: found[name].cast(dtype.arrow) for name, dtype in dtypes.items()}


def _newest(moments: pa.Table, snapshots: Snapshots, keys: Sequence[str]) -> pa.Array:
    """For each moment the index of its newest snapshot at or before it; null where there is none."""
    rows = snapshots.columns([*keys, AVAILABLE])
    of_rows, of_moments = np.zeros(rows.num_rows, np.int64), np.zeros(moments.num_rows, np.int64)
    for key in keys:
        values = pc.unique(moments[key]).drop_null()
        for codes, table in ((of_rows, rows), (of_moments, moments)):
            own = pc.index_in(table[key], value_set=values).fill_null(-1).to_numpy().astype(np.int64)
            codes[:] = np.where((own < 0) | (codes < 0), -1, codes * len(values) + own)
    found = newest_at(of_rows, _us(rows[AVAILABLE]), of_moments, _us(moments["event_timestamp"]))
    return pa.array(found, mask=found < 0)


def _us(times: Any) -> npt.NDArray[np.int64]:
    return np.ascontiguousarray(times.cast(TIME).cast(pa.int64()).to_numpy())
