"""Who is held out: by device (a stable hash) and by time. No row is in two parts, no fitted row is ever measured on.

The hash of a device depends on the salt alone, so a device held out today was held out of every earlier model of the
same salt: a champion and its challenger can be compared on it (``training.heldout``).
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import pandas as pd

from training.config import SplitRules
from training.ports import Floats

TRAIN: Final = "train"
CALIBRATION: Final = "calibration"
TEST_DEVICES: Final = "test_devices"
TEST_LATER: Final = "test_later"
PURGED: Final = "purged"
FITTED: Final = (TRAIN, CALIBRATION)
HELD_OUT: Final = (TEST_DEVICES, TEST_LATER)


def device_share(device_id: str, salt: str) -> float:
    """Where a device falls in [0, 1): BLAKE2b of salt and id, uniform and stable over processes and machines.

    >>> 0.0 <= device_share("phone-1", "v1") < 1.0
    True
    """
    digest = hashlib.blake2b(f"{salt}\x00{device_id}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def later_cut(left_at_us: Floats | pd.Series, rules: SplitRules) -> int:
    """The moment (µs) from which on candidates are held out: the (1 - later) quantile of when candidates were left.

    ``left_at_us``: one value per candidate. With ``later`` = 0 the cut lies after all of them.
    """
    moments = np.sort(np.asarray(left_at_us, dtype=np.int64))
    if len(moments) == 0:
        return 0
    if rules.later == 0:
        return int(moments[-1]) + 1
    return int(moments[min(len(moments) - 1, int(np.ceil(len(moments) * (1 - rules.later))))])


def assign(rows: pd.DataFrame, cut_us: int, rules: SplitRules) -> pd.Series:
    """The part of every row, index as ``rows``. ``rows``: ``device_id``, ``left_at_us``, ``decided_at_us`` (int64 µs).

    * test devices, at any time: ``test_devices``;
    * the others by when the candidate was left: from the cut on ``test_later``, before it ``train`` or ``calibration``
      (by device);
    * but a moment at or after the cut of a candidate left before it is ``purged``: it would carry a fitted
      candidate's label into the later time, or later knowledge into the fit.
    """
    devices = rows["device_id"].unique()
    shares = {str(device): device_share(str(device), rules.salt) for device in devices}
    share = rows["device_id"].map(shares).to_numpy(dtype=np.float64)
    later = rows["left_at_us"].to_numpy() >= cut_us
    straddles = ~later & (rows["decided_at_us"].to_numpy() >= cut_us)
    part = np.select(
        [share < rules.test_devices, later, straddles, share < rules.test_devices + rules.calibration_devices],
        [TEST_DEVICES, TEST_LATER, PURGED, CALIBRATION],
        TRAIN,
    )
    return pd.Series(part, index=rows.index, dtype=object, name="split")
