"""Putting the declarations into Feast's registry: what ``feast apply`` does, at the home of the settings."""

from __future__ import annotations

import contextlib
import io
import sqlite3
import warnings
from pathlib import Path

import yaml

from feature_repo.declare import Catalogue
from feature_repo.redis_address import IN_ENVIRONMENT
from feature_repo.store import forget_services, open_store, require_online, sqlite_file, store_config
from ingestion.features.snapshots import write_missing
from parked.files import write_text
from parked.settings import Settings


def apply_repo(settings: Settings, catalogue: Catalogue | None = None) -> str:
    """Make the registry and the online tables what the declarations say; returns Feast's account of what changed.

    Objects no longer declared are deleted. Views without snapshots get an empty file. Applying twice changes nothing.
    Also writes ``<rules_dir>/feast/feature_store.yaml`` with absolute paths, for Feast's own commands at another place
    than the default (``feast -c feature_repo -f <that file> ui``).
    Raises SettingError, and changes nothing, where the online store is a server that does not answer.
    """
    from feast.feature_view import DUMMY_ENTITY
    from feast.infra.registry.base_registry import BaseRegistry
    from feast.repo_contents import RepoContents
    from feast.repo_operations import apply_total_with_repo_instance

    from feature_repo.objects import feast_objects

    require_online(settings)
    settings.feast_dir.mkdir(parents=True, exist_ok=True)
    store = open_store(settings)
    write_missing(settings.features_dir, catalogue)
    if settings.online_store == "sqlite":
        readers_beside_writers(sqlite_file(settings))
    objects = feast_objects(settings.features_dir, catalogue, project=store.project)
    contents = RepoContents(
        projects=[objects.project],
        data_sources=[*objects.sources.values(), objects.asked_at],
        entities=[*objects.entities.values(), DUMMY_ENTITY],  # as `feast apply` does; on-demand views need it
        feature_views=list(objects.views.values()),
        feature_services=list(objects.services.values()),
        on_demand_feature_views=[objects.asked],
        stream_feature_views=[],
        label_views=[],
        permissions=[],
    )
    registry: BaseRegistry = store.registry
    before = store.list_feature_views()
    account = io.StringIO()
    with contextlib.redirect_stdout(account), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="On demand feature view is an experimental feature")
        apply_total_with_repo_instance(store, store.project, registry, contents, skip_source_validation=True)
    # Applying by plan, Feast tells only SQLite of its views; a server opens the store before any row is there.
    gone = [view for view in before if view.name not in objects.views]
    online = store._get_provider().online_store
    online.update(store.config, gone, list(objects.views.values()), [], [], partial=False)
    store.refresh_registry()
    forget_services(store)
    config = store_config(settings)
    if settings.online_store == "redis" and "password=" in settings.redis_connection:
        config["online_store"]["connection_string"] = IN_ENVIRONMENT
    write_text(settings.feast_dir / "feature_store.yaml", yaml.safe_dump(config, sort_keys=False))
    return account.getvalue()


def readers_beside_writers(online: Path) -> None:
    """WAL, which SQLite remembers in the file: servers read while a build writes."""
    with contextlib.closing(sqlite3.connect(online)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
