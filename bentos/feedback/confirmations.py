"""Confirmations become labels of the operations database (source ``person``)."""

from __future__ import annotations

import threading
from datetime import datetime

import pyarrow as pa
import structlog
from sqlalchemy import Engine, select
from sqlalchemy.exc import DatabaseError

from bentos.ports import Confirmation, NotReadyError
from parked.errors import ConflictError, SettingError
from parked.opsdb.engine import OURS, open_database, transaction, wait_at_most
from parked.opsdb.labels import add_labels
from parked.opsdb.tables import Label
from parked.schemas import LABELS

log = structlog.get_logger(__name__)

PERSON_WEIGHT = 1.0
"""A person's word is the unit that other sources' weights are measured against."""


class LabelStore:
    """The ``LabelSink`` over the operations database."""

    def __init__(self, database_url: str, *, wait_s: float = 1.6) -> None:
        """``wait_s``: how long a label waits for another's lock. Less than who sent it waits for an answer: the one
        thread of labels is then free for the next."""
        self._url = database_url
        self._wait_ms = round(wait_s * 1000)
        self._engine: Engine | None = None
        self._opening = threading.Lock()

    def prepare(self) -> None:
        """Open the database (and migrate it, where it is new): seconds that no person should wait.

        Raises SettingError where it cannot be used, ConflictError where a newer program wrote it.
        """
        with self._opening:
            if self._engine is None:
                engine = open_database(self._url)
                wait_at_most(engine, self._wait_ms)  # who migrates waits longer
                self._engine = engine

    def add(self, confirmation: Confirmation, known_at: datetime) -> bool:
        """Store it; False where it is stored already.

        Raises ConflictError where its key holds something else, NotReadyError where the database takes nothing now
        (a full disk, another's lock, a damaged file, a newer program's schema); what SQLAlchemy raises where the
        statement itself is wrong, which is our mistake.
        """
        try:
            self.prepare()
        except (SettingError, ConflictError) as error:
            # It names the database, which is for who runs it; the password is hidden.
            raise _not_now(str(error)) from None
        try:
            return self._add(confirmation, known_at)
        except OURS:
            raise
        except DatabaseError as error:
            # What the database says may hold the label: it is for the log, by its code alone.
            raise _not_now(_code(error)) from None

    def _add(self, confirmation: Confirmation, known_at: datetime) -> bool:
        assert self._engine is not None
        row = {
            "device_id": confirmation.device_id,
            "at": confirmation.at,
            "lat": confirmation.lat,
            "lon": confirmation.lon,
            "verdict": confirmation.verdict,
            "source": "person",
            "weight": PERSON_WEIGHT,
            "known_at": known_at,
        }
        table = pa.Table.from_pylist([row], schema=LABELS)
        keys = None if confirmation.key is None else [confirmation.key]
        added = add_labels(self._engine, table, keys=keys, note=confirmation.note).added
        if not added and confirmation.key is not None:
            self._require_same(self._engine, confirmation)
        return bool(added)

    def _require_same(self, engine: Engine, confirmation: Confirmation) -> None:
        with transaction(engine) as session:
            stored = session.scalars(select(Label).where(Label.idempotency_key == confirmation.key)).one()
            told = (confirmation.device_id, confirmation.at, confirmation.lat, confirmation.lon, confirmation.verdict)
            if (stored.device_id, stored.at, stored.lat, stored.lon, stored.verdict) != told:
                raise ConflictError("this key was used for another confirmation", mend="choose a new key")


def _not_now(why: str) -> NotReadyError:
    """To be raised, once the log has ``why``."""
    log.error("label_not_stored", error=why)
    return NotReadyError("labels cannot be stored now; ask again later")


def _code(error: DatabaseError) -> str:
    """What a database calls its error, which holds no value: ``OperationalError SQLITE_FULL`` (or ``... 53100``)."""
    codes = (getattr(error.orig, name, None) for name in ("sqlite_errorname", "sqlstate"))
    return " ".join([type(error).__name__, *(code for code in codes if code)])
