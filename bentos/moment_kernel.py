"""Moments as RFC 3339 texts, many at once: a ``datetime`` for each and its way into JSON cost as much as scoring."""

# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

NONE = -(2**63)
"""A moment that is not there."""

LONGEST = 28
"""Bytes of a text and of what parts it from the next."""


@numba.njit("i8(u1[::1], i8, i8, i8)", cache=True, error_model="numpy")
def _digits(out: npt.NDArray[np.uint8], at: int, number: int, count: int) -> int:
    """``number`` in ``count`` decimal digits at ``at``; where they end."""
    for place in range(at + count - 1, at - 1, -1):
        out[place] = 48 + number % 10
        number //= 10
    return at + count


@numba.njit("i8(i8[::1], u1[::1])", cache=True, nogil=True, error_model="numpy")
def write_moments(moments: npt.NDArray[np.int64], out: npt.NDArray[np.uint8]) -> int:
    """``moments`` (n,), microseconds since the epoch in years 1 to 9999, NONE for none, as texts, each followed by a
    space, in ``out`` (n * LONGEST bytes); how many bytes they are.

    ``2026-03-01T12:00:00Z``, with six digits of a fraction where there is one: as pydantic writes a UTC ``datetime``.
    The calendar: Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    """
    at = 0
    for moment in moments:
        if moment != NONE:
            days, us = moment // 86_400_000_000, moment % 86_400_000_000
            days += 719_468  # since 0000-03-01
            era = days // 146_097
            of_era = days - era * 146_097
            year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
            of_year = of_era - (365 * year + year // 4 - year // 100)
            month = (5 * of_year + 2) // 153
            day = of_year - (153 * month + 2) // 5 + 1
            month = month + 3 if month < 10 else month - 9
            year += era * 400 + (1 if month <= 2 else 0)
            at = _digits(out, at, year, 4)
            out[at] = 45
            at = _digits(out, at + 1, month, 2)
            out[at] = 45
            at = _digits(out, at + 1, day, 2)
            out[at] = 84
            at = _digits(out, at + 1, us // 3_600_000_000, 2)
            out[at] = 58
            at = _digits(out, at + 1, us // 60_000_000 % 60, 2)
            out[at] = 58
            at = _digits(out, at + 1, us // 1_000_000 % 60, 2)
            if us % 1_000_000:
                out[at] = 46
                at = _digits(out, at + 1, us % 1_000_000, 6)
            out[at] = 90
            at += 1
        out[at] = 32
        at += 1
    return at


def moment_texts(moments: list[int]) -> list[str]:
    """A text for each moment (microseconds since the epoch); empty for NONE.

    >>> moment_texts([1_772_366_400_000_000, NONE, 1])
    ['2026-03-01T12:00:00Z', '', '1970-01-01T00:00:00.000001Z']
    """
    out = np.empty(len(moments) * LONGEST, np.uint8)
    size = write_moments(np.array(moments, np.int64), out)
    return out[:size].tobytes().decode("ascii").split(" ")[:-1]
