"""The accept rules: which candidates are raw records, which go to quarantine, and why. Pure and vectorised.

Only what can never be a record is refused: no device, no time, no place, a clock that was reset. A poor fix (accuracy
of 25 km, "invalid" accuracy, a teleport) *was sent*, so it is raw; the fact kernel's gate weighs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.readers.port import Malformed
from ingestion.readers.reasons import Reason
from parked.clock import to_us
from parked.schemas import ACTIVITIES

CLOCK_FLOOR: Final = datetime(2005, 1, 1, tzinfo=UTC)
"""Before any phone sent a position: Android and iOS clocks reset to 1970, 2000 or 2001."""

CLOCK_LEAD_US: Final = 86_400 * 1_000_000
"""One day. Honest clocks run ahead by seconds, a wrong zone by up to 14 h; beyond a day the date itself is wrong."""

DEVICE_ID_LENGTH: Final = 128

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Checked:
    """The candidates that are records (columns as they came, odd optional values null), and the others' reasons."""

    accepted: pa.Table
    refused: pa.Table
    reasons: list[Reason]
    """One for each row of ``refused``: the first rule it breaks."""


def check_fixes(fixes: pa.Table, *, now: datetime) -> Checked:
    """Apply the accept rules to candidate fixes (``CANDIDATE_FIXES``), with ``received_at`` filled in.

    ``now``: aware UTC; nothing may come from more than a day after it. Non-finite accuracy and speed become null.
    """
    lat, lon = _floats(fixes["lat"]), _floats(fixes["lon"])
    no_position = _nulls(fixes["lat"]) | _nulls(fixes["lon"])
    rules = [
        *_common_rules(fixes, now),
        (Reason.MISSING_POSITION, no_position),
        (Reason.POSITION_NOT_FINITE, ~no_position & ~(np.isfinite(lat) & np.isfinite(lon))),
        (Reason.POSITION_OUT_OF_RANGE, (np.abs(lat) > 90.0) | (np.abs(lon) > 180.0)),
        (Reason.NULL_ISLAND, _is_zero(lat) & _is_zero(lon)),
        (Reason.MOCK_POSITION, _bools(fixes["mock"])),
    ]
    return _split(_finite_or_null(fixes, ("accuracy_m", "speed_mps")), rules)


def check_motion(motion: pa.Table, *, now: datetime) -> Checked:
    """Apply the accept rules to candidate motion records (``CANDIDATE_MOTION``), with ``received_at`` filled in.

    A confidence that is no number becomes null.
    """
    activity = motion["activity"]
    known = _bools(pc.is_in(activity, value_set=pa.array(ACTIVITIES)))
    confidence = _floats(motion["confidence"])
    rules = [
        *_common_rules(motion, now),
        (Reason.MISSING_ACTIVITY, _nulls(activity)),
        (Reason.UNKNOWN_ACTIVITY, ~known),
        (Reason.CONFIDENCE_OUT_OF_RANGE, (confidence < 0.0) | (confidence > 1.0)),
    ]
    return _split(_finite_or_null(motion, ("confidence",)), rules)


def refusals(checked: Checked, payload: Callable[[int], str]) -> list[Malformed]:
    """The refused rows as quarantine entries; ``payload(offset)`` is the record as sent."""
    return [
        Malformed(row["source_offset"], reason, _detail(reason, row), payload(row["source_offset"]))
        for reason, row in zip(checked.reasons, checked.refused.to_pylist(), strict=True)
    ]


def _common_rules(table: pa.Table, now: datetime) -> list[tuple[Reason, Mask]]:
    device = table["device_id"]
    event, no_event = _us(table["event_time"])
    received, no_received = _us(table["received_at"])
    latest = to_us(now) + CLOCK_LEAD_US
    ahead = (event > latest) | (~no_received & (event - CLOCK_LEAD_US > received))
    return [
        (Reason.MISSING_DEVICE, _nulls(device) | _bools(pc.equal(pc.utf8_length(device), 0))),
        (Reason.BAD_DEVICE, _bad_device(device)),
        (Reason.MISSING_TIME, no_event),
        (Reason.CLOCK_BEFORE_2005, ~no_event & (event < to_us(CLOCK_FLOOR))),
        (Reason.CLOCK_AHEAD, ~no_event & ahead),
        (Reason.RECEIVED_AHEAD, ~no_received & (received > latest)),
    ]


def _bad_device(device: Any) -> Mask:
    names = pc.unique(device).drop_null()
    wrong = pc.or_(
        pc.greater(pc.utf8_length(names), DEVICE_ID_LENGTH), pc.match_substring_regex(names, r"[\x00-\x1f\x7f]")
    )
    bad = names.filter(wrong)
    return _bools(pc.is_in(device, value_set=bad)) if len(bad) else np.zeros(len(device), dtype=np.bool_)


def _split(table: pa.Table, rules: list[tuple[Reason, Mask]]) -> Checked:
    broken = np.zeros(table.num_rows, dtype=np.bool_)
    for _, mask in rules:
        broken |= mask
    if not broken.any():
        return Checked(table, table.slice(0, 0), [])
    rows = np.flatnonzero(broken)
    first = np.argmax(np.stack([mask[rows] for _, mask in rules]), axis=0)
    return Checked(table.filter(pa.array(~broken)), table.take(pa.array(rows)), [rules[rule][0] for rule in first])


def _detail(reason: Reason, row: dict[str, Any]) -> str:
    if reason in (Reason.MISSING_DEVICE, Reason.BAD_DEVICE):
        return f"device_id={row['device_id']!r:.160}"
    if reason in (Reason.MISSING_TIME, Reason.CLOCK_BEFORE_2005, Reason.CLOCK_AHEAD, Reason.RECEIVED_AHEAD):
        return f"event_time={_iso(row['event_time'])} received_at={_iso(row['received_at'])}"
    if reason in (Reason.MISSING_ACTIVITY, Reason.UNKNOWN_ACTIVITY):
        return f"activity={row['activity']!r:.80}"
    if reason is Reason.CONFIDENCE_OUT_OF_RANGE:
        return f"confidence={row['confidence']}"
    place = f"lat={row['lat']} lon={row['lon']}"
    swapped = reason is Reason.POSITION_OUT_OF_RANGE and abs(row["lon"]) <= 90.0 < abs(row["lat"]) <= 180.0
    return f"{place} (swapped?)" if swapped else place


def _iso(moment: datetime | None) -> str:
    return "none" if moment is None else moment.isoformat()


def _finite_or_null(table: pa.Table, names: tuple[str, ...]) -> pa.Table:
    for name in names:
        column = table[name]
        finite = pc.fill_null(pc.is_finite(column), True)
        if not pc.all(finite).as_py():
            column = pc.if_else(finite, column, pa.scalar(None, pa.float64()))
            table = table.set_column(table.column_names.index(name), table.schema.field(name), column)
    return table


def _is_zero(degrees: npt.NDArray[np.float64]) -> Mask:
    """Facts count in 1e-7 degrees (a centimetre): what rounds to 0 there is 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(np.rint(degrees * 1e7) == 0.0)


def _us(column: Any) -> tuple[npt.NDArray[np.int64], Mask]:
    """Microseconds (0 where null), and which are null."""
    values = pc.fill_null(column.cast(pa.int64()), 0)
    return np.asarray(values.to_numpy(), dtype=np.int64), _nulls(column)


def _floats(column: Any) -> npt.NDArray[np.float64]:
    return np.asarray(pc.fill_null(column, np.nan).to_numpy(), dtype=np.float64)


def _nulls(column: Any) -> Mask:
    return _bools(pc.is_null(column))


def _bools(column: Any) -> Mask:
    return np.asarray(pc.fill_null(column, False).to_numpy(), dtype=np.bool_)
