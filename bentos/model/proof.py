"""Trees as arrays serve only where they are CatBoost's equal, bit for bit: tried at every load, before any answer.

Tried on real rows (the model's own training rows, where they are here), on values at and beside every border, on
missing values, infinities and categories nobody has seen.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import structlog

from bentos.model.genuine import MANIFEST_FILE
from bentos.model.scorer import Scorer, model_dir_of
from bentos.model.trees import NotOursError, Trees, compile_trees
from parked.errors import NotFoundError
from parked.schemas import ACTIVITIES, FOLLOWED, STATUSES
from parked.settings import Settings

log = structlog.get_logger(__name__)

REAL_ROWS = 2_000
MADE_ROWS = 2_000
ALONE = 20
"""So many rows are also evaluated one at a time: CatBoost has another path for a single row."""

CATEGORIES: tuple[str | None, ...] = (
    *STATUSES,
    *ACTIVITIES,
    *FOLLOWED,
    "",
    None,
    "never seen before",
    "nie gesehen: ß",
    "x",
)


def with_trees(scorer: Scorer, settings: Settings) -> Scorer:
    """``scorer`` with its trees as arrays, where they are proved equal; else as it is, with a line in the log."""
    try:
        trees = compile_trees(scorer.model, scorer.card.features, scorer.categorical)
        real = real_rows(settings, scorer)
        reason = difference(scorer, trees, [*real, *made_rows(scorer, trees, real)])
    except NotOursError as error:
        reason = str(error)
    if reason is not None:
        log.warning("trees_by_catboost", model=scorer.tag, why=reason)
        return scorer
    log.info("trees_proved", model=scorer.tag, real_rows=len(real), made_rows=MADE_ROWS)
    return replace(scorer, trees=trees)


def difference(scorer: Scorer, trees: Trees, rows: Sequence[Sequence[object]]) -> str | None:
    """Why ``trees`` must not stand for CatBoost, in words; None where every margin is the same double.

    A category that trees split on and no row holds is a reason too: nothing is proved of it. Raises NotOursError.
    """
    mine = trees.margins([row for row in rows if trees.takes(row)])
    theirs = scorer.catboost_margins([row for row in rows if trees.takes(row)])
    differing = int((mine.view(np.int64) != theirs.view(np.int64)).sum())
    for row, margin in zip([row for row in rows if trees.takes(row)][:ALONE], mine, strict=False):
        differing += scorer.catboost_margins([row]).tobytes() != margin.tobytes()
    if differing:
        return f"{differing} of {len(rows)} rows give another margin than CatBoost's"
    untried = trees.untried(rows)
    return f"no row to try it with has a category that feature {untried} splits on" if untried else None


def real_rows(settings: Settings, scorer: Scorer) -> list[list[object]]:
    """Rows the model was trained on, evenly from its manifest's file; none where that is not here (a bento).

    A manifest or file that is here and cannot be read is told in the log: the proof then rests on made rows alone.
    """
    try:
        manifest = json.loads((model_dir_of(settings, scorer.tag) / MANIFEST_FILE).read_bytes())
        file = pq.ParquetFile(settings.manifests_dir / Path(manifest["recipe"]["rows"]["file"]).name)
        table = file.read(columns=scorer.card.features).select(scorer.card.features)
    except (FileNotFoundError, NotFoundError):
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("training_rows_unreadable", model=scorer.tag, why=f"{type(error).__name__}: {error}")
        return []
    step = max(1, table.num_rows // REAL_ROWS)
    columns = [column.to_pylist() for column in table.take(list(range(0, table.num_rows, step))).columns]
    return [list(row) for row in zip(*columns, strict=True)]


def made_rows(scorer: Scorer, trees: Trees, real: Sequence[Sequence[object]]) -> list[list[object]]:
    """Rows nobody sent: each number at a border of its own, a hair beside one, missing, infinite or far out."""
    random = np.random.default_rng(7)
    columns: list[list[Any]] = []
    for position in range(len(scorer.card.features)):
        if position in scorer.categorical:
            choice: list[Any] = [*CATEGORIES, *{row[position] for row in real}]
        else:
            choice = [None, math.nan, math.inf, -math.inf, 0.0, -0.0, 1e300, -1e300, 1, True]
            for border in trees.borders(position):
                with np.errstate(over="ignore"):  # beside the greatest number is infinity, which is wanted
                    beside = np.nextafter(np.float32(border), np.array([-np.inf, np.inf], dtype=np.float32))
                choice += [
                    border,
                    *beside.tolist(),
                    math.nextafter(border, -math.inf),
                    math.nextafter(border, math.inf),
                ]
        columns.append([choice[index] for index in random.integers(0, len(choice), MADE_ROWS)])
    return [list(row) for row in zip(*columns, strict=True)]
