"""``parked quarantine``: which records were refused, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.console import JsonOption, emit, table

app = typer.Typer(name="quarantine", help="Refused records: kept with their reason.", no_args_is_help=True)


@app.command("list")
def list_(
    run: Annotated[int | None, typer.Option(help="Of one ingestion run only.")] = None,
    reason: Annotated[str | None, typer.Option(help="Of one reason only, such as clock_before_2005.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, newest first.")] = 50,
    json: JsonOption = False,
) -> None:
    """List refused records, newest first, and how many there are of each reason.

    Example: parked quarantine list --reason clock_before_2005
    """
    from ingestion.raw.quarantine import count_by_reason, find
    from parked.opsdb.engine import open_database
    from parked.settings import load_settings

    engine = open_database(load_settings().database)
    counts = count_by_reason(engine, run=run, reason=reason)
    found = find(engine, run=run, reason=reason, limit=limit)
    if json:
        emit({"reasons": counts, "records": [vars(row) for row in found]}, json=True)
    elif not counts:
        emit({}, json=False, text="Nothing in quarantine.")
    else:
        table("Reasons", ["reason", "records"], list(counts.items()))
        rows = [(row.id, row.run_id, row.reason, row.detail, f"{row.source}:{row.source_offset}") for row in found]
        table(f"Newest {len(rows)} records", ["id", "run", "reason", "detail", "where"], rows)


@app.command()
def show(
    record: Annotated[int, typer.Argument(metavar="ID", help="As `parked quarantine list` shows it.")],
    json: JsonOption = False,
) -> None:
    """Show one refused record as it was sent.

    Example: parked quarantine show 17
    """
    from ingestion.raw.quarantine import get
    from parked.opsdb.engine import open_database
    from parked.settings import load_settings

    emit(vars(get(open_database(load_settings().database), record)), json=json)
