"""The ``FeatureSource`` over Feast's online store. One per process: two alternating stores clear each other's cache."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, ParamSpec, TypeVar

from bentos.answer import Candidate
from bentos.ports import CandidateKey, DeviceFacts, FeatureSource, NotReadyError, Values
from bentos.store.turns import Turns
from feature_repo.phones import some_phones, was_loaded
from feature_repo.retrieve import online_features
from feature_repo.services import WHERE_PARKED_V1
from feature_repo.sqlite_file import keep_up
from feature_repo.store import open_store
from feature_repo.store import service as applied_service
from parked.errors import NotFoundError, SettingError
from parked.settings import OnlineStoreKind, Settings

RANKS = (1, 2, 3)
"""The candidates ``device_state`` keeps, newest first."""

LOOKED_THROUGH: Final = 100
"""Phones among which one with a candidate is looked for, to try a model on."""

NO_ANSWER: Final = "the online store does not answer"
NOT_LOADED: Final = "the online store was never loaded, or lost everything; run `parked features build`"

P = ParamSpec("P")
T = TypeVar("T")


def applied_store(settings: Settings) -> Any:
    """The process's ``feast.FeatureStore``. Raises NotFoundError where the feature repo was not applied to it."""
    store = open_store(settings)
    applied_service(store, WHERE_PARKED_V1)
    store.refresh_registry()  # an apply after the store object was made is not in its cache yet
    return store


class FeastSource(FeatureSource):
    """Feast's online store as serving sees it. Safe to call from several threads, one at a time works."""

    inline = False

    def __init__(self, store: Any, online: OnlineStoreKind = "lmdb") -> None:
        """``store``: a ``feast.FeatureStore`` with the repo applied; ``online``: which online store it has."""
        self._store = store
        self._online = online
        # Feast's SQLite store is one connection: a model's trial must not run between a request's reads. Who sees
        # whether the store answers, or tries a model, gets a turn under any load.
        self._turns = Turns()

    @classmethod
    def open(cls, settings: Settings) -> FeastSource:
        """Over the process's store. Raises what ``applied_store`` raises."""
        return cls(applied_store(settings), settings.online_store)

    def devices(self, device_ids: Sequence[str]) -> list[DeviceFacts | None]:
        """One entry per id, in order; None for a device without a ``device_state``."""
        rows = self._asked([{"device_id": d} for d in device_ids], WHERE_PARKED_V1)
        told = [device_facts(device_id, row) for device_id, row in zip(device_ids, rows, strict=True)]
        if self._online == "redis" and None in told and not self._told(was_loaded, self._store):
            raise NotReadyError(NOT_LOADED)
        return told

    def values(self, service: str, names: Sequence[str], keys: Sequence[CandidateKey]) -> list[Values]:
        """The features ``names`` of FeatureService ``service``, one row per key, in order. Raises NotFoundError."""
        asked = [
            {"device_id": k.device_id, "candidate_id": k.candidate_id, "cell": k.cell, "asked_at_us": k.asked_at_us}
            for k in keys
        ]
        rows = self._asked(asked, service)
        try:
            return [[row[name] for name in names] for row in rows]
        except KeyError as error:
            raise NotFoundError(f"feature service {service!r} does not serve {error.args[0]!r}") from None

    def sample(self, asked_at_us: int) -> list[CandidateKey]:
        """The candidates of the first phone that has any, if one of the first hundred does."""
        for facts in self.devices(self._told(some_phones, self._store, LOOKED_THROUGH)):
            if facts is not None and facts.candidates:
                told = facts.device_id
                return [CandidateKey(told, c.candidate_id, c.cell, asked_at_us) for c in facts.candidates]
        return []

    def _asked(self, rows: list[dict[str, Any]], service: str) -> list[dict[str, Any]]:
        return self._told(online_features, self._store, rows, service)

    def _told(self, ask: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """What the store says when its turn comes. Raises NotReadyError where it does not answer, whyever."""
        with self._turns:
            try:
                if self._online == "sqlite":
                    keep_up(self._store)
                told = ask(*arguments, **named)
            except FileNotFoundError as error:
                raise NotReadyError(NOT_LOADED) from error
            except sqlite3.OperationalError as error:
                raise NotReadyError(NOT_LOADED if "no such table" in str(error) else NO_ANSWER) from error
            except (SettingError, sqlite3.Error, OSError) as error:
                raise NotReadyError(NO_ANSWER) from error
            self.answered += 1
            return told


def device_facts(device_id: str, row: Mapping[str, Any]) -> DeviceFacts | None:
    """A row of ``where_parked_v1`` as facts of a phone; None where the store has no such row (all is missing)."""
    if row["facts_as_of_us"] is None:
        return None
    return DeviceFacts(
        device_id=device_id,
        candidates=tuple(_candidate(row, rank) for rank in RANKS if row[f"candidate_{rank}"]),
        driving=bool(row["driving"]),
        facts_as_of_us=int(row["facts_as_of_us"]),
    )


def _candidate(row: Mapping[str, Any], rank: int) -> Candidate:
    ended_at_us = row[f"ended_at_us_{rank}"]
    return Candidate(
        candidate_id=row[f"candidate_{rank}"],
        cell=row[f"cell_{rank}"] or "",
        left_at_us=int(row[f"left_at_us_{rank}"]),
        lat=row[f"lat_{rank}"],
        lon=row[f"lon_{rank}"],
        uncertainty_m=row[f"uncertainty_m_{rank}"],
        # Feast gives ints with nulls back as floats; microseconds since 1970 fit a float64 exactly (below 2^53).
        ended_at_us=None if ended_at_us is None else int(ended_at_us),
        return_m=row[f"return_m_{rank}"],
        reasons=row[f"reasons_{rank}"] or "",
    )
