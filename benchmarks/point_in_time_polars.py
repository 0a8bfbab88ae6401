"""The hand-written peer of ``benchmarks.point_in_time``: three ``join_asof`` in polars, run in polars' own environment.

    python point_in_time_polars.py JOB.json     prints seconds of the best of its runs, and of the processor's

A hand as good as we could: only the columns wanted are read, the rows are not sorted anew (each key's are in order of
time already), and the on-demand features are made by the same Python function over the same columns.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import polars as pl


def joined(job: dict) -> pl.DataFrame:
    questions = pl.read_parquet(job["questions"]).with_row_index("row").sort("event_timestamp")
    for view in job["views"]:
        rows = pl.read_parquet(view["file"], columns=[*view["keys"], "available_at", *view["names"]])
        questions = questions.join_asof(
            rows,
            left_on="event_timestamp",
            right_on="available_at",
            by=view["keys"],
            strategy="backward",
            check_sortedness=False,
        )
    questions = questions.sort("row")
    made: dict = {}
    exec(job["ask"], made)
    told = made["ask"]({name: questions[name].to_list() for name in job["inputs"]})
    return questions.select(job["names"]).with_columns(**{name: pl.Series(told[name]) for name in job["asked"]})


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    spent = []
    for _ in range(job["runs"]):
        began, busy = time.perf_counter(), time.process_time()
        answer = joined(job)
        spent.append((time.perf_counter() - began, time.process_time() - busy))
    assert answer.height == job["rows"], answer.height
    answer.write_parquet(job["out"])
    print(min(took for took, _ in spent), min(busy for _, busy in spent), pl.__version__)


if __name__ == "__main__":
    main()
