"""The picture of a difference between rules versions: where facts appear, vanish and move, and how far."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.facts.diff import APPEARED, CHANGES, MOVED, SAME, VANISHED, Difference
from parked.files import atomic_path
from parked.schemas import KINDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS: Final = {APPEARED: "#1b9e77", VANISHED: "#d95f02", MOVED: "#4461b0", "changed": "#999999", SAME: "#dddddd"}
_WINDOW_DEG: Final = 0.5
"""Facts of a country are dots on top of each other: the map shows the busiest window of this width."""


def draw(found: Difference, names: tuple[str, str], target: Path) -> None:
    """Write the picture (PNG, by matplotlib, no network) to ``target``, atomically. names: of the two versions."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 3)
    told = pa.array([APPEARED, VANISHED, MOVED])
    rows = found.table.filter(pc.is_in(found.table["change"], value_set=told)).to_pylist()
    _map(figure.add_subplot(grid[:, :2]), rows)
    _bars(figure.add_subplot(grid[0, 2]), found)
    _histogram(figure.add_subplot(grid[1, 2]), [row for row in rows if row["change"] == MOVED])
    figure.suptitle(f"Facts by rules {names[1]} against {names[0]}")
    with atomic_path(target) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})


def _map(axes: Axes, rows: list[dict[str, Any]]) -> None:
    axes.set_xlabel("longitude, degrees")
    axes.set_ylabel("latitude, degrees")
    if not rows:
        axes.set_title("nothing appears, vanishes or moves")
        return
    places = np.array([(_of(row, "lon"), _of(row, "lat")) for row in rows])
    cells, counts = np.unique(np.floor(places / _WINDOW_DEG), axis=0, return_counts=True)
    middle = (cells[counts.argmax()] + 0.5) * _WINDOW_DEG
    shown = np.abs(places - middle).max(axis=1) <= _WINDOW_DEG
    for change, marker in ((VANISHED, "x"), (APPEARED, "+"), (MOVED, ".")):
        at = np.array([row["change"] == change for row in rows]) & shown
        if at.any():
            label = f"{change} ({int(at.sum())})"
            axes.scatter(places[at, 0], places[at, 1], marker=marker, s=36, color=COLOURS[change], label=label)
    for row, inside in zip(rows, shown, strict=True):
        if inside and row["change"] == MOVED:
            axes.plot([row["lon_a"], row["lon_b"]], [row["lat_a"], row["lat_b"]], color=COLOURS[MOVED], linewidth=0.8)
    axes.set_aspect(1 / max(0.05, np.cos(np.radians(middle[1]))), adjustable="datalim")
    axes.ticklabel_format(useOffset=False)
    axes.legend(loc="best")
    beside = len(rows) - int(shown.sum())
    axes.set_title("where" + (f" (the busiest half degree; {beside} others lie elsewhere)" if beside else ""))


def _bars(axes: Axes, found: Difference) -> None:
    left = np.zeros(len(KINDS))
    for change in CHANGES:
        counts = np.array([found.counts[kind][change] for kind in KINDS], float)
        axes.barh(KINDS, counts, left=left, color=COLOURS[change], label=change)
        left += counts
    axes.set_title("facts by kind")
    axes.legend(fontsize="small")


def _histogram(axes: Axes, moved: list[dict[str, Any]]) -> None:
    axes.set_title("how far and how late the moved ones moved")
    if not moved:
        return
    metres = np.array([row["distance_m"] for row in moved])
    seconds = np.abs([row["start_shift_s"] for row in moved])
    bins = np.concatenate([[0.0], np.geomspace(1.0, max(10.0, metres.max(), seconds.max()) * 1.001, 25)])
    axes.hist([metres, seconds], bins=bins.tolist(), label=["metres", "seconds of start"], color=["#4461b0", "#e7a33c"])
    axes.set_xscale("symlog", linthresh=1.0)
    axes.legend(fontsize="small")


def _of(row: dict[str, Any], what: str) -> float:
    return float(row[f"{what}_b"] if row[f"{what}_b"] is not None else row[f"{what}_a"])
