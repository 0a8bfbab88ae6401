"""``parked simulate``: a ground-truth world of phones, written as Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import JsonOption, emit, progress

if TYPE_CHECKING:
    from ingestion.simulator import Simulation


def simulate(
    out: Annotated[Path | None, typer.Option(help="Folder to write to.  [default: sim in PARKED_HOME]")] = None,
    devices: Annotated[int, typer.Option(help="Number of phones.")] = 150,
    days: Annotated[int, typer.Option(help="Number of days.")] = 21,
    seed: Annotated[int, typer.Option(help="The same seed gives the same world.")] = 7,
    city: Annotated[
        str, typer.Option(help="lisbon, berlin, san_jose, auckland, taveuni, tokyo, sao_paulo, cape_town.")
    ] = "lisbon",
    firmware: Annotated[str, typer.Option(help="How phones sample and report: stock, coarse, sleepy.")] = "stock",
    noise: Annotated[
        str,
        typer.Option(help="realistic, exact, clean, gaps, jumps, drift, sleep, duplicates, late, shuffled, all."),
    ] = "realistic",
    start: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="First local day.")] = datetime(2026, 1, 5),  # noqa: DTZ001
    first_device: Annotated[
        int, typer.Option(help="Index of the first phone: make a world in parts, or extend it.")
    ] = 0,
    json: JsonOption = False,
) -> None:
    """Simulate phones whose truth is known: fixes, motion, labels, coverage and every true episode.

    Writes fixes.parquet, motion.parquet, labels.parquet, coverage.parquet, truth.parquet and scenario.json.

    Example: parked simulate --out var/sim --devices 150 --days 21 --seed 7 --city lisbon
    """
    from ingestion.simulator import Scenario, simulate_devices, write_devices
    from ingestion.simulator.scenario import noise_named
    from parked.settings import load_settings

    scenario = Scenario(
        devices=devices,
        days=days,
        seed=seed,
        city=city,
        firmware=firmware,
        noise=noise_named(noise),
        start=start.date(),
        first_device=first_device,
    )
    folder = out if out is not None else load_settings().home / "sim"
    with progress(f"simulating {devices} phones over {days} days") as advance:
        advance(0, total=devices)

        def each() -> Iterator[Simulation]:
            for device in simulate_devices(scenario):
                yield device
                advance(1)

        rows = write_devices(scenario, each(), folder)
    emit({"out": str(folder), "devices": devices, "days": days, **rows}, json=json)
