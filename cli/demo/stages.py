"""The demo's stages: each calls what the single commands call, on the demo's own home."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cli.console import progress, tell_of_compiling
from parked.clock import fixed_clock
from parked.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from bentos.launch import ServerHandle
    from cli.demo.asking import Asked
    from cli.demo.truth import TruthBook
    from ingestion.simulator import Scenario
    from monitoring.loop import MonitorOutcome
    from training.challenge import PublishOutcome
    from training.pipeline import TrainedModel


@dataclass
class Stages:
    """State carried from stage to stage: the home, the database, what was simulated."""

    settings: Settings
    engine: Engine
    truth: list[pa.Table] = field(default_factory=list)
    snapshots: dict[str, pa.Table] = field(default_factory=dict)

    def simulate(self, scenarios: Sequence[Scenario]) -> list[Path]:
        """Write the scenarios' files; the folders."""
        from ingestion.simulator import simulate_devices, write_devices

        folders = []
        with progress("simulating phones") as advance:
            advance(0, total=sum(s.devices for s in scenarios))
            for scenario in scenarios:
                folder = self.settings.home / "sim" / f"{scenario.start}-{scenario.city}-{scenario.firmware}"

                def counted(scenario: Scenario = scenario) -> object:
                    for device in simulate_devices(scenario):
                        yield device
                        advance(1)

                write_devices(scenario, counted(), folder)  # type: ignore[arg-type]
                folders.append(folder)
                self.truth.append(pq.read_table(folder / "truth.parquet"))
        return folders

    def ingest(self, folders: Sequence[Path], now: datetime) -> dict[str, int]:
        """Raw records into the raw log, labels into the operations database; counts."""
        from ingestion.raw.ingest import ingest_paths
        from parked.opsdb.labels import add_coverage, add_labels

        files = [folder / f"{kind}.parquet" for folder in folders for kind in ("fixes", "motion")]
        with progress("ingesting updates") as advance:
            advance(0, total=len(files))
            report = ingest_paths(
                files,
                settings=self.settings,
                engine=self.engine,
                clock=fixed_clock(now),
                progress=lambda done, _all: advance(1 if done else 0),
            )
        labels = 0
        for folder in folders:
            labels += add_labels(self.engine, pq.read_table(folder / "labels.parquet")).added
            add_coverage(self.engine, pq.read_table(folder / "coverage.parquet"))
        total = report.total
        return {
            "read": total.read,
            "accepted": total.accepted,
            "duplicates": total.duplicates,
            "quarantined": total.quarantined,
            "labels": labels,
        }

    def facts(self) -> pa.Table:
        """Everything in raw -> fact revisions."""
        from ingestion.facts.rebuild import rebuild
        from ingestion.facts.store import read_facts, rules_named
        from ingestion.raw.log import RawLog

        tell_of_compiling()
        with progress("building facts") as advance:
            raw, rules = RawLog(self.settings, self.engine), rules_named(self.settings)
            rebuild(self.settings, raw, rules, progress=advance)
        return read_facts(self.settings, rules.version)

    def features(self, facts: pa.Table) -> dict[str, int]:
        """Fact revisions -> snapshots in the offline store; rows by view. The online store is loaded by ``live``."""
        from ingestion.features.apply import apply_repo
        from ingestion.features.fold import fold_facts
        from ingestion.features.snapshots import write_snapshots

        with progress("folding features") as advance:
            advance(0, total=facts.num_rows)
            self.snapshots = fold_facts(facts, progress=lambda n: advance(n))
        write_snapshots(self.settings.features_dir, self.snapshots)
        apply_repo(self.settings)
        return {view: table.num_rows for view, table in self.snapshots.items()}

    def live(self, moment: datetime) -> None:
        """Bring the online store to what was known at ``moment``."""
        from feature_repo.store import open_store
        from ingestion.features.online import load_online

        known = {v: t.filter(pc.less_equal(t["available_at"], moment)) for v, t in self.snapshots.items()}
        load_online(open_store(self.settings), known, replace=True)  # the demo also goes back in time

    def train(self, now: datetime) -> TrainedModel:
        """A candidate from what was known at ``now``."""
        from training.pipeline import train_candidate

        with progress("training CatBoost on point-in-time features") as advance:
            return train_candidate(self.settings, self.engine, fixed_clock(now), advance, who="demo")

    def publish(self, tag: str, now: datetime, why: str) -> PublishOutcome:
        """Let the gate decide, and publish."""
        from training.challenge import decide_and_publish

        return decide_and_publish(self.settings, self.engine, fixed_clock(now), tag, "demo", why)

    def serve(self) -> tuple[str, ServerHandle]:
        """Build a bento of the code and the model, and serve it on a free loopback port; its tag and the server."""
        from bentos.build import build_bento
        from bentos.launch import start_server

        with progress("packaging and starting the server") as advance:
            advance(0, total=2)
            tag = build_bento(self.settings)
            advance(1)
            server = start_server(self.settings, port=0, bento=tag)
            try:
                server.wait_ready(90)
            except BaseException:
                server.stop()
                raise
            advance(1)
        return tag, server

    def ask(self, url: str, moments: Sequence[datetime], book: TruthBook) -> list[Asked]:
        """Ask where every phone seen by then parked, at each moment in turn (the online store brought there first)."""
        from cli.demo.asking import ask_all

        asked: list[Asked] = []
        with progress("asking the server") as advance:
            for moment in moments:
                self.live(moment)
                states = self.snapshots["device_state"]
                seen = pc.unique(states.filter(pc.less_equal(states["available_at"], moment))["device_id"]).to_pylist()
                advance(0, total=len(seen) * len(moments))
                asked += ask_all(url, sorted(seen), moment, book, lambda n: advance(n))
        return asked

    def monitor(self, window: tuple[datetime, datetime], now: datetime, *, refit: bool) -> MonitorOutcome:
        """Look at what was served in the window; refit, gate and publish where the policy says so."""
        from monitoring.loop import run_monitor
        from monitoring.refit import training_refit

        clock = fixed_clock(now)
        port = training_refit(self.settings, self.engine, clock) if refit else None
        with progress("looking at what was served (Evidently)") as advance:
            return run_monitor(
                self.settings,
                self.engine,
                clock,
                window_from=window[0],
                window_to=window[1],
                refit=port,
                progress=advance,
            )

    def wait_for_log(self, rows: int, timeout_s: float = 20.0) -> None:
        """Wait until the server has written at least ``rows`` prediction rows (it writes in batches)."""
        import time

        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            parts = list(self.settings.predictions_dir.rglob("*.parquet"))
            if sum(pq.read_metadata(p).num_rows for p in parts) >= rows:
                return
            time.sleep(0.1)


def hours(moment: datetime, *steps: float) -> list[datetime]:
    """Moments so many hours after ``moment``."""
    return [moment + timedelta(hours=step) for step in steps]
