"""The whole way from fact revisions to both of Feast's stores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from feature_repo.store import open_store, require_online
from ingestion.features.apply import apply_repo
from ingestion.features.fold import Progress
from ingestion.features.online import Loaded, load_online
from ingestion.features.revisions import InTable, Revisions
from ingestion.features.snapshots import put_snapshots
from ingestion.features.streamed import fold_streamed
from parked.errors import ConflictError
from parked.scratch import scratch_folder
from parked.settings import Settings


@dataclass(frozen=True, slots=True)
class Built:
    """What a build made."""

    revisions: int
    snapshots: dict[str, int]
    online: dict[str, Loaded]


def build_features(
    settings: Settings,
    facts: pa.Table | Revisions,
    *,
    replace: bool = False,
    progress: Progress | None = None,
) -> Built:
    """Fold ``facts``, replace the snapshots, apply the declarations, load the online store, all of the rules in use.

    ``progress`` is called with the number of revisions just folded. Nothing is written where folding fails
    (InputError, InternalError), ``facts`` are of other rules (ConflictError) or the online store is a server that does
    not answer (SettingError).
    """
    revisions: Revisions = InTable(facts) if isinstance(facts, pa.Table) else facts
    _require_rules(settings, revisions.versions)
    require_online(settings)
    with scratch_folder(settings.features_dir) as scratch:
        folded = fold_streamed(revisions, scratch, progress)
        require_online(settings)
        put_snapshots(settings.features_dir, folded.files)
    apply_repo(settings)
    online = load_online(open_store(settings), folded.online, replace=replace)
    return Built(revisions.rows, dict(folded.rows), online)


def _require_rules(settings: Settings, versions: Iterable[str]) -> None:
    """One version's features never take another's place."""
    for version in versions:
        if version != settings.rules:
            raise ConflictError(
                f"facts of rules {version!r}, and rules {settings.rules!r} are in use", mend=f"say --rules {version}"
            )
