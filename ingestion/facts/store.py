"""The stored facts of a home: one revision log per rules version, replaced atomically, and the states to go on from.

A log file says by which engine it was made and holds its rules, so that a version is known here by its name from then
on; how far of the raw log it was made from stands in a file beside it that is named by the log file's SHA-256, for the
log's own bytes follow from the set of raw records alone, however they were ingested. The states of that position lie
beside them. The log is written last: what is there fits together, whenever a process is killed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from ingestion.facts.build import read_table
from ingestion.facts.checkpoint import engine_id
from ingestion.facts.rules import Rules, build_command, named_rules
from ingestion.facts.stored import Stored, of_devices, opened, pieces
from ingestion.facts.writer import STORED, FactsWriter
from parked.errors import ConflictError, InputError
from parked.files import PARQUET_DAMAGE, atomic_path, sha256_of, write_text
from parked.locks import locked
from parked.settings import Settings

_ENGINE, _RULES, _RULES_TEXT = b"parked.engine", b"parked.rules", b"parked.rules.json"


def facts_file(settings: Settings, version: str) -> Path:
    """Where the revision log of a rules version is kept."""
    return settings.facts_dir / version / "facts.parquet"


def checkpoint_file(settings: Settings, version: str, position: int) -> Path:
    """Where the states are kept from which a log of this position goes on."""
    return settings.facts_dir / version / f"checkpoint-{position}.bin"


def position_file(facts: Path) -> Path:
    """Where the position is kept of a log file as its bytes are. Raises what reading them raises."""
    return facts.with_name(f"position-{sha256_of(facts)}")


def read_facts(settings: Settings, version: str) -> pa.Table:
    """The stored revision log. Raises InputError where it was not built yet."""
    return read_table(_built(settings, version), "facts")


def read_facts_of(settings: Settings, version: str, devices: Collection[str]) -> pa.Table:
    """Some devices' part of the stored revision log. Raises InputError where it was not built yet."""
    path = _built(settings, version)
    return of_devices(path, opened(path), devices)


def _built(settings: Settings, version: str) -> Path:
    path = facts_file(settings, version)
    if not path.exists():
        raise InputError(f"{path}: no facts of rules {version!r} yet", mend=build_command(version))
    return path


def read_stored(settings: Settings, rules: Rules, end: int | None = None) -> Stored:
    """The stored log of these very rules, to be gone on with. end: where the raw log ends now (None: at least there).

    Raises InputError where there is none, ConflictError where other rules of that name, another engine, or more of the
    raw log than there is now (an older copy of the operations database, or another one) made it.
    """
    check_same_rules(settings, rules)
    path = _built(settings, rules.version)
    said = opened(path).schema_arrow.metadata or {}
    wanted = engine_id(rules)
    maker = said.get(_ENGINE, b"an unknown engine").decode()
    if maker != wanted:
        raise ConflictError(f"{path}: made by {maker}, not {wanted}", mend=build_command(rules.version))
    position = _position(path)
    if position is None:
        said_not = f"{path}: nothing says how far of the raw log it was made from"
        raise ConflictError(said_not, mend=build_command(rules.version))
    if end is not None and position > end:
        more = f"{path}: made from more of the raw log than the operations database lists now"
        mend = f"put back that database (PARKED_DATABASE_URL), or {build_command(rules.version)}"
        raise ConflictError(more, mend=mend)
    return Stored(path, position)


def stored_position(settings: Settings, version: str) -> int | None:
    """How far of the raw log the stored log is made from; None where there is none, or nothing says so."""
    path = facts_file(settings, version)
    return _position(path) if path.is_file() else None


def log_writer(path: Path, rules: Rules) -> FactsWriter:
    """A writer of a log of these rules, to be put into place by ``put_log``. Same facts, same bytes."""
    return FactsWriter(path, STORED, _says(rules))


def _says(rules: Rules) -> Mapping[bytes, bytes]:
    said = {_ENGINE: engine_id(rules).encode(), _RULES: rules.digest.encode()}
    return said | {_RULES_TEXT: rules.model_dump_json().encode()}


def write_facts(settings: Settings, rules: Rules, facts: Iterable[pa.Table], position: int) -> None:
    """Replace the stored log, atomically, by tables one after another; states of other positions go."""
    _replace(facts_file(settings, rules.version), partial(_put, _says(rules), facts), position)
    _keep_states(settings, rules, position)


def put_log(settings: Settings, rules: Rules, made: Path, position: int) -> None:
    """Move a log that a ``log_writer`` wrote, on the same file system, to where the stored one is, likewise."""
    _replace(facts_file(settings, rules.version), partial(os.replace, made), position)
    _keep_states(settings, rules, position)


def _keep_states(settings: Settings, rules: Rules, position: int) -> None:
    keep = checkpoint_file(settings, rules.version, position)
    for file in keep.parent.glob("checkpoint-*.bin"):
        if file != keep:
            file.unlink(missing_ok=True)


def _put(said: Mapping[bytes, bytes], facts: Iterable[pa.Table], path: Path) -> None:
    """Write a log that says of itself what is ``said``."""
    with FactsWriter(path, STORED, said) as writer:
        writer.add_all(facts)


def _replace(target: Path, put: Callable[[Path], object], position: int | None) -> None:
    """Put a log and its position into place: the position, named by the log's bytes, is there before the log is."""
    with atomic_path(target) as temporary:
        put(temporary)
        beside = target.with_name(position_file(temporary).name)
        if position is not None:
            write_text(beside, f"{position}\n")
    for file in target.parent.glob("position-*"):
        if file != beside:
            file.unlink(missing_ok=True)


def _position(path: Path) -> int | None:
    """How far of the raw log a log file is made from; None where nothing says so that can be read."""
    beside = position_file(path)
    try:
        return int(beside.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def check_same_rules(settings: Settings, rules: Rules) -> None:
    """Raises ConflictError where the stored facts of that version are of rules of other contents.

    Facts that do not say their rules' contents (stored by an earlier release), or cannot be read, may be replaced.
    """
    path = facts_file(settings, rules.version)
    said = _said(path).get(_RULES)
    if said not in (None, rules.digest.encode()):
        raise ConflictError(
            f"rules {rules.version!r}: {path} is of other rules that call themselves so",
            mend=f"give it another version (or remove {path.parent})",
        )


def kept_rules(settings: Settings, version: str) -> Rules | None:
    """The rules that the stored facts of a version were made by; None where there are none, or they do not say."""
    said = _said(facts_file(settings, version)).get(_RULES_TEXT)
    try:
        return None if said is None else Rules.model_validate_json(said)
    except ValidationError:  # of a later release, with rules unknown here
        return None


def _said(path: Path) -> Mapping[bytes, bytes]:
    """What a log file says of itself; nothing where none is there, or it is damaged: a build makes it anew."""
    try:
        return pq.read_schema(path).metadata or {}
    except PARQUET_DAMAGE:
        return {}


def rules_named(settings: Settings, text: str | None = None) -> Rules:
    """The rules that a person named (a file, a packaged version, one that facts were built by here); None: in use.

    Raises what ``ingestion.facts.rules.named_rules`` raises.
    """
    return named_rules(text or settings.rules, lambda version: kept_rules(settings, version))


def writing(settings: Settings, rules: Rules) -> AbstractContextManager[None]:
    """The right to replace a version's log, held by one process at a time (others wait)."""
    return locked(_lock(settings.facts_dir / rules.version))


def _lock(folder: Path) -> Path:
    return folder / ".lock"


def forget(settings: Settings, device: str) -> int:
    """Erase a device from every version's stored facts and states; how many revisions went.

    Raw must have forgotten it before: states are made anew from raw when next needed.
    """
    gone = 0
    for path in sorted(settings.facts_dir.glob("*/facts.parquet")):
        with locked(_lock(path.parent)):
            for file in path.parent.glob("checkpoint-*.bin"):
                file.unlink(missing_ok=True)
            own = sum(pc.sum(pc.equal(part["device_id"], device)).as_py() or 0 for part in pieces(path))
            if own:
                gone += own
                others = (part.filter(pc.not_equal(part["device_id"], device)) for part in pieces(path))
                _replace(path, partial(_put, opened(path).schema_arrow.metadata, others), _position(path))
    return gone
