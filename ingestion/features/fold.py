"""Fact revisions → feature snapshots: who is affected by what became known, and what changed for them.

The law: ``fold(facts known by k)`` is ``fold(all facts)`` restricted to ``available_at <= k``. It holds because
revisions are taken in order of ``available_at``, those of one moment together, and a row only ever depends on what was
taken so far.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.declare import CANDIDATE, DEVICE, PLACE, VIEWS, Catalogue, Dtype, Feature, Fold, declared
from feature_repo.fact import RETRACTED, Fact, facts_of
from feature_repo.known import Known
from parked.errors import InputError, InternalError
from parked.schemas import FACTS

Row = tuple[Any, ...]
Numbered = tuple[tuple[int, Fold], ...]
Progress = Callable[[int], None]

BATCH_REVISIONS: Final = 5_000
"""Revisions turned into Python objects at a time (whole devices): bounds memory at about 30 MB."""

_ORDER: Final = ("device_id", "available_at", "fact_id", "revision")


def fold_facts(
    facts: pa.Table, *, catalogue: Catalogue | None = None, progress: Progress | None = None, exhaustive: bool = False
) -> dict[str, pa.Table]:
    """Snapshots of every view: one row per key and moment at which its features changed.

    ``facts``: parked.schemas.FACTS, rows in any order, of one rules version; of a fact's rows at one moment the highest
    revision counts. Returns view → table of ``catalogue.schema(view)``, by device, then ``available_at``, then key;
    ``available_at`` strictly increases per key. The result does not depend on row order or on other devices.

    ``progress`` is called with the number of revisions just folded. ``exhaustive`` recomputes every row of a device at
    every moment instead of the affected ones: slow, the oracle the quick way is tested against.

    Raises InputError for wrong columns or several rules versions, InternalError naming a feature whose fold fails.
    """
    catalogue = catalogue or declared()
    table = in_order(facts)
    folder = Folder(sorted(pc.unique(table["rules_version"]).to_pylist()), catalogue, exhaustive=exhaustive)
    made = list(folder.fold_all(table, progress))
    return {
        view: pa.concat_tables([catalogue.schema(view).empty_table(), *(part[view] for part in made)]).combine_chunks()
        for view in VIEWS
    }


@contextmanager
def _no_collection() -> Iterator[None]:
    """Folding makes millions of tuples and no cycles: the collector would walk them over and over for nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def check_columns(names: Sequence[str]) -> None:
    """Raises InputError where a column of FACTS is not among ``names``."""
    missing = [name for name in FACTS.names if name not in names]
    if missing:
        raise InputError(f"facts lack the columns {', '.join(missing)}", mend="make them with `parked facts build`")


def in_order(facts: pa.Table) -> pa.Table:
    """``facts`` as FACTS, in the order that they are folded in. Raises InputError for wrong columns."""
    check_columns(facts.column_names)
    try:
        table = facts.select(FACTS.names).cast(FACTS)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise InputError(f"facts: {error}", mend="make them with `parked facts build`") from None
    return table.sort_by([(name, "ascending") for name in _ORDER])


def _whole_devices(table: pa.Table) -> Iterator[pa.Table]:
    """Slices of about BATCH_REVISIONS that end where a device ends."""
    if not table.num_rows:
        return
    codes = table["device_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    ends = np.append(np.flatnonzero(np.diff(codes)) + 1, table.num_rows)
    start = 0
    for end in ends:
        if end - start >= BATCH_REVISIONS or end == table.num_rows:
            yield table.slice(start, int(end) - start)
            start = int(end)


class Folder:
    """Folds device after device."""

    def __init__(self, versions: Sequence[str], catalogue: Catalogue, *, exhaustive: bool = False) -> None:
        """``versions``: of the rules that made the facts. Raises InputError where these are several."""
        if len(versions) > 1:
            raise InputError(
                f"facts of several rules versions: {', '.join(versions)}", mend="fold one version at a time"
            )
        self._catalogue = catalogue
        self._built_by = f"{versions[0] if versions else 'none'}/{catalogue.version()}"
        self.exhaustive = exhaustive
        self._features = {view: catalogue.of(view) for view in VIEWS}
        self._folds: dict[tuple[str, frozenset[str], bool], tuple[Numbered, Numbered]] = {}
        self._rows: dict[str, list[Row]] = {view: [] for view in VIEWS}

    def fold_all(self, facts: pa.Table, progress: Progress | None = None) -> Iterator[dict[str, pa.Table]]:
        """Snapshots of whole devices (``in_order``), by view, some devices at a time.

        ``progress`` is called with the number of revisions just folded. Raises InternalError naming a feature whose
        fold fails.
        """
        for batch in _whole_devices(facts):
            with _no_collection():
                for device_id, revisions in groupby(facts_of(batch), key=attrgetter("device_id")):
                    _Device(self, device_id).take(revisions)
                made = {view: self._table(view) for view in VIEWS}
                self._rows = {view: [] for view in VIEWS}
            yield made
            if progress is not None:
                progress(batch.num_rows)

    def add(self, view: str, head: Row, values: Row, moment: int) -> None:
        """Put down a row of a view."""
        self._rows[view].append((*head, moment, *values, moment, self._built_by))

    def evaluate(
        self, view: str, last: Row | None, kinds: frozenset[str], subject: Any, known: Known, *, own: bool = True
    ) -> Row:
        """The features of one key, in order of declaration: ``last``, with those that read ``kinds`` computed anew.

        ``own``: whether the key's own fact was revised; where not, features that see nothing else stay.
        """
        try:
            if last is None or self.exhaustive:
                return tuple([feature.of(subject, known) for feature in self._features[view]])
            row = list(last)
            alone, beside = self._reading(view, kinds, own)
            for index, fold in alone:
                row[index] = fold(subject)
            for index, fold in beside:
                row[index] = fold(subject, known)
            return tuple(row)
        except Exception as error:
            raise self._blame(view, subject, known, error) from error

    def _reading(self, view: str, kinds: frozenset[str], own: bool) -> tuple[Numbered, Numbered]:
        """The folds to call with the subject alone, and those to call with what is known beside it."""
        found = self._folds.get((view, kinds, own))
        if found is None:
            numbered = [(i, feature) for i, feature in enumerate(self._features[view]) if feature.reads & kinds]
            alone = tuple((i, f.fold) for i, f in numbered if f.alone and (own or view != CANDIDATE))
            found = alone, tuple((i, f.fold) for i, f in numbered if not f.alone)
            self._folds[view, kinds, own] = found
        return found

    def withdrawn(self) -> Row:
        """The features of a candidate that was taken back: nothing is known of it but that."""
        return tuple([RETRACTED if feature.name == "status" else None for feature in self._features[CANDIDATE]])

    def _blame(self, view: str, subject: Any, known: Known, error: Exception) -> InternalError:
        for feature in self._features[view]:
            try:
                feature.of(subject, known)
            except Exception:
                return InternalError(f"feature {feature.name!r} of {view} failed: {error!r}")
        return InternalError(f"a feature of {view} fails on and off: {error!r}; folds must be pure")

    def _table(self, view: str) -> pa.Table:
        schema = self._catalogue.schema(view)
        rows = self._rows[view]
        if not rows:
            return schema.empty_table()
        by_name = {feature.name: feature for feature in self._features[view]}
        columns = [
            _column(field, values, by_name.get(field.name))
            for field, values in zip(schema, zip(*rows, strict=True), strict=True)
        ]
        return pa.Table.from_arrays(columns, schema=schema)


def _column(field: pa.Field, values: Row, feature: Feature | None) -> pa.Array:
    try:
        if feature is not None and feature.dtype is Dtype.INT64:
            column = pa.array(values).cast(field.type)  # pa.array(type=int64) would cut 0.5 to 0
        else:
            column = pa.array(values, type=field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise InternalError(f"feature {field.name!r} gave a value that is no {field.type}: {error}") from None
    if feature is not None and pa.types.is_floating(field.type) and pc.any(pc.is_nan(column)).as_py():
        raise InternalError(f"feature {field.name!r} gave NaN; a fold returns None where the value is not known")
    return column


class _Device:
    """One device: what is known, and the last row given for each key."""

    def __init__(self, folder: Folder, device_id: str) -> None:
        self._folder = folder
        self._known = Known(device_id)
        self._last: dict[str, dict[str, Row]] = {view: {} for view in VIEWS}

    def take(self, revisions: Iterator[Fact]) -> None:
        for moment, together in groupby(revisions, key=attrgetter("available_at")):
            newest = {fact.fact_id: fact for fact in together}  # ordered by revision: the highest stays
            self._moment(moment, list(newest.values()))

    def _moment(self, moment: int, facts: list[Fact]) -> None:
        known = self._known
        touched: list[Fact] = []
        withdrawn: list[Fact] = []
        cells: set[str] = set()
        for fact in facts:
            old = known.apply(fact)
            if old is not None:
                touched.append(old)
                cells.update(known.places_near(old.cell))
            if fact.status == RETRACTED:
                if fact.kind == "vehicle_left" and old is not None:
                    withdrawn.append(fact)
            else:
                touched.append(fact)
                cells.update(known.places_near(fact.cell))
        if not touched:
            return
        kinds = frozenset(fact.kind for fact in touched)
        self._candidates(moment, kinds, touched, withdrawn)
        device = known.device_id
        last = self._last[DEVICE].get(device)
        self._emit(DEVICE, device, (device,), self._folder.evaluate(DEVICE, last, kinds, known, known), moment)
        for cell in sorted(known.places if self._folder.exhaustive else cells):
            last = self._last[PLACE].get(cell)
            values = self._folder.evaluate(PLACE, last, kinds, known.places[cell], known)
            self._emit(PLACE, cell, (device, cell), values, moment)

    def _candidates(self, moment: int, kinds: frozenset[str], touched: list[Fact], withdrawn: list[Fact]) -> None:
        known, rows = self._known, self._last[CANDIDATE]
        affected: dict[str, Fact] = {}
        if self._folder.exhaustive:
            affected = {candidate.fact_id: candidate for candidate in known.candidates}
        else:
            for fact in touched:
                for candidate in known.candidates_near(fact):
                    affected[candidate.fact_id] = candidate
        revised = {fact.fact_id for fact in touched}
        new = [
            (c, self._folder.evaluate(CANDIDATE, rows.get(name), kinds, c, known, own=name in revised))
            for name, c in affected.items()
        ]
        new += [(candidate, self._folder.withdrawn()) for candidate in withdrawn]
        for candidate, values in sorted(new, key=lambda row: row[0].fact_id):
            head = (candidate.fact_id, known.device_id, candidate.cell)
            self._emit(CANDIDATE, candidate.fact_id, head, values, moment)

    def _emit(self, view: str, key: str, head: Row, values: Row, moment: int) -> None:
        last = self._last[view]
        if last.get(key) != values:
            last[key] = values
            self._folder.add(view, head, values, moment)
