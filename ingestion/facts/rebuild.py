"""``parked facts build`` without a file: the stored facts of everything in raw, made in bounded memory."""

from __future__ import annotations

from ingestion.facts.raw import IN_MEMORY, Raw, raw_sources
from ingestion.facts.rules import Rules
from ingestion.facts.sources import Progress
from ingestion.facts.store import (
    check_same_rules,
    checkpoint_file,
    facts_file,
    log_writer,
    put_log,
    stored_position,
    writing,
)
from ingestion.facts.streamed import Built, build_streamed
from ingestion.facts.update import update
from parked.errors import InputError
from parked.scratch import scratch_folder
from parked.settings import Settings


def rebuild(
    settings: Settings,
    raw: Raw,
    rules: Rules,
    *,
    workers: int | None = None,
    progress: Progress = lambda *_a, **_k: None,
) -> Built:
    """Build the facts of everything in raw and store them: the log is replaced at once, when all of it is made.

    workers: threads (default: one a core); they change nothing in the result. ``progress`` is called with rows read.
    Raises InputError where raw is empty, ConflictError where other rules of that name made what is stored.
    """
    check_same_rules(settings, rules)
    position = raw.position()
    sources = raw_sources(raw, position)
    empty = InputError(f"{settings.raw_dir}: no fixes yet", mend="run: parked ingest PATH")
    if not (rows := sum(source.rows for source in sources)):
        raise empty
    progress(0, total=rows)
    with scratch_folder(facts_file(settings, rules.version).parent) as scratch:
        made = scratch / "log.parquet"
        with log_writer(made, rules) as writer:
            built = build_streamed(
                sources, writer, rules, scratch=scratch, in_memory=IN_MEMORY, workers=workers, progress=progress
            )
        if not built.records:
            raise empty
        with writing(settings, rules):
            check_same_rules(settings, rules)  # another process, perhaps, meanwhile
            overtaken = (stored_position(settings, rules.version) or 0) > position
            checkpoint_file(settings, rules.version, position).unlink(missing_ok=True)  # another engine's, perhaps
            put_log(settings, rules, made, position)
    if overtaken and raw.position() > position:
        update(settings, raw, rules)  # facts that another process has told of already must not be gone again
    return built
