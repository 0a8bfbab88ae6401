"""The story itself: what is done, in which order, and the sentences that go with it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cli.console import note, table
from cli.demo.asking import Asked, Tally, tally
from cli.demo.stages import Stages, hours
from cli.demo.truth import TruthBook
from cli.demo.world import MATURITY, DemoWorld
from parked.errors import InternalError
from parked.settings import Settings

if TYPE_CHECKING:
    from bentos.launch import ServerHandle

SHOWN = 8
"""Phones shown by name."""
ROUNDS = (8.0, 11.0, 14.0, 18.0, 20.0, 22.0)
"""Hours of a day at which every phone is asked about."""


@dataclass
class Chapter:
    """One line of the final table."""

    what: str
    result: str
    seconds: float


@dataclass
class Story:
    """Runs the demo on ``settings.home`` and keeps what happened."""

    settings: Settings
    world: DemoWorld
    chapters: list[Chapter] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    _began: float = 0.0

    def tell(self) -> dict[str, Any]:
        """The whole story; returns its figures. The server it starts is stopped at the end."""
        from parked.opsdb.engine import open_database

        stages = Stages(self.settings, open_database(self.settings.database))
        self._learn(stages)
        note("\n5. Serve. The model is packaged as a bento and served by BentoML on loopback.")
        self._tick()
        bento, server = stages.serve()
        self._chapter("served", f"bento {bento}")
        try:
            first = self._first_answers(stages, server)
            self._world_changes(stages, server, first)
        finally:
            server.stop()
        self._end()
        return self.figures

    def _learn(self, stages: Stages) -> None:
        world = self.world
        home = world.cities[0]
        note(f"1. Simulate. {world.devices} phones in a made-up {home}, {world.days} days, seed {world.seed}.")
        self._tick()
        folders = stages.simulate(world.before())
        self._chapter("simulated", f"{world.devices} phones, {world.days} days")

        note(
            "\n2. Ingest. Raw records are kept for ever, copies are counted once, refused ones are kept with a reason."
        )
        self._tick()
        counts = stages.ingest(folders, world.change + MATURITY)
        self.figures["ingested"] = counts
        self._chapter("ingested", _said(counts))

        note("\n3. Facts and features. Stops and vehicle-left-here follow by rule; features are folds over them.")
        self._tick()
        self._refold(stages)

        note("\n4. Train. Features as they were known at each decision moment; held-out phones and later days judge.")
        self._tick()
        trained = stages.train(world.change + MATURITY)
        outcome = stages.publish(trained.tag, world.change + MATURITY, "the first model")
        if not outcome.published:
            raise InternalError(f"the first model was refused: {'; '.join(outcome.decision.reasons)}")
        metrics = trained.card.metrics
        self.figures["first_model"] = {"tag": trained.tag, "metrics": metrics}
        self._chapter("trained and published", f"{trained.tag}, {_quality(metrics)}")

    def _first_answers(self, stages: Stages, server: ServerHandle) -> Tally:
        note("\n6. Ask. POST /where_parked for every phone, through the last day; answers beside the truth.")
        self._tick()
        world = self.world
        book = TruthBook(pa.concat_tables(stages.truth))
        asked = stages.ask(server.url, hours(world.moment(world.days - 1, 0), *ROUNDS), book)
        count = tally(asked)
        self._show("where some phones parked", asked)
        self._chapter("asked", _answers(count))
        self.figures["before"] = _figures(count)

        note("\n7. Monitor. Evidently compares what was served with what the model was trained on.")
        self._tick()
        stages.wait_for_log(_rows(asked))
        quiet = stages.monitor((world.moment(world.days - 1, 0), world.change), world.change + MATURITY, refit=True)
        self.figures["quiet"] = {
            "action": quiet.action,
            "drifted": list(quiet.drifted),
            "report": str(quiet.report_html),
            "why": quiet.why,
        }
        self._chapter("monitored a quiet day", f"{quiet.action}: {quiet.why}")
        return count

    def _world_changes(self, stages: Stages, server: ServerHandle, first: Tally) -> None:
        world = self.world
        note(
            f"\n8. The world changes. A firmware makes the phones of {world.cities[0]} report other accuracies, half "
            f"as often; {max(1, world.devices // 2)} phones in {world.cities[1]} join. {world.changed_days} days pass."
        )
        self._tick()
        counts = stages.ingest(stages.simulate(world.after()), world.end + MATURITY)
        self._refold(stages, quietly=True)
        self.figures["ingested_after"] = counts
        self._chapter("the world changed", _said(counts))

        book = TruthBook(pa.concat_tables(stages.truth))
        moments = hours(world.moment(world.days + world.changed_days - 1, 0), *ROUNDS)
        note("\n9. Ask again. The old model answers in the changed world.")
        self._tick()
        logged = self._logged(stages)
        old = stages.ask(server.url, moments, book)
        self._chapter("asked the old model", _answers(tally(old)))

        note("\n10. Monitor, decide, refit, gate, publish. Nobody in the middle.")
        self._tick()
        stages.wait_for_log(logged + _rows(old))
        seen = stages.monitor((moments[0], world.end), world.end + MATURITY, refit=True)
        self.figures["changed"] = {
            "action": seen.action,
            "outcome": seen.outcome,
            "drifted": list(seen.drifted),
            "challenger": seen.challenger_tag,
            "report": str(seen.report_html),
            "why": seen.why,
        }
        self._chapter("drift seen", ", ".join(seen.drifted[:5]) or "none")
        self._chapter(f"refit: {seen.outcome}", seen.why)

        note("\n11. Ask the same running server once more.")
        self._tick()
        generation = self._generation_served(server, seen.outcome == "published")
        new = stages.ask(server.url, moments, book)
        self._show(f"the same server, now generation {generation}", new)
        self._chapter("asked the same server again", f"generation {generation}; {_answers(tally(new))}")
        self.figures |= {
            "changed_old_model": _figures(tally(old)),
            "changed_new_model": _figures(tally(new)),
            "generation": generation,
            "first": _figures(first),
        }

    def _refold(self, stages: Stages, *, quietly: bool = False) -> None:
        facts = stages.facts()
        rows = stages.features(facts)
        self.figures["facts"] = facts.num_rows
        if not quietly:
            self._chapter("facts and features", f"{facts.num_rows:,} revisions, {sum(rows.values()):,} snapshots")

    def _generation_served(self, server: ServerHandle, published: bool) -> int:
        import httpx

        deadline = time.monotonic() + 15
        while True:
            generation = int(httpx.get(f"{server.url}/model", timeout=5).json()["model"]["generation"])
            if generation >= 2 or not published:
                return generation
            if time.monotonic() > deadline:
                raise InternalError("the server does not serve the new model after 15 s")
            time.sleep(0.1)

    def _logged(self, stages: Stages) -> int:
        import pyarrow.parquet as pq

        return sum(pq.read_metadata(p).num_rows for p in stages.settings.predictions_dir.rglob("*.parquet"))

    def _show(self, title: str, asked: Sequence[Asked]) -> None:
        newest = {a.device: a for a in asked}
        interesting = sorted(newest.values(), key=lambda a: (a.truth is None, a.device))
        rows = []
        for a in [*interesting[: SHOWN - 2], *interesting[-2:]]:
            probability = a.answer["probability"]
            rows.append(
                (
                    a.device,
                    a.answer["state"],
                    "" if probability is None else f"{probability:.2f}",
                    "parked" if a.truth else "not parked",
                    "" if a.error_m is None else f"{a.error_m:.0f} m",
                    a.verdict,
                )
            )
        table(title, ("phone", "answer", "probability", "truth", "pin to vehicle", "verdict"), rows)

    def _tick(self) -> None:
        self._began = time.monotonic()

    def _chapter(self, what: str, result: str) -> None:
        now = time.monotonic()
        self.chapters.append(Chapter(what, result, now - self._began))
        note(f"   {what}: {result}")
        self._began = now

    def _end(self) -> None:
        table("what happened", ("step", "result", "s"), [(c.what, c.result, f"{c.seconds:.0f}") for c in self.chapters])
        before, old, new = (self.figures[k] for k in ("before", "changed_old_model", "changed_new_model"))
        columns = ("simulated phones only", "asked", "vehicles found", "pins right", "pin error, median")
        table(
            "measured quality (simulated phones; a pin is right within 100 m; real drives: see README)",
            columns,
            [
                ("quiet world, first model", *_row(before)),
                ("changed world, first model", *_row(old)),
                (f"changed world, generation {self.figures['generation']}", *_row(new)),
            ],
        )
        note("Open these:")
        for what, key in (("drift report, quiet day", "quiet"), ("drift report, changed world", "changed")):
            note(f"  {what}: {self.figures[key]['report']}")
        note(f"  evaluations and gate: {self.settings.reports_dir}")
        self.figures["chapters"] = [vars(c) for c in self.chapters]


def _said(counts: dict[str, int]) -> str:
    return ", ".join(f"{value:,} {name}" for name, value in counts.items())


def _rows(asked: Sequence[Asked]) -> int:
    """Prediction rows the answers leave: one per candidate, which is the spot or a runner-up."""
    return sum(len(a.answer["runner_up"]) + (a.answer["spot"] is not None) for a in asked)


def _quality(metrics: dict[str, float]) -> str:
    """The held-out figures of a card, in words."""
    shown = [
        f"{name.replace('_', ' ').replace('/', ' ')} {metrics[name]:.3f}" for name in sorted(metrics) if "auc" in name
    ]
    return ", ".join(shown[:2]) or "see the evaluation report"


def _answers(count: Tally) -> str:
    error = "" if count.median_error_m is None else f", pin error {count.median_error_m:.0f} m at the median"
    found = f"{count.found:.0%} of parked vehicles found, {count.pins_right:.0%} of pins right"
    return f"{count.asked:,} questions: {found}{error}"


def _figures(count: Tally) -> dict[str, Any]:
    return {
        "asked": count.asked,
        **count.counts,
        "found": round(count.found, 4),
        "pins_right": round(count.pins_right, 4),
        "median_error_m": None if count.median_error_m is None else round(count.median_error_m, 1),
    }


def _row(figures: dict[str, Any]) -> tuple[str, ...]:
    error = figures["median_error_m"]
    return (
        f"{figures['asked']:,}",
        f"{figures['found']:.0%}",
        f"{figures['pins_right']:.0%}",
        "" if error is None else f"{error:.0f} m",
    )
