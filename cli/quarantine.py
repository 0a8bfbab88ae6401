"""``parked quarantine``: which records were refused and why, and trying them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import JsonOption, emit, progress, so_far, table
from cli.inputs import GREATEST_ID

if TYPE_CHECKING:
    from ingestion.raw.retry import RetryReport

app = typer.Typer(name="quarantine", help="Refused records: kept with their reason.", no_args_is_help=True)

RunOption = Annotated[int | None, typer.Option(min=0, max=GREATEST_ID, help="Of one ingestion run only.")]
ReasonOption = Annotated[str | None, typer.Option(help="Of one reason only, such as clock_before_2005.")]
SourceOption = Annotated[str | None, typer.Option(help="Of sources with this in their name only.")]


def _checked(reason: str | None) -> str | None:
    """``reason`` if it is one. Raises NotFoundError."""
    from ingestion.readers.reasons import Reason
    from parked.errors import NotFoundError

    if reason is not None and reason not in set(Reason):
        raise NotFoundError(f"--reason {reason}: no such reason", mend=f"one of {', '.join(Reason)}")
    return reason


@app.command("list")
def list_(
    run: RunOption = None,
    reason: ReasonOption = None,
    source: SourceOption = None,
    taken: Annotated[bool, typer.Option("--taken", help="Those that a retry has taken, instead.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=GREATEST_ID, help="How many at most, newest first.")] = 50,
    json: JsonOption = False,
) -> None:
    """List refused records, newest first, and how many there are of each reason and of each source.

    Example: parked quarantine list --reason clock_before_2005
    """
    from ingestion.raw.quarantine import Selection, count_by_reason, count_by_source, find
    from parked.opsdb.engine import open_database
    from parked.settings import load_settings

    selection = Selection(run=run, reason=_checked(reason), source=source, taken=taken)
    engine = open_database(load_settings().database)
    reasons, sources = count_by_reason(engine, selection), count_by_source(engine, selection)
    found = find(engine, selection, limit=limit)
    if json:
        records = [vars(row) for row in found]
        emit({"total": sum(reasons.values()), "reasons": reasons, "sources": sources, "records": records}, json=True)
    elif not reasons:
        said = "Nothing was taken by a retry." if taken else "Nothing in quarantine."
        emit({}, json=False, text=said if selection == Selection(taken=taken) else f"{said[:-1]} that matches.")
    else:
        table("Reasons", ["reason", "records"], list(reasons.items()))
        table("Sources", ["source", "records"], list(sources.items())[:limit])
        rows = [(row.id, row.run_id, row.reason, row.detail, f"{row.source}:{row.source_offset}") for row in found]
        table(f"Newest {len(rows)} records", ["id", "run", "reason", "detail", "where"], rows)


@app.command()
def show(
    record: Annotated[
        int, typer.Argument(metavar="ID", min=0, max=GREATEST_ID, help="As `parked quarantine list` shows it.")
    ],
    json: JsonOption = False,
) -> None:
    """Show one refused record as it was sent.

    Example: parked quarantine show 17
    """
    from ingestion.raw.quarantine import get
    from parked.opsdb.engine import open_database
    from parked.settings import load_settings

    emit(vars(get(open_database(load_settings().database), record)), json=json)


@app.command()
def retry(
    records: Annotated[
        list[int] | None,
        typer.Argument(metavar="[ID]...", min=0, max=GREATEST_ID, help="These records; default: all that match."),
    ] = None,
    run: RunOption = None,
    reason: ReasonOption = None,
    source: SourceOption = None,
    device: Annotated[str | None, typer.Option(help="Give the records to this phone.")] = None,
    accept_clock: Annotated[
        bool,
        typer.Option(
            "--accept-clock",
            help="The phone's clock is right: where the stated time of receipt clashes with it, the record is "
            "received now.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Read and judge refused records again, by today's readers and rules; those that pass become raw, once.

    Those that do not pass stay as they are. --device and --accept-clock need a selection.

    Example: parked quarantine retry --reason missing_device --source car.csv --device anna
    """
    from cli.inputs import user_name
    from ingestion.raw.log import RawLog
    from ingestion.raw.quarantine import Selection
    from ingestion.raw.retry import check_override
    from ingestion.raw.retry import retry as retry_records
    from parked.clock import system_clock
    from parked.opsdb.engine import open_database
    from parked.settings import load_settings

    settings = load_settings()
    selection = Selection(ids=records or None, run=run, reason=_checked(reason), source=source)
    check_override(selection, device, accept_clock)
    with progress("trying again") as advance:
        report = retry_records(
            RawLog(settings, open_database(settings.database)),
            selection,
            clock=system_clock,
            who=user_name(),
            device=device,
            accept_clock=accept_clock,
            progress=so_far(advance),
        )
    emit(vars(report), json=json, text=_sentence(report))


def _sentence(report: RetryReport) -> str:
    outcomes, left = report.outcomes, report.left
    parts = [f"{outcomes.get('accepted', 0)} accepted", f"{outcomes.get('duplicate', 0)} duplicates"]
    if "ignored" in outcomes:
        parts.append(f"{outcomes['ignored']} of another kind")
    lines = [f"{report.tried} records tried = {' + '.join(parts)} + {sum(left.values())} still refused."]
    if left:
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(left.items(), key=lambda item: -item[1]))
        lines.append(f"Still refused: {why}.")
    if outcomes.get("accepted"):
        lines.append("Facts do not know of them yet: parked facts build")
    return "\n".join(lines)
