"""From records (JSON objects, track points) to candidates: checked field by field, a bad record set aside."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pyarrow as pa

from ingestion.readers.port import CANDIDATE_FIXES, CANDIDATE_MOTION, Batch, Malformed, as_payload
from ingestion.readers.reasons import Reason

FIRST_US: Final = -62_135_596_800_000_000
LAST_US: Final = 253_402_300_799_000_000
"""Year 1 to 9999: clocks beyond are held to these, for the accept rules to refuse."""


MOCK: Final = ("mock", "is_mock", "isMock", "isFromMockProvider")
"""What apps call Android's ``Location.isMock()``."""

_JSON: Final = (dict, list, int, float, type(None))


class Broken(str):
    """A record that is not JSON, as text."""

    __slots__ = ()


class BadRecordError(Exception):
    """This record cannot become a candidate; caught by ``Collector.record``."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(detail)


def number(record: Mapping[str, Any], *names: str) -> float | None:
    """The first of the fields ``names`` that is there, as a float; None where none is (or all are null).

    Raises BadRecordError for anything but a number.
    """
    for name in names:
        value = record.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadRecordError(Reason.BAD_NUMBER, f"{name}={value!r:.80} is not a number")
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return None


def not_negative(value: float | None) -> float | None:
    """None for a negative number: how phones say "unknown" of a speed (iOS: -1)."""
    return None if value is not None and value < 0 else value


def flag(record: Mapping[str, Any], *names: str) -> bool | None:
    """Is any of the fields ``names`` true (or 1)? None where none is there."""
    values = [record[name] for name in names if name in record]
    return any(value is True or value == 1 for value in values) if values else None


def instant_us(record: Mapping[str, Any], *names: str) -> int | None:
    """The first of the fields ``names`` that is there, seconds since the epoch, as whole microseconds UTC.

    Raises BadRecordError for anything but a finite number.
    """
    seconds = number(record, *names)
    if seconds is None:
        return None
    if math.isnan(seconds):
        raise BadRecordError(Reason.BAD_TIME, f"{'/'.join(names)} is not a number of seconds")
    if abs(seconds) > 1e12:  # beyond year 9999, and safe to multiply below it
        return FIRST_US if seconds < 0 else LAST_US
    return min(max(round(seconds * 1e6), FIRST_US), LAST_US)


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """``value`` as an object. Raises BadRecordError where it is none."""
    if isinstance(value, Broken):
        raise BadRecordError(Reason.NOT_A_RECORD, f"{what} is not JSON in UTF-8")
    if not isinstance(value, dict):
        raise BadRecordError(Reason.NOT_A_RECORD, f"{what} is {type(value).__name__}, not an object")
    return value


def words(value: Any, what: str) -> str | None:
    """``value`` as text UTF-8 can hold; None where it is not there. Raises BadRecordError for other types."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadRecordError(Reason.NOT_A_RECORD, f"{what} is {type(value).__name__}, not text")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise BadRecordError(Reason.NOT_A_RECORD, f"{what} holds half a character")
    return value


class Collector:
    """Gathers candidates of some of a file's records, and those that cannot be one."""

    def __init__(self, records: Sequence[Any], start: int = 0) -> None:
        """``records``: those at the offsets from ``start`` on."""
        self._records = records
        self._start = start
        self._fixes: dict[str, list[Any]] = {name: [] for name in CANDIDATE_FIXES.names}
        self._motion: dict[str, list[Any]] = {name: [] for name in CANDIDATE_MOTION.names}
        self._malformed: list[Malformed] = []
        self._ignored = 0

    @contextmanager
    def record(self, offset: int) -> Iterator[None]:
        """A block that reads one record: a BadRecordError in it sets the record aside."""
        try:
            yield
        except BadRecordError as error:
            self._malformed.append(Malformed(offset, error.reason, error.detail, self._original(offset)))

    def fix(self, **values: Any) -> None:
        """Add a candidate fix: the columns of ``CANDIDATE_FIXES``, times in microseconds; absent ones are null."""
        for name, column in self._fixes.items():
            column.append(values.get(name))

    def motion(self, **values: Any) -> None:
        """Add a candidate motion record likewise."""
        for name, column in self._motion.items():
            column.append(values.get(name))

    def ignore(self) -> None:
        """Count a record of another kind."""
        self._ignored += 1

    def batch(self) -> Batch:
        """Everything gathered."""
        return Batch(
            fixes=_table(self._fixes, CANDIDATE_FIXES),
            motion=_table(self._motion, CANDIDATE_MOTION),
            malformed=self._malformed,
            ignored=self._ignored,
            original=self._original,
        )

    def _original(self, offset: int) -> str:
        record = self._records[offset - self._start]
        return as_payload(record) if isinstance(record, _JSON) else str(record)


def _table(columns: Mapping[str, Iterable[Any]], schema: pa.Schema) -> pa.Table:
    return pa.table([pa.array(columns[field.name], field.type) for field in schema], schema=schema)
