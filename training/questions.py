"""Held-out questions: "where did I park?" at a moment, with the truth and the candidates serving would weigh.

A row-level metric judges candidates; people judge answers. An answer takes the newest candidates the phone had at the
moment, walks from newest to oldest, and stops at the first called a parking (docs/architecture.md, "Answers").
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from parked.geo import distances_m
from training import split
from training.config import TrainingConfig
from training.ports import Bools, Floats
from training.snapshots import RETRACTED

CANDIDATES: Final = 3
"""How many candidates an answer weighs (``candidate_1..3`` of ``device_state``)."""

LOOK_BACK: Final = 60
"""How many candidates are looked through for them: most are retracted within minutes (a red light that was none)."""

COLUMNS: Final = (
    "question_id",
    "rank",
    "device_id",
    "candidate_id",
    "cell",
    "left_at_us",
    "decided_at_us",
    "split",
    "has_left",
    "metres_off",
    "vehicle_gone",
)


def questions_for(
    snapshots: pd.DataFrame, candidates: pd.DataFrame, labelled: pd.DataFrame, cut_us: int, config: TrainingConfig
) -> pd.DataFrame:
    """``questions_per_device`` questions per held-out device, evenly over the time it was seen (others: after the cut).

    One row per question and candidate weighed (``rank`` 0 is the newest): COLUMNS. ``has_left``: the facts known then
    say the vehicle left that candidate again; ``metres_off``: candidate to the true spot; ``vehicle_gone``: no pin is
    right, because nothing was parked yet or the facts known at the training cut-off say the vehicle had left by then.

    The true spot is the newest candidate labelled a parking and left by then. Questions are skipped where a newer
    candidate is unlabelled, and between the moment the vehicle may have left at the earliest (``ended_at``: the facts
    put it at the start of a silence) and the moment that became known: the truth is not known there. Parkings the facts
    missed altogether are not asked about here: they are counted as
    ``unmatched_parked`` labels.
    """
    picked = _moments(snapshots, labelled, cut_us, config)
    if picked.empty:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})
    within_m = config.evaluation.return_within_m
    truth = _truth(picked, snapshots, candidates, labelled, within_m, 2 * config.labels.attach_within_s)
    weighed = _weighed(truth, snapshots, candidates, within_m)
    return weighed.sort_values(["question_id", "rank"], kind="stable", ignore_index=True)[list(COLUMNS)]


def left_again(ended_us: Floats, return_m: Floats, at_us: Floats, within_m: float) -> Bools:
    """Whether the vehicle had left a place by ``at_us``: the next leg began by then, within ``within_m`` of the place
    (farther off it was another vehicle; unknown counts as near)."""
    with np.errstate(invalid="ignore"):
        return np.asarray((ended_us <= at_us) & ~(return_m > within_m), dtype=np.bool_)


def _floats(column: pd.Series) -> Floats:
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _moments(snapshots: pd.DataFrame, labelled: pd.DataFrame, cut_us: int, config: TrainingConfig) -> pd.DataFrame:
    """``question_id``, ``device_id``, ``decided_at_us``, ``split``: moments evenly over each device's span, with an
    offset of the device's own (its hash), so that not all are asked at the same time of day."""
    seen = snapshots.groupby("device_id")["at_us"].agg(["min", "max"])
    seen = seen[seen.index.isin(labelled["device_id"])].sort_index()
    rules, many = config.split, config.evaluation.questions_per_device
    parts = []
    for device, first, last in zip(seen.index, seen["min"], seen["max"], strict=True):
        held = split.device_share(str(device), rules.salt) < rules.test_devices
        start = int(first) if held else max(int(first), cut_us)
        if start >= last:
            continue
        offset = split.device_share(str(device), "asked")
        asked = start + ((np.arange(many) + offset) / many * (int(last) - start)).astype(np.int64)
        part = split.TEST_DEVICES if held else split.TEST_LATER
        parts.append(pd.DataFrame({"device_id": device, "decided_at_us": asked, "split": part}))
    if not parts:
        return pd.DataFrame({"question_id": [], "device_id": [], "decided_at_us": [], "split": []})
    moments = pd.concat(parts, ignore_index=True)
    return moments.assign(question_id=np.arange(len(moments)))


def _truth(
    picked: pd.DataFrame,
    snapshots: pd.DataFrame,
    candidates: pd.DataFrame,
    labelled: pd.DataFrame,
    within_m: float,
    doubt_s: float,
) -> pd.DataFrame:
    """``picked`` where the truth is known, + ``truth_lat``, ``truth_lon`` (NaN: nothing parked yet), ``vehicle_gone``.

    An unlabelled candidate within ``doubt_s`` of the true parking is an echo of it, not a doubt.
    """
    parked = labelled[labelled["label"] == 1]
    ended_known = snapshots[snapshots["ended_at_us"].notna()].groupby("candidate_id")["at_us"].min()
    parked = parked.assign(ended_known_us=parked["candidate_id"].map(ended_known))
    spots = parked[["device_id", "left_at_us", "truth_lat", "truth_lon", "ended_at_us", "ended_known_us", "return_m"]]
    asked = picked.sort_values("decided_at_us", kind="stable")
    truth = _newest_before(asked, spots.rename(columns={"left_at_us": "truth_us"}), "truth_us")
    unlabelled = candidates[~candidates["candidate_id"].isin(labelled["candidate_id"]) & ~candidates["retracted"]]
    doubts = unlabelled[["device_id", "left_at_us"]].rename(columns={"left_at_us": "doubt_us"})
    truth = _newest_before(truth, doubts, "doubt_us")
    settled_us = truth["truth_us"].fillna(-np.inf) + doubt_s * 1e6
    truth = truth[~(truth["doubt_us"] > settled_us)].copy()
    at, back = truth["decided_at_us"].to_numpy(dtype=np.float64), _floats(truth["return_m"])
    may_have_left = left_again(_floats(truth["ended_at_us"]), back, at, within_m)
    left = left_again(_floats(truth["ended_known_us"]), back, at, within_m)
    truth["vehicle_gone"] = left | truth["truth_us"].isna().to_numpy()
    truth = truth[left | ~may_have_left]
    return truth[["question_id", "device_id", "decided_at_us", "split", "truth_lat", "truth_lon", "vehicle_gone"]]


def _newest_before(asked: pd.DataFrame, events: pd.DataFrame, moment: str) -> pd.DataFrame:
    """Each question's newest event of its device at or before it (null columns where none)."""
    events = events.assign(_at=events[moment]).sort_values("_at", kind="stable")
    return pd.merge_asof(asked, events, left_on="decided_at_us", right_on="_at", by="device_id").drop(columns="_at")


def _weighed(truth: pd.DataFrame, snapshots: pd.DataFrame, candidates: pd.DataFrame, within_m: float) -> pd.DataFrame:
    """The newest candidates of each question, as known at its moment."""
    recent = _recent(truth, candidates, LOOK_BACK)
    states = snapshots[
        ["candidate_id", "at_us", "status", "cell", "left_at_us", "lat", "lon", "ended_at_us", "return_m"]
    ]
    known = pd.merge_asof(
        recent.sort_values("decided_at_us", kind="stable"),
        states.sort_values("at_us", kind="stable"),
        left_on="decided_at_us",
        right_on="at_us",
        by="candidate_id",
    )
    known = known[known["at_us"].notna() & (known["status"] != RETRACTED)].copy()
    known = known[known["left_at_us"] <= known["decided_at_us"]]
    known = known.sort_values(
        ["question_id", "left_at_us", "candidate_id"], ascending=[True, False, True], kind="stable", ignore_index=True
    )
    known["rank"] = known.groupby("question_id").cumcount()
    known = known[known["rank"] < CANDIDATES].reset_index(drop=True)
    known["left_at_us"] = known["left_at_us"].astype("int64")
    known["has_left"] = left_again(
        _floats(known["ended_at_us"]),
        _floats(known["return_m"]),
        _floats(known["decided_at_us"]),
        within_m,
    )
    known["metres_off"] = distances_m(
        known["lat"].to_numpy(dtype=np.float64),
        known["lon"].to_numpy(dtype=np.float64),
        known["truth_lat"].to_numpy(dtype=np.float64),
        known["truth_lon"].to_numpy(dtype=np.float64),
    )
    return known


def _recent(truth: pd.DataFrame, candidates: pd.DataFrame, most: int) -> pd.DataFrame:
    """(question, candidate) pairs: the ``most`` candidates of the device left last before the moment."""
    ordered = candidates.sort_values(["device_id", "left_at_us", "candidate_id"], kind="stable", ignore_index=True)
    lists = {
        device: (part["left_at_us"].to_numpy(), part["candidate_id"].to_numpy())
        for device, part in ordered.groupby("device_id")
    }
    parts = []
    for device, asked in truth.groupby("device_id"):
        left, ids = lists[device]
        end = np.searchsorted(left, asked["decided_at_us"].to_numpy(), side="right")
        index = end[:, None] - 1 - np.arange(most)[None, :]
        question, slot = np.nonzero(index >= 0)
        pairs = asked.iloc[question].assign(candidate_id=ids[index[question, slot]])
        parts.append(pairs)
    return pd.concat(parts, ignore_index=True) if parts else truth.assign(candidate_id="")
