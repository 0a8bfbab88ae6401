"""The hour that autumn repeats: which pass a wall time is of, told by its neighbours in time, not by the order of rows.

A trip is one drive: no two fixes of it, one after the other, are more than ``NEAR`` apart. So what is joined to a time
before the hour, by steps no longer than that, is of the first pass, unless it goes on so near to the hour's end that it
may go on into the second; what is joined to a time after the hour is likewise of the second. Nobody can tell of others.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

Mask = npt.NDArray[np.bool_]

NEAR: Final = pd.Timedelta(minutes=10)
"""start2park's drives send a fix each 5-10 s, and are never silent for longer than 152 s."""


def is_repeated(local: pd.Series[Any], zone: str) -> Mask:
    """Which wall times (datetime64, naive) were in a zone twice."""
    zoned = local.dt.tz_localize(zone, ambiguous="NaT", nonexistent="shift_forward")
    return np.asarray(zoned.isna() & local.notna(), dtype=np.bool_)


def is_about(local: pd.Series[Any], zone: str) -> Mask:
    """Which wall times were there twice, or are near to one that was."""
    return is_repeated(local, zone) | is_repeated(local - NEAR, zone) | is_repeated(local + NEAR, zone)


def passes(local: pd.Series[Any], trip: pd.Series[Any], zone: str) -> pd.Series[Any]:
    """Of each trip's wall times about repeated hours: 1.0 where a repeated one is told to be of the first pass, 0.0
    where of the second, NaN where nothing tells. By (trip, local), each once.

    ``local``: datetime64, ``trip``: the trip of each, of all of a file where ``is_about``; in any order.

    >>> night = pd.Series(pd.to_datetime(["2020-10-25 02:04:00", "2020-10-25 01:58:00", "2020-10-25 02:40:00"]))
    >>> passes(night, pd.Series(["a", "a", "a"]), "Europe/Berlin").tolist()
    [1.0, 1.0, nan]
    """
    rows = pd.DataFrame({"trip": trip, "local": local}).drop_duplicates().sort_values(["trip", "local"])
    cut = (rows["trip"] != rows["trip"].shift()) | (rows["local"].diff() > NEAR)
    chain = cut.cumsum()
    inside = is_repeated(rows["local"], zone)
    told = pd.Series(np.nan, index=rows.index)
    for first, beside, away in ((1.0, NEAR, "last"), (0.0, -NEAR, "first")):
        joined = pd.Series(~inside & is_repeated(rows["local"] + beside, zone), index=rows.index)
        outermost = chain.map(rows["local"][inside].groupby(chain[inside]).agg(away))
        told[joined.groupby(chain).transform("any") & is_repeated(outermost + beside, zone)] = first
    told.index = pd.MultiIndex.from_frame(rows)
    return told
