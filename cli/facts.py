"""``parked facts``: from raw records to fact revisions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import JsonOption, emit, progress, tell_of_compiling
from cli.facts_diff import diff
from cli.facts_stored import replay, show, update
from cli.inputs import RulesOption, settings_of

app = typer.Typer(name="facts", help="Stops, halts and where the vehicle was left: facts by versioned rules.")
app.command()(update)
app.command()(show)
app.command()(replay)
app.command()(diff)


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
    from ingestion.facts.files import build_file
    from ingestion.facts.store import rules_named
    from parked.errors import InputError
    from parked.schemas import KINDS

    settings = settings_of(rules)
    loaded = rules_named(settings, rules)
    if (fixes is None) != (out is None):
        missing, given = ("FIXES", "--out") if fixes is None else ("--out", "FIXES")
        raise InputError(f"{given} without {missing}", mend="give both, or neither to build everything ingested")
    tell_of_compiling()
    if fixes is not None and out is not None:
        if as_if_live != as_if_live:  # NaN passes typer's bounds
            raise InputError("--as-if-live nan", mend="give seconds")
        with progress("building facts") as advance:
            built = build_file(fixes, motion, out, loaded, lag_s=as_if_live, workers=workers, progress=advance)
        target = out
    else:
        from ingestion.facts.rebuild import rebuild
        from ingestion.facts.store import facts_file
        from ingestion.raw.log import RawLog
        from parked.opsdb.engine import open_database

        if motion is not None:
            raise InputError("--motion without FIXES", mend="ingest the motion records instead")
        with progress("building facts") as advance:
            raw = RawLog(settings, open_database(settings.database))
            built = rebuild(settings, raw, loaded, workers=workers, progress=advance)
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
def compile_engine(json: JsonOption = False) -> None:
    """Compile the stop engine for this machine now (once, a minute or two), so that nothing waits for it later.

    Example: parked facts compile
    """
    import numpy as np

    from ingestion.facts.build import build_facts
    from ingestion.facts.kernel import is_compiled
    from ingestion.facts.kernel.types import RECORD
    from ingestion.facts.rules import load_rules
    from ingestion.facts.stream import StopStream
    from parked.schemas import FIXES

    before = is_compiled()
    with progress("compiling the stop engine"):
        build_facts(FIXES.empty_table(), None, load_rules())
        StopStream(load_rules()).feed(np.zeros(0, RECORD))
    emit({"engine": "compiled before" if before else "compiled"}, json=json)
