"""``parked facts diff``: two rules versions side by side, before anyone switches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.console import Advance, JsonOption, emit, progress, tell_of_compiling

LARGEST = 10
"""Rows shown of each change."""

COLUMNS = {
    "appeared": ("device_id", "kind", "started_b", "ended_b", "lat_b", "lon_b"),
    "vanished": ("device_id", "kind", "started_a", "ended_a", "lat_a", "lon_a"),
    "moved": ("device_id", "kind", "started_a", "distance_m", "start_shift_s", "end_shift_s"),
}
"""What is shown of them."""


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
    from ingestion.facts.diff import APPEARED, CHANGES, MOVED, VANISHED
    from ingestion.facts.side_by_side import side_by_side
    from ingestion.facts.store import rules_named
    from parked.errors import InputError, NotFoundError
    from parked.settings import load_settings

    settings = load_settings()
    versions = [rules_named(settings, text) for text in rules]
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: not a folder", mend="give a folder")
    tell_of_compiling()
    with progress("two versions side by side") as advance, _parts(fixes, motion, device, advance) as parts:
        found, records = side_by_side(parts, *versions)
        if not records:
            if device is not None:
                raise NotFoundError(f"no records of device {device!r}", mend="check the id")
            mend = "run: parked ingest PATH" if fixes is None else "give a file with fixes"
            raise InputError(f"{fixes or settings.raw_dir}: no usable fixes", mend=mend)
    names = (_label(rules[0], versions[0].version), _label(rules[1], versions[1].version))
    shown = {change: found.first(change, LARGEST) for change in (APPEARED, VANISHED)}
    shown[MOVED] = found.largest(LARGEST)
    files: dict[str, str] = {}
    if out is not None:
        from ingestion.facts.diff_picture import draw
        from parked.files import write_table

        draw(found, names, out / "diff.png")
        write_table(out / "diff.parquet", found.table)
        files = {"picture": str(out / "diff.png"), "table": str(out / "diff.parquet")}
    if json:
        said = {"a": names[0], "b": names[1], "facts": found.counts, "largest": shown.pop(MOVED)}
        emit({**said, **shown, **files}, json=True)
        return
    from cli.console import table

    table(
        f"facts by rules {names[1]} against {names[0]}",
        ["kind", *CHANGES],
        [[kind, *(counts[change] for change in CHANGES)] for kind, counts in found.counts.items()],
    )
    for change, rows in shown.items():
        more = sum(counts[change] for counts in found.counts.values()) - len(rows)
        if rows:
            title = "moved most" if change == MOVED else change
            table(f"{title} (and {more:,} more)" if more else title, COLUMNS[change], _lines(rows, COLUMNS[change]))
    if files:
        emit(files, json=False)


@contextmanager
def _parts(fixes: Path | None, motion: Path | None, device: str | None, advance: Advance) -> Iterator[Any]:
    """The records to compare on, of a file or of everything ingested, by ranges of devices, while the block runs."""
    from tempfile import TemporaryDirectory

    from ingestion.facts.raw import raw_ranges, raw_records
    from ingestion.facts.side_by_side import file_ranges, only
    from ingestion.raw.log import RawLog
    from parked.errors import InputError
    from parked.opsdb.engine import open_database
    from parked.scratch import scratch_folder
    from parked.settings import load_settings

    if fixes is not None:
        with TemporaryDirectory(prefix="parked-") as folder:
            everything = file_ranges(fixes, motion, Path(folder), advance)
            yield everything if device is None else only(everything, device)
        return
    if motion is not None:
        raise InputError("--motion without FIXES", mend="ingest the motion records instead")
    settings = load_settings()
    if not settings.raw_dir.exists():
        raise InputError(f"{settings.raw_dir}: no fixes yet", mend="run: parked ingest PATH")
    raw = RawLog(settings, open_database(settings.database))
    if device is not None:
        yield [raw_records(raw, [device])]
        return
    with scratch_folder(settings.facts_dir) as folder:
        yield raw_ranges(raw, raw.position(), folder, advance)


def _lines(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> list[list[str]]:
    return [[_shown(name, row[name]) for name in columns] for row in rows]


def _label(text: str, version: str) -> str:
    """The version's name, and the file's where it came from one."""
    return version if text == version else f"{version} ({text})"


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6f}" if name.startswith(("lat", "lon")) else f"{value:.1f}"
    return f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "strftime") else str(value)
