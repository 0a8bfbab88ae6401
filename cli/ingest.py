"""``parked ingest``: files and folders of sensor records into the raw log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import JsonOption, emit, note, progress, so_far

if TYPE_CHECKING:
    from ingestion.raw.ingest import IngestReport


def ingest(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, or folders to walk.")],
    reader: Annotated[
        str, typer.Option(help="auto, or one of parquet, csv, start2park, emission, owntracks, gpx.")
    ] = "auto",
    device: Annotated[
        str | None, typer.Option(help="The phone all of it belongs to; default: as the records say.")
    ] = None,
    as_if_live: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="History: take records that state no time of receipt as received so many seconds after they were "
            "measured, and mark them. Without it they are received now.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Read sensor records into the raw log: CSV and Parquet of our columns, GPX, OwnTracks, e-mission, start2park.

    A bad record goes to quarantine and stops no other; a file read before adds nothing. All files are taken, or none.

    Example: parked ingest drives/ --as-if-live 5
    """
    from ingestion.raw.ingest import ingest_paths
    from parked.clock import system_clock
    from parked.opsdb.engine import open_database
    from parked.settings import load_settings

    settings = load_settings()
    with progress("reading") as advance:
        report = ingest_paths(
            paths,
            settings=settings,
            engine=lambda: open_database(settings.database),
            clock=system_clock,
            reader=reader,
            device=device,
            as_if_live_lag_s=as_if_live,
            progress=so_far(advance),
        )
    if report.skipped and not json:
        some = ", ".join(Path(name).name for name in report.skipped[:4])
        more = ", …" if len(report.skipped) > 4 else ""
        note(f"skipped {len(report.skipped)} files no reader knows: {some}{more}")
    emit(_document(report), json=json, text=_sentence(report))


def _document(report: IngestReport) -> dict[str, Any]:
    files = [
        {"source": f.source, "reader": f.reader, "run": f.run, "already": f.already, **vars(f.counts)}
        for f in report.files
    ]
    return {**vars(report.total), "files": files, "skipped": report.skipped}


def _sentence(report: IngestReport) -> str:
    total, already = report.total, sum(file.already for file in report.files)
    lines = [
        f"{len(report.files)} files: {total.read} records read = {total.accepted} accepted + "
        f"{total.duplicates} duplicates + {total.quarantined} quarantined."
    ]
    if total.ignored:
        lines.append(f"{total.ignored} records of other kinds (neither fix nor motion) were left aside.")
    if already:
        lines.append(f"{already} of the files had been read before: they add nothing.")
    if total.quarantined:
        lines.append("See why with: parked quarantine list")
    return "\n".join(lines)
