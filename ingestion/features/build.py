"""The whole way from fact revisions to both of Feast's stores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo.store import open_store, require_online
from ingestion.features.apply import apply_repo
from ingestion.features.fold import fold_facts
from ingestion.features.online import Loaded, load_online
from ingestion.features.snapshots import write_snapshots
from parked.errors import ConflictError, InputError
from parked.files import check_once
from parked.settings import Settings

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Built:
    """What a build made."""

    revisions: int
    snapshots: dict[str, int]
    online: dict[str, Loaded]


def read_facts(path: Path) -> pa.Table:
    """A FACTS file. Raises InputError where it is missing or no Parquet file."""
    try:
        facts = pq.ParquetFile(path).read()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", mend="run `parked facts build`") from None
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: not a Parquet file ({str(error).splitlines()[0]})", mend="check the path") from None
    check_once(str(path), facts.column_names)
    return facts


def build_features(
    settings: Settings,
    facts: pa.Table,
    *,
    replace: bool = False,
    progress: Progress | None = None,
) -> Built:
    """Fold ``facts``, replace the snapshots, apply the declarations, load the online store, all of the rules in use.

    ``progress`` is called with the number of revisions just folded. Nothing is written where folding fails
    (InputError, InternalError), ``facts`` are of other rules (ConflictError) or the online store is a server that does
    not answer (SettingError).
    """
    _require_rules(settings, facts)
    snapshots = fold_facts(facts, progress=progress)
    require_online(settings)
    write_snapshots(settings.features_dir, snapshots)
    apply_repo(settings)
    online = load_online(open_store(settings), snapshots, replace=replace)
    return Built(facts.num_rows, {view: table.num_rows for view, table in snapshots.items()}, online)


def _require_rules(settings: Settings, facts: pa.Table) -> None:
    """One version's features never take another's place."""
    if "rules_version" not in facts.column_names:
        return  # said with the other columns that are missing
    for version in pc.unique(facts["rules_version"]).to_pylist():
        if version != settings.rules:
            raise ConflictError(
                f"facts of rules {version!r}, and rules {settings.rules!r} are in use", mend=f"say --rules {version}"
            )
