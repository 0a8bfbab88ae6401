"""Candidates and decision moments, from the offline snapshots of ``candidate_state`` as known at the cut-off."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from parked.clock import to_us
from parked.errors import InputError, NotFoundError

VIEW: Final = "candidate_state"
NEEDED: Final = ("candidate_id", "device_id", "cell", "available_at", "left_at_us", "lat", "lon", "status")
USED_IF_THERE: Final = ("ended_at_us", "return_m", "motion_before", "motion_after", "built_by")
RETRACTED: Final = "RETRACTED"


def snapshot_files(features_dir: Path) -> list[Path]:
    """The Parquet files of candidate snapshots. Raises NotFoundError where there are none."""
    folder = features_dir / VIEW
    files = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
    if not files:
        raise NotFoundError(f"{folder}: no candidate snapshots", mend="run `parked features build` first")
    return files


def read_snapshots(features_dir: Path, as_of: datetime) -> pd.DataFrame:
    """All snapshots of candidates with ``available_at`` <= ``as_of``, one row per (candidate_id, available_at).

    Columns NEEDED + USED_IF_THERE (missing ones all null) + ``at_us`` (``available_at`` in µs), ordered by
    (device_id, candidate_id, at_us). Raises NotFoundError where there are none, InputError for other columns.
    """
    folder, files = features_dir / VIEW, snapshot_files(features_dir)
    data = ds.dataset([str(file) for file in files], format="parquet")
    if missing := [name for name in NEEDED if name not in data.schema.names]:
        raise InputError(f"{folder}: no column {missing[0]}", mend="build the features again")
    columns = [name for name in (*NEEDED, *USED_IF_THERE) if name in data.schema.names]
    known = ds.field("available_at") <= pa.scalar(as_of, pa.timestamp("us", tz="UTC"))
    frame: pd.DataFrame = data.to_table(columns=columns, filter=known).to_pandas()
    if frame.empty:
        raise NotFoundError(f"{folder}: no candidate was known at {as_of.isoformat()}", mend="give a later --as-of")
    for name in USED_IF_THERE:
        if name not in frame.columns:
            frame[name] = None
    frame["at_us"] = frame["available_at"].astype("datetime64[us, UTC]").astype("int64")
    frame = frame.sort_values(["device_id", "candidate_id", "at_us"], kind="stable")
    frame = frame.drop_duplicates(["candidate_id", "at_us"], keep="last").reset_index(drop=True)
    # a retraction says nothing but that; when and where it was, is as it stood before
    stood = ["left_at_us", "lat", "lon", "motion_before", "motion_after"]
    withdrawn = frame["status"] == RETRACTED
    frame.loc[withdrawn, stood] = frame.groupby("candidate_id")[stood].ffill()[withdrawn]
    frame = frame[frame["left_at_us"].notna()].reset_index(drop=True)
    frame["left_at_us"] = frame["left_at_us"].astype("int64")
    return frame


def final_candidates(snapshots: pd.DataFrame) -> pd.DataFrame:
    """One row per candidate: its last snapshot, + ``known_at_us`` (its moment) and ``retracted``."""
    last = snapshots.drop_duplicates("candidate_id", keep="last").reset_index(drop=True)
    last = last.assign(known_at_us=last["at_us"], retracted=last["status"] == RETRACTED)
    return pd.DataFrame(last.drop(columns=["available_at", "at_us"]))


def decision_moments(snapshots: pd.DataFrame, ages_s: tuple[float, ...], most: int, as_of: datetime) -> pd.DataFrame:
    """When each candidate is judged: ``candidate_id``, ``device_id``, ``cell``, ``left_at_us``, ``decided_at_us``, and
    ``stood_s``: how long nothing changed after (until the next snapshot or judgment, or ``as_of``; seconds).

    The moments of its snapshots, because then something new was known (of more than ``most``: the first, and as many
    spread evenly over the others); and the ages ``ages_s`` (seconds since the vehicle was left), because people ask
    long after the last news and the age itself is a feature. An age counts only after the candidate was first known
    and before ``as_of``. None while the candidate stands retracted: serving does not offer it then. Distinct, ordered
    by (device_id, left_at_us, candidate_id, decided_at_us); ``cell`` and ``left_at_us`` are as known at that moment.
    """
    columns = ["candidate_id", "device_id", "cell", "left_at_us"]
    known = snapshots[[*columns, "at_us", "status"]]
    known = known.assign(until_us=known.groupby("candidate_id")["at_us"].shift(-1, fill_value=np.iinfo(np.int64).max))
    known = known[known["status"] != RETRACTED]
    place = known.groupby("candidate_id").cumcount().to_numpy()
    many = known.groupby("candidate_id")["at_us"].transform("size").to_numpy()
    chosen = (place * most) // many != ((place - 1) * most) // many
    cut = to_us(as_of)
    known["until_us"] = known["until_us"].clip(upper=cut)
    columns.append("until_us")
    parts = [known[columns][chosen].assign(decided_at_us=known["at_us"][chosen])]
    for age in ages_s:
        moment = known["left_at_us"].to_numpy() + int(age * 1e6)
        holds = (moment > known["at_us"].to_numpy()) & (moment < known["until_us"].to_numpy())
        parts.append(known[columns][holds].assign(decided_at_us=moment[holds]))
    moments: pd.DataFrame = pd.concat(parts).drop_duplicates(["candidate_id", "decided_at_us"])
    order = ["device_id", "left_at_us", "candidate_id", "decided_at_us"]
    moments = moments.sort_values("decided_at_us", kind="stable")  # by time alone: left_at_us may be revised
    following = moments.groupby("candidate_id", sort=False)["decided_at_us"].shift(-1)
    until = np.fmin(following.to_numpy(dtype=np.float64), moments["until_us"].to_numpy(dtype=np.float64))
    moments["stood_s"] = (until - moments["decided_at_us"].to_numpy()) / 1e6
    return moments.drop(columns="until_us").sort_values(order, kind="stable", ignore_index=True)
