"""``parked facts``: from raw records to fact revisions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import JsonOption, emit, note, progress

app = typer.Typer(name="facts", help="Stops, halts and where the vehicle was left: facts by versioned rules.")

RulesOption = Annotated[Path | None, typer.Option("--rules", help="Rules file.  [default: the packaged version]")]


@app.command()
def build(
    fixes: Annotated[Path | None, typer.Argument(help="FIXES.parquet.  [default: everything ingested]")] = None,
    motion: Annotated[Path | None, typer.Option(help="MOTION.parquet: the phones' own motion activity.")] = None,
    out: Annotated[Path | None, typer.Option(help="FACTS.parquet to write; needed with FIXES.")] = None,
    rules: RulesOption = None,
    as_if_live: Annotated[
        float, typer.Option(min=0, max=31_622_400, help="Stated lag in seconds where received_at is null.")
    ] = 0.0,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Threads.  [default: one a core]")] = None,
    json: JsonOption = False,
) -> None:
    """Build fact revisions from a file of fixes, or from everything ingested.

    FIXES needs device_id, event_time (UTC), lat, lon; accuracy_m, speed_mps and received_at may be null. Rows may come
    in any order. FACTS has one row per fact revision.

    Example: parked facts build fixes.parquet --motion motion.parquet --out facts.parquet
    """
    from ingestion.facts.files import Built, build_file
    from ingestion.facts.kernel import is_compiled
    from ingestion.facts.rules import load_rules
    from parked.errors import InputError
    from parked.schemas import KINDS

    loaded = load_rules(rules)
    if (fixes is None) != (out is None):
        missing, given = ("FIXES", "--out") if fixes is None else ("--out", "FIXES")
        raise InputError(f"{given} without {missing}", mend="give both, or neither to build everything ingested")
    if not is_compiled():
        note("compiling the stop engine for this machine, once: about half a minute")
    if fixes is not None and out is not None:
        if as_if_live != as_if_live:  # NaN passes typer's bounds
            raise InputError("--as-if-live nan", mend="give seconds")
        with progress("building facts") as advance:
            built = build_file(fixes, motion, out, loaded, lag_s=as_if_live, workers=workers, progress=advance)
        target = out
    else:
        from ingestion.facts.store import facts_file, rebuild
        from ingestion.raw.log import RawLog
        from parked.opsdb.engine import open_database
        from parked.settings import load_settings

        if motion is not None:
            raise InputError("--motion without FIXES", mend="ingest the motion records instead")
        settings = load_settings()
        with progress("building facts") as advance:
            raw = RawLog(settings, open_database(settings.database))
            built = Built().count(rebuild(settings, raw, loaded, progress=advance))
        target = facts_file(settings, loaded.version)
    emit(
        {
            "facts": str(target),
            "rules": loaded.version,
            "devices": built.devices,
            "revisions": built.revisions,
            **{kind: built.kinds[kind] for kind in KINDS},
            "refused": built.refused,
        },
        json=json,
    )


@app.command("compile")
def compile_engine() -> None:
    """Compile the stop engine for this machine now (once, about half a minute), so that nothing waits for it later.

    Example: parked facts compile
    """
    import numpy as np

    from ingestion.facts.build import build_facts
    from ingestion.facts.kernel.types import RECORD
    from ingestion.facts.rules import load_rules
    from ingestion.facts.stream import StopStream
    from parked.schemas import FIXES

    with progress("compiling the stop engine"):
        build_facts(FIXES.empty_table(), None, load_rules())
        StopStream(load_rules()).feed(np.zeros(0, RECORD))


@app.command()
def show(
    device: Annotated[str, typer.Option(help="Device to show.")],
    facts: Annotated[Path | None, typer.Option(help="FACTS.parquet.  [default: the stored facts]")] = None,
    kind: Annotated[str | None, typer.Option(help="stop, halt or vehicle_left.")] = None,
    rules: RulesOption = None,
    json: JsonOption = False,
) -> None:
    """Show what stands of a device: each fact's last revision.

    Example: parked facts show --device phone-1 --kind vehicle_left
    """
    import pyarrow.compute as pc

    from cli.console import table as print_table
    from ingestion.facts.build import read_table
    from ingestion.facts.rules import load_rules
    from ingestion.facts.store import read_facts
    from parked.errors import NotFoundError
    from parked.settings import load_settings

    log = read_table(facts, "facts") if facts else read_facts(load_settings(), load_rules(rules).version)
    log = log.filter(pc.equal(log["device_id"], device))
    if log.num_rows == 0:
        raise NotFoundError(f"no facts of device {device!r}", mend="see parked facts build, or check the id")
    last = {row["fact_id"]: row for row in log.sort_by("revision").to_pylist()}
    rows = [
        {
            **row,
            "started_at": row["started_at"].isoformat(),
            "ended_at": row["ended_at"] and row["ended_at"].isoformat(),
        }
        for row in sorted(last.values(), key=lambda r: (r["started_at"], r["kind"]))
        if row["status"] != "RETRACTED" and kind in (None, row["kind"])
    ]
    if json:
        emit({"device": device, "facts": rows}, json=True)
        return
    columns = ("kind", "started_at", "ended_at", "lat", "lon", "uncertainty_m", "status", "followed_by", "reasons")
    print_table(
        f"facts of {device}", columns, [[row[c] if row[c] is not None else "" for c in columns] for row in rows]
    )
