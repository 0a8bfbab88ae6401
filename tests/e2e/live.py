"""A live run in small: phones report in order of arrival, some hours late; facts go on, features are loaded, a real
server answers in between."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bentos.launch import ServerHandle, start_server
from ingestion.facts.rebuild import rebuild
from ingestion.facts.rules import load_rules
from ingestion.facts.store import read_facts
from ingestion.facts.update import Updated, update
from ingestion.features.build import build_features
from ingestion.raw.ingest import ingest_paths
from ingestion.raw.log import RawLog
from ingestion.simulator import NoiseProfile, Scenario, simulate_devices
from parked.clock import fixed_clock
from parked.opsdb.engine import open_database
from parked.settings import Settings
from tests.bentos.fakes import publish, settings_in
from tests.bentos.world import train_real

LATE = replace(NoiseProfile(), outages_per_week=10.0, out_of_order_rate=0.01)
WORLD = Scenario(devices=8, days=2, seed=5, noise=LATE)
FIRST = datetime(2026, 1, 5, 12, tzinfo=UTC)
STEPS = [FIRST + timedelta(hours=7.5 * step) for step in range(1, 4)]
"""Moments at which what has arrived is taken in."""
LAST = STEPS[-1] + timedelta(hours=7.5)
LEAK = LAST - timedelta(hours=3)
"""The server's clock when the store already holds what became known by LAST."""


@dataclass
class Live:
    """The home of a run, and what happened in it."""

    settings: Settings
    devices: Sequence[str]
    updates: list[Updated] = field(default_factory=list)
    latest_s: float = 0.0
    """How late the latest record arrived, of those taken in by a step."""
    answers: list[str] = field(default_factory=list)
    while_loading: list[str] = field(default_factory=list)
    before_loading: list[str] = field(default_factory=list)
    """Answers given when facts had gone on and the online store had not."""
    leaked: list[str] = field(default_factory=list)
    """Answers given, by the server's clock, before what they rest on was known."""


class Phones:
    """What the phones send, by arrival."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        phones = list(simulate_devices(WORLD))
        self.tables = {kind: pa.concat_tables([getattr(p, kind) for p in phones]) for kind in ("fixes", "motion")}

    def arrived(self, after: datetime | None, upto: datetime) -> list[Path]:
        """Files of what arrived in (after, upto]."""
        files = []
        for kind, table in self.tables.items():
            mine = table.filter(pc.less_equal(table["received_at"], upto))
            if after is not None:
                mine = mine.filter(pc.greater(mine["received_at"], after))
            files.append(self._folder / f"{kind}-{upto:%d-%H%M}.parquet")
            pq.write_table(mine, files[-1])
        return files


def run(home: Path) -> Live:
    settings = settings_in(home, pointer_poll_s=0.1)
    phones = Phones(home)
    engine, rules = open_database(settings.database), load_rules(None)
    raw = RawLog(settings, engine)
    live = Live(settings, sorted(pc.unique(phones.tables["fixes"]["device_id"]).to_pylist()))
    ingest_paths(phones.arrived(None, FIRST), settings=settings, engine=engine, clock=fixed_clock(FIRST))
    rebuild(settings, raw, rules)
    build_features(settings, read_facts(settings, rules.version))
    publish(settings, train_real(settings, phones.tables["fixes"]), 1)
    set_clock(home, FIRST)
    with start_server(settings, port=0, service="tests.e2e.clocked_server:WhereYouParked") as server:
        server.wait_ready(60)
        live.answers += ask(live, server, FIRST)
        before = FIRST
        for step in STEPS:
            files = phones.arrived(before, step)
            live.latest_s = max(live.latest_s, *map(lateness_s, files))
            ingest_paths(files, settings=settings, engine=engine, clock=fixed_clock(step))
            live.updates.append(update(settings, raw, rules))
            live.before_loading += ask(live, server, step)
            with asking_on(live, server) if step == STEPS[1] else nullcontext():
                build_features(settings, read_facts(settings, rules.version))
            live.answers += ask(live, server, step + timedelta(microseconds=1))
            live.answers += ask(live, server, step + timedelta(microseconds=2), about=step - timedelta(hours=3))
            before = step
        ingest_paths(phones.arrived(before, LAST), settings=settings, engine=engine, clock=fixed_clock(LAST))
        live.updates.append(update(settings, raw, rules))
        build_features(settings, read_facts(settings, rules.version))
        live.leaked += ask(live, server, LEAK)
    engine.dispose()
    return live


@contextmanager
def asking_on(live: Live, server: ServerHandle) -> Iterator[None]:
    """Ask again and again, at the moment at which the server's clock stands, while the block runs."""
    on = threading.Event()
    on.set()

    def ask_on() -> None:
        while on.is_set():
            live.while_loading.extend(ask_now(live, server))

    asking = threading.Thread(target=ask_on)
    asking.start()
    try:
        yield
    finally:
        on.clear()
        asking.join()


def set_clock(home: Path, moment: datetime) -> None:
    (home / "now.tmp").write_text(moment.isoformat(), encoding="utf-8")
    os.replace(home / "now.tmp", home / "now")


def ask(live: Live, server: ServerHandle, moment: datetime, about: datetime | None = None) -> list[str]:
    """Every phone, alone and in a batch; the ids of the answers."""
    set_clock(live.settings.home, moment)
    return ask_now(live, server, {} if about is None else {"asked_at": about.isoformat()})


def ask_now(live: Live, server: ServerHandle, asked_at: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    ids = []
    with httpx.Client(base_url=server.url, timeout=10) as client:
        for device in live.devices:
            reply = client.post("/where_parked", json={"device_id": device, **asked_at})
            assert reply.status_code == 200, reply.text
            ids.append(reply.json()["answer_id"])
        items = [{"device_id": device, **asked_at} for device in live.devices]
        reply = client.post("/score", json={"items": items})
        assert reply.status_code == 200, reply.text
        ids.append(reply.json()["answer_id"])
    return ids


def lateness_s(file: Path) -> float:
    table = pq.read_table(file, columns=["event_time", "received_at"])
    lag = pc.subtract(table["received_at"].cast(pa.int64()), table["event_time"].cast(pa.int64()))
    return float((pc.max(lag).as_py() or 0) / 1e6)
