"""The point-in-time join beside a hand-written polars ``join_asof`` and Feast's own, on one core, in one run.

    python -m benchmarks.point_in_time [--questions 100000] [--rows 2000000] [--feast 2000]

Three views of ``--rows`` snapshots each, all declared features, in the Parquet files that ``parked features build``
writes; questions at random moments, a tenth of them about what was never heard of. What is timed is from the files
and the questions to all features of ``parking_v1``, the on-demand ones too: best of seven. Ours gives pandas, polars
its own frame. The answers of both are compared value by value. Seconds of the processor are what is left of a busy
machine's noise: either side is one thread. Feast's own join is timed on ``--feast`` questions.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.cores import hold_to_one
from benchmarks.stops.environments import Peer, python_of
from feature_repo.asked import ASKED, ASKED_INPUTS, ask
from feature_repo.declare import CANDIDATE, DEVICE, KEYS, PLACE, VIEWS, declared
from feature_repo.retrieve import feast_historical_features, historical_features
from feature_repo.services import PARKING_V1, SERVICES, service_features
from feature_repo.store import open_store
from ingestion.features.apply import apply_repo
from ingestion.features.snapshots import write_snapshots
from parked.schemas import ACTIVITIES, TIME
from parked.settings import Settings, load_settings

POLARS = Peer("polars", "polars==1.31.0", (("polars==1.31.0",),), 0, "join_asof by key, one thread")
RUNS = 7
START_US, SPAN_US = 1_767_225_600_000_000, 90 * 86_400_000_000
DEVICES = 10_000


def world(settings: Settings, rows: int, questions: int) -> pd.DataFrame:
    """Snapshots of ``rows`` a view at the home, and entities to ask about."""
    random = np.random.default_rng(7)
    apply_repo(settings)
    per_candidate, per_place = 4, 10
    of_candidate = np.repeat(np.arange(rows // per_candidate), per_candidate)
    of_place = np.repeat(np.arange(rows // per_place), per_place)
    of_device = np.repeat(np.arange(DEVICES), rows // DEVICES)
    keys = {
        CANDIDATE: {"candidate_id": of_candidate, "device_id": of_candidate % DEVICES, "cell": of_candidate % 9_973},
        DEVICE: {"device_id": of_device},
        PLACE: {"device_id": of_place % DEVICES, "cell": of_place},
    }
    write_snapshots(settings.features_dir, {view: _view(view, keys[view], random) for view in VIEWS})
    candidates = random.integers(0, int(rows // per_candidate * 1.1), questions)
    places = random.integers(0, int(rows // per_place * 1.1), questions)
    moments = START_US + random.integers(0, SPAN_US, questions)
    return pd.DataFrame(
        {
            "device_id": _names("device_id", places % DEVICES).to_pandas(),
            "candidate_id": _names("candidate_id", candidates).to_pandas(),
            "cell": _names("cell", places).to_pandas(),
            "event_timestamp": pd.to_datetime(moments, unit="us", utc=True).astype("datetime64[us, UTC]"),
            "asked_at_us": moments,
        }
    )


def _names(key: str, numbers: Any) -> pa.Array:
    return pa.array([f"{key[0]}{number:015x}" for number in np.asarray(numbers).tolist()], pa.string())


def _view(view: str, keys: dict[str, Any], random: np.random.Generator) -> pa.Table:
    count = len(next(iter(keys.values())))
    first = keys[KEYS[view][-1]]
    times = START_US + random.integers(0, SPAN_US, count)
    times = times[np.lexsort((times, first))]  # each key's in order
    columns: list[Any] = []
    for field in declared().schema(view):
        if field.name in keys:
            columns.append(_names(field.name, keys[field.name]))
        elif field.name == "available_at":
            columns.append(pa.array(times).cast(TIME))
        elif field.name == "facts_as_of_us":
            columns.append(pa.array(times))
        elif field.name == "built_by":
            columns.append(pa.array(["bench"] * count))
        elif pa.types.is_string(field.type):
            words = pa.array(ACTIVITIES)
            columns.append(words.take(pa.array(random.integers(0, len(words), count))))
        elif pa.types.is_boolean(field.type):
            columns.append(pa.array(random.random(count) < 0.5))
        elif field.name.endswith("_us"):
            columns.append(pa.array(times - random.integers(0, 86_400_000_000, count)))
        elif pa.types.is_integer(field.type):
            columns.append(pa.array(random.integers(0, 50, count), mask=random.random(count) < 0.2))
        else:
            values = np.round(random.normal(60, 40, count), 2)
            columns.append(pa.array(values, mask=random.random(count) < 0.2))
    return pa.table(columns, schema=declared().schema(view))


def by_polars(
    python: Path, settings: Settings, entities: pd.DataFrame, folder: Path
) -> tuple[tuple[float, float], Path]:
    """Seconds of polars, of the processor's, and its answer."""
    pq.write_table(pa.Table.from_pandas(entities, preserve_index=False), folder / "questions.parquet")
    wanted = SERVICES[PARKING_V1]
    views = [
        {
            "file": str(settings.features_dir / view / "snapshots.parquet"),
            "keys": list(KEYS[view]),
            "names": list(dict.fromkeys([*wanted[view], *ASKED_INPUTS.get(view, ())])),
        }
        for view in VIEWS
    ]
    job = {
        "questions": str(folder / "questions.parquet"),
        "views": views,
        "ask": inspect.getsource(ask),
        "inputs": ["asked_at_us", *(name for names in ASKED_INPUTS.values() for name in names)],
        "asked": list(wanted[ASKED]),
        "names": [name for view in VIEWS for name in wanted[view]],
        "rows": len(entities),
        "runs": RUNS,
        "out": str(folder / "answer.parquet"),
    }
    (folder / "job.json").write_text(json.dumps(job))
    script = Path(__file__).with_name("point_in_time_polars.py")
    environment = os.environ | {"POLARS_MAX_THREADS": "1"}
    command = [str(python), str(script), str(folder / "job.json")]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout.split()
    return (float(told[0]), float(told[1])), folder / "answer.parquet"


def best(run: Any) -> tuple[tuple[float, float], Any]:
    """(seconds, of the processor's) of the fastest of its runs, and what it gave."""
    spent = []
    for _ in range(RUNS):
        began, busy = time.perf_counter(), time.process_time()
        answer = run()
        spent.append((time.perf_counter() - began, time.process_time() - busy))
    return (min(took for took, _ in spent), min(busy for _, busy in spent)), answer


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--feast", type=int, default=2_000)
    options = parser.parse_args()
    hold_to_one()
    pa.set_io_thread_count(1)
    bench = load_settings().home / "bench"
    bench.mkdir(parents=True, exist_ok=True)
    python = python_of(POLARS, bench / "peers")
    folder = Path(tempfile.mkdtemp(dir=bench, prefix="join-"))
    try:
        _measure(Settings(home=folder / "home"), folder, python, options)
    finally:
        shutil.rmtree(folder)


def _measure(settings: Settings, folder: Path, python: Path | str, options: argparse.Namespace) -> None:
    entities = world(settings, options.rows, options.questions)
    store = open_store(settings)
    ours, found = best(lambda: historical_features(store, entities, PARKING_V1))
    lost = len(entities) - len(found)
    print(f"{len(entities):,} questions x {len(VIEWS)} views x {options.rows:,} snapshots; {lost} rows lost\n")
    theirs = None
    if isinstance(python, Path):
        theirs, answer = by_polars(python, settings, entities, folder)
        _compare(found, pd.read_parquet(answer))
    print("| join | questions | s | of polars | s of the processor | of polars |")
    print("|---|---|---|---|---|---|", flush=True)

    def row(what: str, questions: int, spent: tuple[float, float], ratios: bool = True) -> None:
        shares = (
            [f"{own / other:.2f}" for own, other in zip(spent, theirs, strict=True)] if theirs and ratios else ["", ""]
        )
        print(f"| {what} | {questions:,} | {spent[0]:.2f} | {shares[0]} | {spent[1]:.2f} | {shares[1]} |", flush=True)

    if theirs is None:
        print(f"| polars: {python} | | | | | |")
    else:
        row(f"{POLARS.package}, {POLARS.settings}", len(entities), theirs)
    row("ours", len(found), ours)
    if options.feast:
        few = entities.sample(options.feast, random_state=1)
        row("Feast's own (DuckDB)", len(few), best(lambda: feast_historical_features(store, few, PARKING_V1))[0], False)


def _compare(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    for name in service_features(PARKING_V1):
        left, right = ours[name].astype("object"), theirs[name].astype("object")
        both = left.isna().to_numpy() & right.isna().to_numpy()
        if not np.all(both | (left.where(~left.isna(), 0) == right.where(~right.isna(), 0)).to_numpy()):
            raise SystemExit(f"{name}: the two joins differ")
    known = ours["followed_by"].notna().mean()
    print(f"both gave the same values; {known:.0%} of the questions were about a candidate then known\n")


if __name__ == "__main__":
    main()
