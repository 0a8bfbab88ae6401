"""Judgments become labels of candidates: by time and place, never by row id, so that they survive any replay.

A candidate is the end of a vehicle leg (a ``vehicle_left`` fact). Its label is 1 where the vehicle was parked there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from parked.geo import distances_m
from parked.schemas import LABELS, TIME
from training.config import LabelRules
from training.ports import Bools, Floats


@dataclass
class LabelCounts:
    """What became of the judgments. Goes into the manifest."""

    by_source: dict[str, dict[str, int]] = field(default_factory=dict)
    """source -> {parked, not_parked}: candidates it labelled."""
    unmatched_parked: dict[str, int] = field(default_factory=dict)
    """source -> parked labels no candidate lies near: the facts missed them, or they lie outside the snapshots."""
    ambiguous: int = 0
    unlabelled: int = 0
    too_young: int = 0
    """of the unlabelled: inside coverage, but a judgment of them may still come"""
    candidates: int = 0


def attach(
    candidates: pd.DataFrame,
    labels: pa.Table,
    coverage: pa.Table,
    rules: LabelRules,
    matured_us: int | None = None,
) -> tuple[pd.DataFrame, LabelCounts]:
    """Label candidates.

    ``candidates``: one row each: ``candidate_id``, ``device_id``, ``left_at_us`` (int64 µs), ``lat``, ``lon``
    (degrees), ``retracted`` (bool). ``labels``: LABELS; ``coverage``: COVERAGE. Returns the labelled candidates in
    canonical order (device_id, left_at_us, candidate_id) with ``label`` (0/1), ``label_source``, ``label_weight``,
    ``truth_lat``, ``truth_lon`` (the label's place, else the candidate's), and the counts.

    Source by source, in ``rules.precedence``; the first with an opinion decides:

    1. its labels attach one-to-one, nearest first, within ``attach_within_s`` and ``attach_within_m`` (nearness is the
       mean of both as shares of their limits; a label without a place counts as at the limit of distance);
    2. a candidate without one, but within ``ambiguous_within_m`` of a parked label in time, is left out: a pin there
       would be right as well. A retracted candidate never takes a label, and is left out within the whole tolerance;
    3. any other candidate inside the source's coverage is a negative.

    Inside the coverage a candidate left at or after ``matured_us`` (µs) gets no label from the source at all: judgments
    reach us late, so its silence says nothing yet. None: silence speaks of all.

    Candidates no source speaks of are left out.
    """
    order = ["device_id", "left_at_us", "candidate_id"]
    candidates = candidates.sort_values(order, kind="stable", ignore_index=True)
    n = len(candidates)
    label = np.full(n, -1, dtype=np.int64)
    source_of = np.full(n, "", dtype=object)
    weight = np.zeros(n, dtype=np.float64)
    place = candidates[["lat", "lon"]].to_numpy(dtype=np.float64, copy=True)
    open_ = np.ones(n, dtype=np.bool_)
    young = np.zeros(n, dtype=np.bool_)
    if matured_us is not None:
        young = candidates["left_at_us"].to_numpy(dtype=np.int64) >= matured_us
    awaited = np.zeros(n, dtype=np.bool_)
    counts = LabelCounts(candidates=n)
    all_labels = _newest_judgments(labels)
    all_spans = coverage.to_pandas()
    for source in rules.precedence:
        judged = all_labels[all_labels["source"] == source].reset_index(drop=True)
        spans = all_spans[all_spans["source"] == source]
        if judged.empty and spans.empty:
            continue
        matched, near = _match(candidates, judged, rules)
        base = rules.source_weight[source]
        has = matched >= 0
        verdict = np.zeros(n, dtype=np.int64)
        own = np.full(n, base)
        if has.any():
            verdict[has] = (judged["verdict"].to_numpy()[matched[has]] == "parked").astype(np.int64)
            own[has] = base * judged["weight"].to_numpy(dtype=np.float64)[matched[has]]
        covered = _covered(candidates, spans)
        ambiguous = ~has & near & open_
        # Where silence will speak but cannot yet, an early judgment waits for the others: taken alone, those that came
        # first (parkings, mostly) would fill the newest days.
        waits = covered & young
        decides = open_ & ~ambiguous & (has | covered) & ~waits
        awaited |= waits
        label[decides], source_of[decides], weight[decides] = verdict[decides], source, own[decides]
        placed = np.flatnonzero(decides & has)
        spots = judged[["lat", "lon"]].to_numpy(dtype=np.float64)[matched[placed]]
        place[placed] = np.where(np.isnan(spots), place[placed], spots)
        open_ &= ~(decides | ambiguous)
        counts.ambiguous += int(ambiguous.sum())
        counts.by_source[source] = {
            "parked": int((decides & (label == 1)).sum()),
            "not_parked": int((decides & (label == 0)).sum()),
        }
        parked = (judged["verdict"] == "parked").to_numpy()
        taken = np.zeros(len(judged), dtype=np.bool_)
        taken[matched[has]] = True
        counts.unmatched_parked[source] = int((parked & ~taken).sum())
    counts.unlabelled = int((label < 0).sum()) - counts.ambiguous
    counts.too_young = int((awaited & open_).sum())
    keep = (label >= 0) & (weight > 0)
    labelled = candidates[keep].assign(
        label=label[keep],
        label_source=source_of[keep],
        label_weight=weight[keep],
        truth_lat=place[keep, 0],
        truth_lon=place[keep, 1],
    )
    return labelled.reset_index(drop=True), counts


def _newest_judgments(labels: pa.Table) -> pd.DataFrame:
    """Labels in canonical order; of several by one source about one moment (a correction) the latest known stands."""
    frame = labels.select(LABELS.names).to_pandas()
    frame["at_us"] = _microseconds(frame["at"])
    by = ["device_id", "source", "at_us", "known_at", "verdict", "lat", "lon", "weight"]
    frame = frame.sort_values(by, kind="stable", na_position="first")
    newest: pd.DataFrame = frame.drop_duplicates(["device_id", "source", "at_us"], keep="last").reset_index(drop=True)
    return newest


def _microseconds(times: pd.Series) -> pd.Series:
    return times.astype("datetime64[us, UTC]").astype("int64")


def _match(candidates: pd.DataFrame, judged: pd.DataFrame, rules: LabelRules) -> tuple[np.ndarray, Bools]:
    """Per candidate: index of its label in ``judged`` or -1, and whether a parked label is ambiguously near."""
    matched = np.full(len(candidates), -1, dtype=np.int64)
    near = np.zeros(len(candidates), dtype=np.bool_)
    if judged.empty or candidates.empty:
        return matched, near
    i, j = _pairs(candidates, judged, int(rules.attach_within_s * 1e6))
    seconds = np.abs(candidates["left_at_us"].to_numpy()[i] - judged["at_us"].to_numpy()[j]) / 1e6
    metres = distances_m(
        candidates["lat"].to_numpy(dtype=np.float64)[i],
        candidates["lon"].to_numpy(dtype=np.float64)[i],
        judged["lat"].to_numpy(dtype=np.float64)[j],
        judged["lon"].to_numpy(dtype=np.float64)[j],
    )
    metres = np.where(np.isnan(metres), rules.attach_within_m, metres)
    within = metres <= rules.attach_within_m
    i, j, seconds, metres = i[within], j[within], seconds[within], metres[within]
    retracted = candidates["retracted"].to_numpy(dtype=np.bool_)
    parked = (judged["verdict"] == "parked").to_numpy()
    close = parked[j] & ((metres <= rules.ambiguous_within_m) | retracted[i])
    near[i[close]] = True
    farness: Floats = seconds / rules.attach_within_s + metres / rules.attach_within_m
    live = ~retracted[i]
    i, j, farness = i[live], j[live], farness[live]
    taken = np.zeros(len(judged), dtype=np.bool_)
    for k in np.lexsort((j, i, farness)):  # nearest first; ties by canonical order
        if matched[i[k]] < 0 and not taken[j[k]]:
            matched[i[k]] = j[k]
            taken[j[k]] = True
    return matched, near


def _pairs(candidates: pd.DataFrame, judged: pd.DataFrame, within_us: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of all (candidate, label) of one device at most ``within_us`` apart."""
    left = pa.table({"i": np.arange(len(candidates)), "d": candidates["device_id"], "t": candidates["left_at_us"]})
    right = pa.table({"j": np.arange(len(judged)), "d": judged["device_id"], "t": judged["at_us"]})
    with duckdb.connect() as connection:
        connection.register("c", left)
        connection.register("l", right)
        pairs = connection.execute(
            "SELECT c.i, l.j FROM c JOIN l ON c.d = l.d AND c.t BETWEEN l.t - $w AND l.t + $w", {"w": within_us}
        ).fetchnumpy()
    return np.asarray(pairs["i"], dtype=np.int64), np.asarray(pairs["j"], dtype=np.int64)


def _covered(candidates: pd.DataFrame, spans: pd.DataFrame) -> Bools:
    """Which candidates were left inside a span of their device (ends included)."""
    inside = np.zeros(len(candidates), dtype=np.bool_)
    if spans.empty or candidates.empty:
        return inside
    left = pa.table({"i": np.arange(len(candidates)), "d": candidates["device_id"], "t": candidates["left_at_us"]})
    right = pa.table({"d": spans["device_id"], "a": _microseconds(spans["from"]), "b": _microseconds(spans["to"])})
    with duckdb.connect() as connection:
        connection.register("c", left)
        connection.register("s", right)
        hits = connection.execute(
            "SELECT DISTINCT c.i FROM c JOIN s ON c.d = s.d AND c.t BETWEEN s.a AND s.b"
        ).fetchnumpy()
    inside[np.asarray(hits["i"], dtype=np.int64)] = True
    return inside


def motion_labels(candidates: pd.DataFrame) -> pa.Table:
    """Weak labels (LABELS, source ``motion``) from the phone's own activity around the end of a vehicle leg.

    ``candidates``: as for ``attach``, with ``motion_before``, ``motion_after`` (ACTIVITIES, null or "" where none was
    sent) and ``known_at_us``. in_vehicle → on_foot is a parking (or leaving a bus: hence the low weight the training
    file gives this source); in_vehicle → in_vehicle is none. Anything else says nothing. The model also eats the
    activities, so these labels teach it little it could not guess: they are for fleets without any other label.
    """
    before, after = candidates["motion_before"].to_numpy(), candidates["motion_after"].to_numpy()
    parked = (before == "in_vehicle") & (after == "on_foot") & ~candidates["retracted"].to_numpy(dtype=np.bool_)
    still_driving = (before == "in_vehicle") & (after == "in_vehicle")
    spoken = candidates[parked | still_driving]
    verdict = np.where(parked[parked | still_driving], "parked", "not_parked")
    return pa.table(
        {
            "device_id": pa.array(spoken["device_id"], pa.string()),
            "at": pa.array(spoken["left_at_us"].to_numpy(), pa.int64()).cast(TIME),
            "lat": pa.array(spoken["lat"], pa.float64()),
            "lon": pa.array(spoken["lon"], pa.float64()),
            "verdict": pa.array(verdict, pa.string()),
            "source": pa.array(["motion"] * len(spoken), pa.string()),
            "weight": pa.array(np.ones(len(spoken))),
            "known_at": pa.array(spoken["known_at_us"].to_numpy(), pa.int64()).cast(TIME),
        },
        schema=LABELS,
    )


def with_motion(labels: pa.Table, coverage: pa.Table, candidates: pd.DataFrame, rules: LabelRules) -> pa.Table:
    """``labels`` plus motion labels as ``rules.motion_rule`` says (``where_unlabelled``: of devices no one judged)."""
    if rules.motion_rule == "never" or not {"motion_before", "motion_after"} <= set(candidates.columns):
        return labels
    if rules.motion_rule == "where_unlabelled":
        judged = set(labels["device_id"].to_pylist()) | set(coverage["device_id"].to_pylist())
        candidates = candidates[~candidates["device_id"].isin(judged)]
    return pa.concat_tables([labels.select(LABELS.names).cast(LABELS), motion_labels(candidates)])
