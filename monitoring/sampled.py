"""A sample of the prediction log: a few answers, whole, and the same ones at every reading."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.compute as pc

from monitoring.windows import Window
from parked.errors import InputError, first_line
from parked.predictions import parts, read_predictions


@dataclass(frozen=True)
class Logged:
    """What one phone was answered with: all of its candidates in one answer."""

    answer_id: str
    device_id: str
    answered_us: int
    asked_us: int
    whole: bool
    """All that was known of the phone was weighed (``/where_parked``); else what was asked for (``/score``)."""
    fed: Mapping[str, Mapping[str, object]]
    """candidate_id → features the model was fed; None is missing."""

    @property
    def rows(self) -> int:
        """Candidates weighed."""
        return len(self.fed)


def sample_answers(folder: Path, window: Window | None, most: int, rules: str) -> list[Logged]:
    """At most ``most`` answers of one phone each, by hash, in order of ``answered_at``.

    ``window``: of ``answered_at``; None: all that was logged. ``rules``: of this version alone. Raises InputError where
    a part of the log is damaged.
    """
    if not parts(folder):
        return []
    start, end = window.bounds_us if window else (-(2**62), 2**62)
    with duckdb.connect() as connection:
        connection.execute("SET threads=2; SET TimeZone='UTC'")
        try:
            asked = {"parts": str(folder / "**" / "*.parquet"), "start": start, "end": end, "rules": rules}
            chosen = connection.execute(_CHOOSE, {**asked, "most": most}).fetchall()
        except (duckdb.BinderException, duckdb.InvalidInputException, duckdb.IOException) as error:
            raise InputError(
                f"{folder}: unreadable prediction log ({first_line(error)})", mend="remove or restore the part"
            ) from None
    wanted = set(chosen)
    rows = read_predictions(folder, [answer for answer, _ in chosen])
    found: dict[tuple[str, str], Logged] = {}
    for column in ("answered_at", "asked_at"):
        rows = rows.append_column(f"{column}_us", pc.cast(rows[column], "int64"))
    for row in rows.drop_columns(["answered_at", "asked_at"]).to_pylist():
        key = row["answer_id"], row["device_id"]
        if key not in wanted:
            continue
        logged = found.get(key)
        if logged is None:
            told = row["answered_at_us"], row["asked_at_us"], row["state"] != "score"
            logged = found[key] = Logged(*key, *told, {})
        assert isinstance(logged.fed, dict)
        logged.fed[row["candidate_id"]] = json.loads(row["features"])
    return sorted(found.values(), key=lambda logged: (logged.answered_us, logged.answer_id, logged.device_id))


_CHOOSE = """
    SELECT answer_id, device_id
    FROM (
        SELECT DISTINCT answer_id, device_id
        FROM read_parquet($parts, union_by_name=true, hive_partitioning=false)
        WHERE epoch_us(answered_at) >= $start AND epoch_us(answered_at) < $end AND rules_version = $rules
    )
    ORDER BY md5(answer_id || '/' || device_id), answer_id, device_id
    LIMIT $most
"""
