"""``parked facts update | show | replay``: the stored facts, gone on with, looked at, made anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import JsonOption, emit, progress, tell_of_compiling
from cli.inputs import RulesOption, settings_of

if TYPE_CHECKING:
    from datetime import datetime


def update(rules: RulesOption = None, json: JsonOption = False) -> None:
    """Take what was ingested since into the stored facts: the log a build of everything would write, in less time.

    Example: parked facts update
    """
    from ingestion.facts.store import facts_file, rules_named
    from ingestion.facts.update import update as take_in
    from ingestion.raw.log import RawLog
    from parked.opsdb.engine import open_database

    settings = settings_of(rules)
    loaded = rules_named(settings, rules)
    tell_of_compiling()
    with progress("updating facts") as advance:
        done = take_in(settings, RawLog(settings, open_database(settings.database)), loaded, progress=advance)
    emit(
        {
            "facts": str(facts_file(settings, loaded.version)),
            "rules": loaded.version,
            "records": done.records,
            "revisions": done.after,
            "revisions_before": done.before,
            "devices_rewritten": done.rewritten,
        },
        json=json,
    )


def show(
    device: Annotated[str, typer.Option(help="Device to show.")],
    facts: Annotated[Path | None, typer.Option(help="FACTS.parquet.  [default: the stored facts]")] = None,
    kind: Annotated[str | None, typer.Option(help="stop, halt or vehicle_left.")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="What was known at this moment (ISO 8601, UTC).  [default: now]")
    ] = None,
    rules: RulesOption = None,
    json: JsonOption = False,
) -> None:
    """Show what stands of a device, or stood as far as known at a moment: each fact's last revision by then.

    Example: parked facts show --device phone-1 --kind vehicle_left --as-of 2026-01-05T12:00
    """
    from cli.console import table as print_table
    from cli.inputs import moment
    from ingestion.facts.asof import as_of as known_by
    from ingestion.facts.build import read_facts_file
    from ingestion.facts.store import read_facts_of
    from parked.errors import InputError, NotFoundError
    from parked.schemas import KINDS

    if kind is not None and kind not in KINDS:
        raise InputError(f"--kind {kind}: no such kind", mend=f"give {', '.join(KINDS)}")
    at = moment("--as-of", as_of)
    settings = settings_of(rules)
    log = read_facts_file(facts, [device]) if facts else read_facts_of(settings, settings.rules, [device])
    if log.num_rows == 0:
        raise NotFoundError(f"no facts of device {device!r}", mend="see parked facts build, or check the id")
    standing = sorted(
        (row for row in known_by(log, None if at is None else _us(at)).to_pylist() if kind in (None, row["kind"])),
        key=lambda row: (row["started_at"], row["kind"]),
    )
    if json:
        rows = [
            {
                **row,
                "started_at": row["started_at"].isoformat(),
                "ended_at": row["ended_at"] and row["ended_at"].isoformat(),
            }
            for row in standing
        ]
        emit({"device": device, "as_of": at and at.isoformat(), "facts": rows}, json=True)
        return
    columns = ("kind", "started_at", "ended_at", "lat", "lon", "uncertainty_m", "status", "followed_by", "reasons")
    title = f"facts of {device} (UTC)" + (f" as known at {at:%Y-%m-%d %H:%M:%S}" if at else "")
    print_table(title, columns, [[_cell(row[c]) for c in columns] for row in standing])


def replay(
    device: Annotated[str, typer.Option(help="Device to make anew.")],
    since: Annotated[
        str | None, typer.Option(help="Only what was known from this moment on (ISO 8601, UTC).  [default: all]")
    ] = None,
    rules: RulesOption = None,
    json: JsonOption = False,
) -> None:
    """Make one device's stored facts anew from raw; those of the others stay to the byte.

    Example: parked facts replay --device phone-1 --since 2026-01-05
    """
    from cli.inputs import moment
    from ingestion.facts.replay import replay as make_anew
    from ingestion.facts.store import rules_named
    from ingestion.raw.log import RawLog
    from parked.opsdb.engine import open_database

    at = moment("--since", since)
    settings = settings_of(rules)
    loaded = rules_named(settings, rules)
    raw = RawLog(settings, open_database(settings.database))
    done = make_anew(settings, raw, loaded, device, None if at is None else _us(at))
    emit({"device": device, "revisions": done.revisions, "changed": done.changed}, json=json)


def _cell(value: Any) -> str:
    """A cell a line can break in: between day and time, and after a reason's comma."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.replace(",", ", ")
    return f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "strftime") else str(value)


def _us(moment: datetime) -> int:
    from parked.clock import to_us

    return to_us(moment)
