"""``parked features``: from facts to Feast's stores, and back out of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import JsonOption, emit, note, progress, table
from cli.inputs import RulesOption, settings_of

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    name="features",
    help="Feature snapshots and Feast's stores: build, apply, list, get, history.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def build(
    facts: Annotated[
        Path | None, typer.Option(help="Fact revisions; default: those in home of the rules version in use.")
    ] = None,
    rules: RulesOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite newer online rows too (after importing older history).")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Fold fact revisions into feature snapshots and load both of Feast's stores, at the places of their rules version.

    Example: parked features build --facts FACTS.parquet
    """
    from ingestion.facts.store import facts_file
    from ingestion.features.build import build_features
    from ingestion.features.revisions import InFile

    settings = settings_of(rules)
    source = facts or facts_file(settings, settings.rules)
    revisions = InFile(source)
    with progress("folding facts") as advance:
        advance(0, total=revisions.rows)
        built = build_features(settings, revisions, replace=replace, progress=advance)
    emit(
        {
            "facts": str(source),
            "rules": settings.rules,
            "revisions": built.revisions,
            "snapshots": built.snapshots,
            "online_written": {view: loaded.written for view, loaded in built.online.items()},
            "online_kept_newer": {view: loaded.kept for view, loaded in built.online.items()},
        },
        json=json,
    )
    if any(loaded.kept for loaded in built.online.values()):
        note("Some online rows were newer than this build and were kept; `--replace` overwrites them.")


@app.command()
def apply(rules: RulesOption = None, json: JsonOption = False) -> None:
    """Make Feast's registry what feature_repo/ declares (as `feast apply`, at the home of the settings).

    Example: parked features apply
    """
    from ingestion.features.apply import apply_repo

    settings = settings_of(rules)
    account = apply_repo(settings)
    changes = [line.strip() for line in account.splitlines() if line.strip()]
    emit(
        {"home": str(settings.home), "rules": settings.rules, "changes": changes},
        json=json,
        text="\n".join([*(changes or ["Nothing to change."]), f"Feast: {settings.feast_dir / 'feature_store.yaml'}"]),
    )


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """List every declared feature: view, type, what it means, and the services that serve it.

    Example: parked features list --json
    """
    from feature_repo.declare import VIEWS, declared
    from feature_repo.services import SERVICES

    catalogue = declared()
    features = [
        {
            "view": feature.view,
            "feature": feature.name,
            "dtype": feature.dtype.value,
            "since": feature.since,
            "owner": feature.owner,
            "services": [name for name, parts in SERVICES.items() if feature.name in parts.get(feature.view, ())],
            "description": feature.description,
        }
        for view in VIEWS
        for feature in catalogue.of(view)
    ]
    if json:
        emit({"features": features, "version": catalogue.version()}, json=True)
        return
    lines = [f"Features, version {catalogue.version()}"]
    for view in VIEWS:
        lines += ["", view]
        lines += [f"  {f['feature']:<20} {f['dtype']:<8} {f['description']}" for f in features if f["view"] == view]
    emit({}, json=False, text="\n".join(lines))


@app.command()
def get(
    device: Annotated[str, typer.Option(help="The phone's id.")],
    rules: RulesOption = None,
    json: JsonOption = False,
) -> None:
    """Show what the online store holds of a phone: its newest candidates, and what the model would eat of each.

    Example: parked features get --device d0001
    """
    from feature_repo.features.device_carried import RANKS
    from feature_repo.retrieve import online_features
    from feature_repo.services import PARKING_V1, WHERE_PARKED_V1
    from feature_repo.store import open_store
    from parked.clock import system_clock, to_us
    from parked.errors import NotFoundError

    store = open_store(settings_of(rules))
    state = online_features(store, [{"device_id": device}], WHERE_PARKED_V1)[0]
    if state["facts_as_of_us"] is None:
        raise NotFoundError(f"device {device!r} has no online features", mend="check the id or `parked features build`")
    now = to_us(system_clock())
    keys = [
        {
            "device_id": device,
            "candidate_id": state[f"candidate_{rank}"],
            "cell": state[f"cell_{rank}"],
            "asked_at_us": now,
        }
        for rank in RANKS
        if state[f"candidate_{rank}"] is not None
    ]
    candidates = [
        {"candidate_id": key["candidate_id"], **features}
        for key, features in zip(keys, online_features(store, keys, PARKING_V1), strict=True)
    ]
    if json:
        emit({"device_id": device, "state": state, "candidates": candidates}, json=True)
        return
    table(f"Phone {device}", ["feature", "value"], [[name, _shown(value)] for name, value in state.items()])
    if candidates:
        names = [name for name in candidates[0] if name != "candidate_id"]
        heads = ["feature", *(candidate["candidate_id"] for candidate in candidates)]
        table("Candidates", heads, [[name, *(_shown(c[name]) for c in candidates)] for name in names])


@app.command()
def history(
    entities: Annotated[
        Path,
        typer.Option(help="CSV or Parquet: device_id, candidate_id, cell, event_timestamp (and asked_at_us)."),
    ],
    out: Annotated[Path, typer.Option(help="Parquet to write: the same rows with the features known then.")],
    service: Annotated[str, typer.Option(help="Feature service.")] = "parking_v1",
    rules: RulesOption = None,
    json: JsonOption = False,
) -> None:
    """Look up features as they were known at given moments (Feast's point-in-time join).

    Example: parked features history --entities moments.csv --out features.parquet
    """
    import pyarrow as pa

    from feature_repo.retrieve import historical_features
    from feature_repo.services import service_features
    from feature_repo.store import open_store
    from parked.files import write_table

    names = service_features(service)
    frame = _entities(entities)
    store = open_store(settings_of(rules))
    with progress("point-in-time join") as advance:
        advance(0, total=len(frame))
        answer = historical_features(store, frame, service)
        advance(len(frame))
    write_table(out, pa.Table.from_pandas(answer, preserve_index=False))
    known = int(answer[names].notna().any(axis=1).sum())
    emit(
        {"out": str(out), "rows": len(answer), "features": len(names), "rows_with_features": known},
        json=json,
        text=f"{out}: {len(answer)} rows, {len(names)} features of {service}; something was known for {known} of them.",
    )


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _entities(path: Path) -> pd.DataFrame:
    """The entity rows of a file, ``event_timestamp`` aware UTC, ``asked_at_us`` that moment where not given."""
    import pandas as pd

    from parked.errors import InputError, first_line
    from parked.files import PARQUET_DAMAGE

    try:
        frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", mend="check the path") from None
    except PARQUET_DAMAGE as error:  # what pandas raises of CSV are ValueErrors
        raise InputError(f"{path}: unreadable ({first_line(error)})", mend="give CSV or Parquet") from None
    if "event_timestamp" not in frame.columns:
        raise InputError(f"{path}: no column event_timestamp", mend="give the decision moment of each row, UTC")
    try:
        moments = pd.to_datetime(frame["event_timestamp"], utc=True).astype("datetime64[us, UTC]")
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: event_timestamp: {error}", mend="write times as 2024-05-01T12:00:00Z") from None
    frame["event_timestamp"] = moments
    if "asked_at_us" not in frame.columns:
        frame["asked_at_us"] = moments.astype("int64")
    return frame
