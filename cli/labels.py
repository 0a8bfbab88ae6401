"""``parked labels``: judgments about where a vehicle was parked, apart from facts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import JsonOption, emit, table

if TYPE_CHECKING:
    import pyarrow as pa

app = typer.Typer(name="labels", help="Judgments: was a vehicle parked there and then?", no_args_is_help=True)


@app.command("import")
def import_(
    labels: Annotated[
        Path, typer.Argument(help="Parquet: device_id, at, lat, lon, verdict, source, weight, known_at.")
    ],
    coverage: Annotated[
        Path | None, typer.Option(help="Parquet of spans where labels are complete: device_id, from, to, source.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Import labels; one that is already there adds nothing.

    Example: parked labels import var/sim/labels.parquet --coverage var/sim/coverage.parquet
    """
    from parked.opsdb.engine import open_database
    from parked.opsdb.labels import add_coverage, add_labels, check_coverage, check_labels
    from parked.settings import load_settings

    judgments = check_labels(_read(labels))
    spans = None if coverage is None else check_coverage(_read(coverage))  # before anything is written
    engine = open_database(load_settings().database)
    added = add_labels(engine, judgments)
    result: dict[str, Any] = {"added": added.added, "duplicates": added.duplicates}
    text = f"{added.added} labels added, {added.duplicates} were there already."
    if spans is not None:
        covered = add_coverage(engine, spans)
        result |= {"coverage_added": covered.added, "coverage_duplicates": covered.duplicates}
        text += f"\n{covered.added} spans of coverage added, {covered.duplicates} were there already."
    emit(result, json=json, text=text)


@app.command("list")
def list_(
    device: Annotated[str | None, typer.Option(help="Of one phone only.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, the latest moments.")] = 50,
    json: JsonOption = False,
) -> None:
    """List labels, the latest moments last.

    Example: parked labels list --device jane
    """
    from parked.opsdb.engine import open_database
    from parked.opsdb.labels import read_labels
    from parked.settings import load_settings

    found = read_labels(open_database(load_settings().database), device=device).sort_by("at")
    rows = found.slice(max(0, found.num_rows - limit)).to_pylist()
    if json:
        emit({"labels": rows, "total": found.num_rows}, json=True)
    elif not rows:
        emit({}, json=False, text="No labels.")
    else:
        names = ["device_id", "at", "verdict", "lat", "lon", "source", "weight"]
        table(f"{len(rows)} of {found.num_rows} labels", names, [[row[name] for name in names] for row in rows])


@app.command()
def add(
    device: Annotated[str, typer.Option(help="The phone.")],
    at: Annotated[str, typer.Option(help="When, ISO-8601 with a zone: 2024-05-01T12:00:00Z.")],
    verdict: Annotated[str, typer.Option(help="parked or not_parked.")],
    lat: Annotated[float | None, typer.Option(help="Where, degrees WGS84.")] = None,
    lon: Annotated[float | None, typer.Option(help="Where, degrees WGS84.")] = None,
    source: Annotated[str, typer.Option(help="truth, person, motion or mode.")] = "person",
    json: JsonOption = False,
) -> None:
    """Add one judgment, known from now on.

    Example: parked labels add --device jane --at 2024-05-01T12:00:00Z --lat 52.51 --lon 13.40 --verdict parked
    """
    import pyarrow as pa

    from parked.clock import system_clock
    from parked.opsdb.engine import open_database
    from parked.opsdb.labels import add_labels, check_labels
    from parked.schemas import LABELS
    from parked.settings import load_settings

    row = {"device_id": device, "at": _moment(at), "lat": lat, "lon": lon, "verdict": verdict, "source": source}
    judgment = pa.Table.from_pylist([row | {"weight": 1.0, "known_at": system_clock()}], schema=LABELS)
    judgment = check_labels(judgment)
    added = add_labels(open_database(load_settings().database), judgment)
    text = "Label added." if added.added else "This label was there already."
    emit({"added": added.added, "duplicates": added.duplicates}, json=json, text=text)


def _moment(text: str) -> datetime:
    from parked.errors import InputError

    mend = "give ISO-8601 with a zone, such as 2024-05-01T12:00:00Z"
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):  # an offset can carry the calendar's first and last day out of it
        raise InputError(f"--at {text!r} is no moment", mend=mend) from None
    if moment.tzinfo is None:
        raise InputError(f"--at {text!r} says no zone", mend=mend)
    return moment


def _read(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    from parked.errors import InputError, first_line
    from parked.files import PARQUET_DAMAGE

    try:
        return pq.ParquetFile(path).read()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", mend="check the path") from None
    except PARQUET_DAMAGE as error:
        raise InputError(f"{path}: not readable as Parquet ({first_line(error)})", mend="write it again") from None
