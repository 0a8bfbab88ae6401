"""Filling and reading the online store: ours beside Feast's own SQLite and Redis stores, in one run on one core.

    python -m benchmarks.online_store [--phones 50000] [--few 300]

The rows are the serving benchmark's: a phone's, its three candidates' and their places', of all declared features.
Loading is from the snapshot files to the last row committed: ours by the loader (``ingestion.features.online``),
Feast's SQLite by ``FeatureStore.materialize``. Feast's stores get ``--few`` phones, ours ``--phones``. Reading is
``FeatureStore.get_online_features(...).to_dict()``: one phone (31 features), and its three candidates (58 features).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from feast.infra.online_stores.online_store import OnlineStore

from benchmarks.cores import hold_to_one
from benchmarks.serving_world import NOW, candidate_name, cell_name, phone, snapshot_rows
from feature_repo.declare import VIEWS
from feature_repo.services import PARKING_V1, WHERE_PARKED_V1
from feature_repo.store import open_store, service
from ingestion.features.apply import apply_repo
from ingestion.features.online import load_online, load_rows, online_rows
from ingestion.features.snapshots import read_snapshots, write_snapshots
from parked.clock import to_us
from parked.settings import OnlineStoreKind, Settings, load_settings
from tests.redis_server import redis_server


def home_of(folder: Path, kind: OnlineStoreKind, phones: int, redis: str = "127.0.0.1:1") -> Settings:
    """A home with the snapshots of ``phones`` phones, its online store of ``kind`` still empty."""
    settings = Settings(home=folder / kind, online_store=kind, redis_connection=redis)
    apply_repo(settings)
    random = np.random.default_rng(7)
    write_snapshots(settings.features_dir, {view: snapshot_rows(view, range(phones), random) for view in VIEWS})
    return settings


def by_loader(settings: Settings) -> int:
    """Snapshot files into the online store as `parked features build` does; rows written."""
    loaded = load_online(open_store(settings), read_snapshots(settings.features_dir))
    return sum(one.written for one in loaded.values())


def chosen_rows(settings: Settings) -> Callable[[], int]:
    """The loader's last step alone: rows in memory, one a key, into the store."""
    rows = online_rows(read_snapshots(settings.features_dir))
    return lambda: sum(one.written for one in load_rows(open_store(settings), rows).values())


def by_materialize(settings: Settings) -> int:
    """The same in Feast's own way."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        open_store(settings).materialize(NOW - timedelta(days=1), NOW + timedelta(days=1))
    return sum(table.num_rows for table in read_snapshots(settings.features_dir).values())


def timed(run: Callable[[], int]) -> float:
    """Rows a second."""
    began = time.perf_counter()
    rows = run()
    return rows / (time.perf_counter() - began)


def percentiles(run: Callable[[], Any], times: int) -> str:
    """p50 and p99 of a call, microseconds."""
    spent = []
    for _ in range(times):
        began = time.perf_counter_ns()
        run()
        spent.append((time.perf_counter_ns() - began) / 1e3)
    return f"{np.percentile(spent, 50):,.0f} | {np.percentile(spent, 99):,.0f}"


def reads(settings: Settings, phones: int, times: int, own: bool = False) -> str:
    """p50 and p99 of one phone's state and of three candidates' features. ``own``: Feast's way over our store."""
    store = open_store(settings)
    random = np.random.default_rng(1)

    def ask(name: str, rows: list[dict[str, Any]]) -> Any:
        asked = (service(store, name), rows)
        if own:
            online = store._get_provider().online_store
            answer = OnlineStore.get_online_features(online, store.config, *asked, store.registry, store.project)
        else:
            answer = store.get_online_features(*asked)
        return answer.to_dict()

    def keys(number: int) -> list[dict[str, Any]]:
        at = {"device_id": phone(number), "asked_at_us": to_us(NOW)}
        return [at | {"candidate_id": candidate_name(number, r), "cell": cell_name(number, r)} for r in (1, 2, 3)]

    def any_phone() -> int:
        return int(random.integers(phones))

    for _ in range(5):
        ask(PARKING_V1, keys(0))
    one = percentiles(lambda: ask(WHERE_PARKED_V1, [{"device_id": phone(any_phone())}]), times)
    three = percentiles(lambda: ask(PARKING_V1, keys(any_phone())), times)
    return f"{one} | {three}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phones", type=int, default=50_000)
    parser.add_argument("--few", type=int, default=300)
    options = parser.parse_args()
    hold_to_one()
    bench = load_settings().home / "bench"
    bench.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=bench, prefix="online-"))
    try:
        _measure(folder, options.phones, options.few)
    finally:
        shutil.rmtree(folder)


def _measure(folder: Path, phones: int, few: int) -> None:
    by_loader(home_of(folder / "warm", "lmdb", 10))  # the compiled loops are compiled here, once a machine
    print("| store | rows | loaded rows/s | of Feast's SQLite | one phone p50 us | p99 | 3 candidates p50 us | p99 |")
    print("|" + "---|" * 8)
    sqlite = home_of(folder, "sqlite", few)
    base = timed(lambda: by_materialize(sqlite))

    def row(what: str, rows: int, rate: float | None, told: str) -> None:
        loaded = "" if rate is None else f"{rate:,.0f}"
        ratio = "" if rate is None else f"{rate / base:,.1f}"
        print(f"| {what} | {rows:,} | {loaded} | {ratio} | {told} |", flush=True)

    row("SQLite, Feast's materialize", 7 * few, base, reads(sqlite, few, 200))
    with redis_server(folder) as address:
        redis = home_of(folder, "redis", few, address)
        rate = timed(lambda: by_loader(redis))
        row("Redis, our loader", 7 * few, rate, reads(redis, few, 200))
    lmdb = home_of(folder, "lmdb", phones)
    rate = timed(lambda: by_loader(lmdb))
    row("LMDB, our loader", 7 * phones, rate, reads(lmdb, phones, 2_000))
    row("LMDB, read in Feast's own way", 7 * phones, None, reads(lmdb, phones, 200, own=True))
    again = timed(lambda: by_loader(lmdb))
    row("LMDB, the same loaded again, each compared", 7 * phones, again, "| | |")
    empty = home_of(folder / "empty", "lmdb", phones)
    row("LMDB, the last step alone: rows read and chosen before", 7 * phones, timed(chosen_rows(empty)), "| | |")


if __name__ == "__main__":
    main()
