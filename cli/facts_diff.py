"""``parked facts diff``: two rules versions side by side, before anyone switches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.console import JsonOption, emit, progress, tell_of_compiling

LARGEST = 10


def diff(
    rules: Annotated[
        tuple[str, str], typer.Option("--rules", metavar="A B", help="Two rules: files or versions' names.")
    ],
    fixes: Annotated[Path | None, typer.Argument(help="FIXES.parquet.  [default: everything ingested]")] = None,
    motion: Annotated[Path | None, typer.Option(help="MOTION.parquet, with FIXES.")] = None,
    device: Annotated[str | None, typer.Option(help="Only this device.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for diff.png and diff.parquet.")] = None,
    json: JsonOption = False,
) -> None:
    """Compute the facts of two rules versions side by side and show what appears, vanishes, moves and changes.

    Both are computed from the same records, and nothing is stored or switched.

    Example: parked facts diff --rules v1 my-rules.toml --out diff
    """
    from ingestion.facts.build import facts_of
    from ingestion.facts.diff import CHANGES, difference
    from ingestion.facts.store import rules_named
    from parked.errors import InputError
    from parked.settings import load_settings

    settings = load_settings()
    versions = [rules_named(settings, text) for text in rules]
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: not a folder", mend="give a folder")
    tell_of_compiling()
    with progress("two versions side by side") as advance:
        advance(0, total=3)
        records = _records(fixes, motion, device)
        sides = []
        for version in versions:
            sides.append(facts_of(records, version))
            advance(1)
        found = difference(*sides)
        advance(1)
    names = (_label(rules[0], versions[0].version), _label(rules[1], versions[1].version))
    largest = found.largest(LARGEST)
    files: dict[str, str] = {}
    if out is not None:
        from ingestion.facts.diff_picture import draw
        from parked.files import write_table

        draw(found, names, out / "diff.png")
        write_table(out / "diff.parquet", found.table)
        files = {"picture": str(out / "diff.png"), "table": str(out / "diff.parquet")}
    if json:
        emit({"a": names[0], "b": names[1], "facts": found.counts, "largest": largest, **files}, json=True)
        return
    from cli.console import table

    table(
        f"facts by rules {names[1]} against {names[0]}",
        ["kind", *CHANGES],
        [[kind, *(counts[change] for change in CHANGES)] for kind, counts in found.counts.items()],
    )
    if largest:
        columns = ("device_id", "kind", "started_a", "distance_m", "start_shift_s", "end_shift_s")
        table("moved most", columns, [[_shown(row[c]) for c in columns] for row in largest])
    if files:
        emit(files, json=False)


def _records(fixes: Path | None, motion: Path | None, device: str | None) -> Any:
    """The records to compare on, of a file or of everything ingested."""
    import pyarrow.compute as pc

    from ingestion.facts.build import read_table
    from ingestion.facts.canonical import canonicalise
    from ingestion.facts.raw import raw_records
    from ingestion.raw.log import RawLog
    from parked.errors import InputError, NotFoundError
    from parked.opsdb.engine import open_database
    from parked.settings import load_settings

    if fixes is None:
        if motion is not None:
            raise InputError("--motion without FIXES", mend="ingest the motion records instead")
        settings = load_settings()
        if not settings.raw_dir.exists():
            raise InputError(f"{settings.raw_dir}: no fixes yet", mend="run: parked ingest PATH")
        raw = RawLog(settings, open_database(settings.database))
        records = raw_records(raw, None if device is None else [device])
    else:
        tables = [read_table(fixes, "fixes"), *([read_table(motion, "motion")] if motion else [])]
        if device is not None:
            tables = [
                t.filter(pc.equal(t["device_id"], device)) if "device_id" in t.column_names else t for t in tables
            ]
        records = canonicalise(tables[0], tables[1] if motion else None, names=(str(fixes), str(motion)))
    if not len(records.records):
        if device is not None:
            raise NotFoundError(f"no records of device {device!r}", mend="check the id")
        raise InputError(f"{fixes or 'raw'}: no usable fixes", mend="run: parked ingest PATH")
    return records


def _label(text: str, version: str) -> str:
    """The version's name, and the file's where it came from one."""
    return version if text == version else f"{version} ({text})"


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    return f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "strftime") else str(value)
