"""How a part of the prediction log lies on disk, and how it is read back.

A part holds ``PREDICTIONS`` but for ``features``: each feature is a typed column of its own, ``f.<name>``, which the
server writes ten times faster than text and a reader takes alone. Older parts, and whoever writes by hand, may hold
the JSON text itself; every reader here takes both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from parked.errors import InputError
from parked.schemas import PREDICTIONS

FED: Final = "f."
"""Prefix of a feature's own column."""

PART_SPAN: Final = timedelta(minutes=1)
"""A part's answers were given within so long of the first one's moment, which its name begins with: who looks for one
reads a few parts, not the log."""

PART_EARLY: Final = timedelta(seconds=1)
"""And at the earliest so long before it: of a clock that was put back the answers lie in a part of their own."""

SHARED: Final = pa.schema([field for field in PREDICTIONS if field.name != "features"])
"""The columns of every part."""


def as_predictions(part: pa.Table) -> pa.Table:
    """A part as ``PREDICTIONS``, its features as JSON text.

    Raises InputError where columns are missing.
    """
    fed = [name for name in part.column_names if name.startswith(FED)]
    missing = [name for name in SHARED.names if name not in part.column_names]
    if missing or not (fed or "features" in part.column_names):
        raise InputError(f"prediction log: no column {', '.join(missing) or 'features'}", mend="restore the part")
    if "features" in part.column_names:
        return part.select(PREDICTIONS.names).cast(PREDICTIONS)
    names = [name.removeprefix(FED) for name in fed]
    rows = zip(*(part[name].to_pylist() for name in fed), strict=True)
    texts = [features_json(dict(zip(names, row, strict=True))) for row in rows]
    return part.select(SHARED.names).append_column("features", pa.array(texts, pa.string())).cast(PREDICTIONS)


def features_json(features: Mapping[str, object]) -> str:
    """A JSON object without NaN: missing is null; floats keep every digit.

    >>> features_json({"age_s": 0.1, "cell": None, "speed": float("nan")})
    '{"age_s":0.1,"cell":null,"speed":null}'
    """
    clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in features.items()}
    return json.dumps(clean, separators=(",", ":"), allow_nan=False)


def parts(folder: Path) -> list[Path]:
    """The parts of a log, oldest day first; none where nothing was ever logged."""
    return sorted(file for file in folder.rglob("*.parquet") if not file.name.startswith("."))


def read_predictions(folder: Path, answer_ids: Sequence[str] | None = None) -> pa.Table:
    """``PREDICTIONS`` of a log, in the order written; of ``answer_ids`` alone where given.

    Raises InputError where a part is damaged or lacks columns.
    """
    tables = []
    for file in parts(folder):
        try:
            if answer_ids is None:
                tables.append(as_predictions(pq.ParquetFile(file).read()))
                continue
            ids = pq.ParquetFile(file).read(columns=["answer_id"])["answer_id"]
            mine = pc.is_in(ids, value_set=pa.array(answer_ids, pa.string()))
            if pc.any(mine).as_py():
                tables.append(as_predictions(pq.ParquetFile(file).read().filter(mine)))
        except FileNotFoundError:  # erased (`parked forget`) since it was listed
            continue
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{file}: unreadable ({error})", mend="remove or restore the part") from None
    return pa.concat_tables(tables) if tables else PREDICTIONS.empty_table()
