"""How a feature is declared: one decorator, kept in one catalogue, read by Feast's views and by the fold runner."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeVar

import pyarrow as pa

from feature_repo.known import Known
from parked.errors import SettingError
from parked.schemas import KINDS, TIME


class Dtype(Enum):
    """Types a feature may have. A missing value is None for each of them, never a magic number."""

    FLOAT64 = "Float64"
    INT64 = "Int64"
    STRING = "String"
    BOOL = "Bool"

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type of a snapshot's column."""
        return {"Float64": pa.float64(), "Int64": pa.int64(), "String": pa.string(), "Bool": pa.bool_()}[self.value]


FLOAT64: Final = Dtype.FLOAT64
INT64: Final = Dtype.INT64
STRING: Final = Dtype.STRING
BOOL: Final = Dtype.BOOL

CANDIDATE: Final = "candidate_state"
DEVICE: Final = "device_state"
PLACE: Final = "place_state"
VIEWS: Final = (CANDIDATE, DEVICE, PLACE)

KEYS: Final[dict[str, tuple[str, ...]]] = {
    CANDIDATE: ("candidate_id",),
    DEVICE: ("device_id",),
    PLACE: ("device_id", "cell"),
}
"""Join keys of each view."""

BESIDE: Final[dict[str, tuple[str, ...]]] = {CANDIDATE: ("device_id", "cell"), DEVICE: (), PLACE: ()}
"""Columns of a snapshot file that are no features: where to look next for the same moment."""

STAMPS: Final = {"facts_as_of_us": Dtype.INT64, "built_by": Dtype.STRING}
"""Carried in every row: ``available_at`` in microseconds (Feast's SQLite store keeps whole seconds only), and which
rules and declarations made the row."""

PARAMETERS: Final = {CANDIDATE: ("candidate", "known"), DEVICE: ("known",), PLACE: ("place", "known")}
"""What a fold of each view is called with; it may leave out the last."""

LEFT: Final = ("vehicle_left",)
STOPS: Final = ("stop",)
LEFT_AND_STOPS: Final = ("vehicle_left", "stop")
LEFT_AND_HALTS: Final = ("vehicle_left", "halt")
"""For ``reads``: the kinds of facts a fold looks at."""

_RESERVED: Final = {"event_timestamp", "available_at", "asked_at_us", "rn", "entity_row_id", *STAMPS}
_RESERVED_ENDINGS: Final = ("_y", "_yyyy")
"""Feast 0.67's DuckDB join silently drops columns that end so (``infra/offline_stores/ibis.py``)."""

Fold = Callable[..., Any]
F = TypeVar("F", bound=Fold)


@dataclass(frozen=True, slots=True)
class Feature:
    """One declared feature."""

    name: str
    view: str
    dtype: Dtype
    description: str
    owner: str
    since: str
    fold: Fold
    reads: frozenset[str]
    """Kinds of facts whose revisions recompute it."""
    alone: bool
    """It takes the first of its view's PARAMETERS only. Such a candidate's fold changes with that candidate only."""

    def of(self, subject: Any, known: Known) -> Any:
        """Its value for ``subject`` (a candidate, a place, or ``known`` itself)."""
        return self.fold(subject) if self.alone else self.fold(subject, known)


class Catalogue:
    """Declared features, by view, in order of declaration."""

    def __init__(self, features: tuple[Feature, ...] = ()) -> None:
        self._features = {feature.name: feature for feature in features}

    def feature(
        self,
        *,
        view: str,
        dtype: Dtype,
        owner: str = "parking",
        since: str = "1",
        reads: Iterable[str] = KINDS,
        name: str = "",
    ) -> Callable[[F], F]:
        """Declare the decorated pure function as a feature of ``view``.

        The function's name is the feature's name (unless ``name`` is given), its docstring the description, and its
        parameters are those of PARAMETERS (``known`` only where it is needed). It returns a value of ``dtype``, or None
        where the value is not known. ``since`` is the version of the definition: raise it when the function's meaning
        changes. ``reads`` names the kinds of facts a fold with ``known`` looks at, so that the others do not recompute
        it: an economy, never needed.

        Raises SettingError for an unknown view or kind, a name taken or reserved, no docstring, other parameters.
        """

        def declare(fold: F) -> F:
            called = name or fold.__name__
            self._check(called, view, fold)
            about = " ".join((inspect.getdoc(fold) or "").split())
            kinds = frozenset(reads) | (frozenset(LEFT) if view == CANDIDATE else frozenset())
            if not kinds <= set(KINDS):
                raise SettingError(
                    f"feature {called!r}: reads {sorted(kinds)}", mend=f"use kinds of {', '.join(KINDS)}"
                )
            self._features[called] = Feature(
                name=called,
                view=view,
                dtype=dtype,
                description=about,
                owner=owner,
                since=since,
                fold=fold,
                reads=kinds,
                alone=len(inspect.signature(fold).parameters) == 1,
            )
            return fold

        return declare

    def _check(self, name: str, view: str, fold: Fold) -> None:
        where = f"feature {name!r} ({fold.__module__})"
        if view not in VIEWS:
            raise SettingError(f"{where}: no such view {view!r}", mend=f"use one of {', '.join(VIEWS)}")
        keys = {key for keys in KEYS.values() for key in keys}
        if name in _RESERVED | keys or name.endswith(_RESERVED_ENDINGS) or not name.isidentifier():
            raise SettingError(f"{where}: the name is reserved", mend="rename the function")
        if name in self._features:
            raise SettingError(f"{where}: the name is taken in {self._features[name].view}", mend="rename the function")
        if not inspect.getdoc(fold):
            raise SettingError(f"{where}: no docstring", mend="say what it means and its unit in one line")
        taken = tuple(inspect.signature(fold).parameters)
        if not taken or taken != PARAMETERS[view][: len(taken)]:
            wanted = ", ".join(PARAMETERS[view])
            raise SettingError(f"{where}: wrong parameters for {view}", mend=f"take ({wanted})")

    def of(self, view: str) -> tuple[Feature, ...]:
        """The features of a view, in order of declaration."""
        return tuple(feature for feature in self._features.values() if feature.view == view)

    def get(self, name: str) -> Feature | None:
        """The feature of this name."""
        return self._features.get(name)

    def copy(self) -> Catalogue:
        """A catalogue with the same features, to add to without touching this one."""
        return Catalogue(tuple(self._features.values()))

    def version(self) -> str:
        """Twelve hex digits that change when a feature is added, removed, retyped or given a new ``since``."""
        lines = sorted(f"{f.view}.{f.name}:{f.dtype.value}:{f.since}" for f in self._features.values())
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]

    def schema(self, view: str) -> pa.Schema:
        """Columns of a view's snapshot files."""
        return pa.schema(
            [
                *(pa.field(key, pa.string(), nullable=False) for key in (*KEYS[view], *BESIDE[view])),
                pa.field("available_at", TIME, nullable=False),
                *(pa.field(feature.name, feature.dtype.arrow) for feature in self.of(view)),
                *(pa.field(name, dtype.arrow, nullable=False) for name, dtype in STAMPS.items()),
            ]
        )


DECLARED: Final = Catalogue()
"""The platform's own features; filled by importing ``feature_repo.features``."""

feature = DECLARED.feature
"""Declare a feature of the platform: see ``Catalogue.feature``."""


def declared() -> Catalogue:
    """The platform's features, all modules of ``feature_repo/features/`` read."""
    import feature_repo.features  # noqa: F401

    return DECLARED
