"""``parked score``: fixes in, a probability for every candidate at every decision moment out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import JsonOption, emit, progress
from cli.inputs import RulesOption, settings_of

if TYPE_CHECKING:
    import pyarrow as pa

    from bentos.model.scorer import Scorer
    from ingestion.facts.rules import Rules


def score(
    fixes: Annotated[Path, typer.Argument(help="Parquet of fixes: device_id, event_time, lat, lon, accuracy_m, …")],
    out: Annotated[Path, typer.Option(help="Parquet to write: one row per candidate and decision moment.")],
    motion: Annotated[Path | None, typer.Option(help="Parquet of the phones' motion activity.")] = None,
    model: Annotated[str | None, typer.Option(help="Model tag; default: the published model.")] = None,
    rules: RulesOption = None,
    json: JsonOption = False,
) -> None:
    """Score the candidates found in FIXES with a trained model, each time what is known of one changed.

    Example: parked score drive.parquet --motion motion.parquet --out scores.parquet
    """
    import pyarrow.compute as pc

    from bentos.model.scorer import load_published, load_scorer, model_dir_of
    from ingestion.facts.store import rules_named
    from parked.files import write_table
    from parked.schemas import FIXES, MOTION

    settings = settings_of(rules)
    scorer = load_published(settings) if model is None else load_scorer(model_dir_of(settings, model), model)
    loaded = rules_named(settings, rules)
    fix_table = _read(fixes, FIXES)
    motion_table = None if motion is None else _read(motion, MOTION)
    with progress("scoring") as advance:
        advance(0, total=1)
        scores = score_fixes(fix_table, motion_table, loaded, scorer, lag_s=settings.as_if_live_lag_s)
        write_table(out, scores)
        advance(1)
    likely = pc.sum(pc.greater_equal(scores["probability"], scorer.card.threshold)).as_py() or 0
    candidates = pc.count_distinct(scores["fact_id"]).as_py()
    emit(
        {
            "scores": str(out),
            "model": scorer.tag,
            "rows": scores.num_rows,
            "candidates": candidates,
            "rows_at_or_above_threshold": likely,
            "threshold": scorer.card.threshold,
        },
        json=json,
        text=f"{out}: {scores.num_rows} scores of {candidates} candidates by {scorer.tag} "
        f"({likely} at or above its threshold {scorer.card.threshold:.3f}).",
    )


def score_fixes(
    fixes: pa.Table, motion: pa.Table | None, rules: Rules, scorer: Scorer, *, lag_s: float = 0.0
) -> pa.Table:
    """SCORES of every candidate in ``fixes`` (FIXES) and ``motion`` (MOTION), sorted by (device, decided_at, fact_id).

    A decision moment is one at which what is known of the candidate changed. Raises InputError for wrong columns,
    ConflictError where the model was trained on facts of other rules.
    """
    import pyarrow as pa

    from ingestion.facts.build import build_facts
    from ingestion.features.fold import fold_facts
    from ingestion.features.moments import assemble, candidate_moments
    from parked.errors import ConflictError
    from parked.schemas import SCORES

    if rules.version != scorer.card.rules_version:
        raise ConflictError(
            f"model {scorer.tag} was trained on facts of rules {scorer.card.rules_version}, not {rules.version}",
            mend="choose another --model or --rules",
        )
    snapshots = fold_facts(build_facts(fixes, motion, rules, lag_s=lag_s))
    moments = candidate_moments(snapshots)
    probabilities = scorer.score_table(assemble(moments, snapshots, scorer.card.feature_service))
    columns = {
        "device_id": moments["device_id"],
        "fact_id": moments["candidate_id"],
        "decided_at": moments["event_timestamp"],
        "left_at": moments["left_at"],
        "lat": moments["lat"],
        "lon": moments["lon"],
        "probability": pa.array(probabilities, pa.float64()),
        "model": pa.array([scorer.tag] * len(probabilities), pa.string()),
    }
    scores = pa.table(list(columns.values()), schema=SCORES)
    return scores.sort_by([(name, "ascending") for name in ("device_id", "decided_at", "fact_id")])


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    """A Parquet file as ``schema``. Raises InputError naming the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ingestion.facts.canonical import check_columns
    from parked.errors import InputError

    try:
        table = pq.ParquetFile(path).read()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", mend="check the path") from None
    except (OSError, pa.ArrowException):
        raise InputError(
            f"{path}: not a Parquet file", mend="convert it, or see `parked ingest` for other formats"
        ) from None
    table = check_columns(table, schema, str(path))
    if not table.num_rows:
        raise InputError(f"{path}: no rows", mend="give a file with at least one record")
    return table
