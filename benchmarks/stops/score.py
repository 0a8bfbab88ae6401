"""Stops against true stays: one-to-one match by overlap, F1, and how far off arrivals and departures are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

LEAST_S: Final = 300.0
"""Stops and stays count from 5 min."""
LEAST_IOU: Final = 0.5


@dataclass(frozen=True)
class Score:
    """``arrival_s``, ``departure_s``: signed errors of the matched (s, positive = late)."""

    matched: int
    found: int
    true: int
    arrival_s: np.ndarray
    departure_s: np.ndarray
    wrong: pd.DataFrame
    """found, matching no stay"""
    missed: pd.DataFrame
    """stays that nothing matches"""

    @property
    def f1(self) -> float:
        """2 TP / (found + true)."""
        return 2 * self.matched / max(1, self.found + self.true)


def score(stops: pd.DataFrame, stays: pd.DataFrame) -> Score:
    """Match ``stops`` (device_id, arrived, left; s) one to one to ``stays`` at IoU >= 0.5, best overlaps first."""
    stops = stops[stops["left"] - stops["arrived"] >= LEAST_S].reset_index(drop=True)
    stays = stays[stays["left"] - stays["arrived"] >= LEAST_S].reset_index(drop=True)
    pairs = stops.reset_index().merge(stays.reset_index(), on="device_id", suffixes=("", "_true"))
    overlap = np.minimum(pairs["left"], pairs["left_true"]) - np.maximum(pairs["arrived"], pairs["arrived_true"])
    union = np.maximum(pairs["left"], pairs["left_true"]) - np.minimum(pairs["arrived"], pairs["arrived_true"])
    pairs = pairs.assign(iou=overlap / union)
    pairs = pairs[pairs["iou"] >= LEAST_IOU].sort_values(["iou", "index", "index_true"], ascending=[False, True, True])
    used: set[int] = set()
    taken: set[int] = set()
    kept = []
    for row in pairs.itertuples(index=False):
        if row.index not in used and row.index_true not in taken:
            used.add(row.index)
            taken.add(row.index_true)
            kept.append((row.arrived - row.arrived_true, row.left - row.left_true))
    errors = np.array(kept).reshape(-1, 2)
    return Score(
        len(kept),
        len(stops),
        len(stays),
        errors[:, 0],
        errors[:, 1],
        stops.drop(index=list(used)),
        stays.drop(index=list(taken)),
    )


def stops_of(facts: pa.Table, last_seen: dict[str, float]) -> pd.DataFrame:
    """Stops that stand at the end of a log: device_id, arrived, left (s); an open one lasts until ``last_seen``."""
    stops = facts.filter(pc.equal(facts["kind"], "stop"))
    last = stops.group_by("fact_id").aggregate([("revision", "max")]).rename_columns(["fact_id", "revision"])
    stops = stops.join(last, keys=["fact_id", "revision"], join_type="inner")
    stops = stops.filter(pc.not_equal(stops["status"], "RETRACTED"))
    seconds = [pc.divide(pc.cast(pc.cast(stops[c], pa.int64()), pa.float64()), 1e6) for c in ("started_at", "ended_at")]
    frame = pd.DataFrame(
        {"device_id": stops["device_id"].to_pandas(), "arrived": np.asarray(seconds[0]), "left": np.asarray(seconds[1])}
    )
    frame["left"] = frame["left"].fillna(frame["device_id"].map(last_seen))
    return frame.assign(
        reasons=stops["reasons"].to_pandas(), lat=np.asarray(stops["lat"]), lon=np.asarray(stops["lon"])
    )


def last_seen(fixes: pa.Table) -> dict[str, float]:
    """By device: when it was last heard (s since the epoch)."""
    newest = fixes.group_by("device_id").aggregate([("event_time", "max")])
    return dict(
        zip(
            newest["device_id"].to_pylist(),
            (np.asarray(newest["event_time_max"].cast(pa.int64())) / 1e6).tolist(),
            strict=True,
        )
    )
