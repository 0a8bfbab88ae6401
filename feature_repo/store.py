"""Opening the feature store: one per process, at the home of the settings."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from parked.errors import InputError, NotFoundError
from parked.settings import OnlineStoreKind, Settings

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

REPO_YAML: Final = Path(__file__).with_name("feature_store.yaml")
_SQLITE: Final = "sqlite:///"


def home_of(yaml_file: Path, repo: Path = REPO_YAML.parent) -> Path:
    """The home a feature_store.yaml keeps its data in, absolute: the folder above its online store's. A relative path
    counts from ``repo``, as Feast does.

    Raises InputError for a file that names no online store in a file.
    """
    try:
        online = Path(yaml.safe_load(yaml_file.read_text(encoding="utf-8"))["online_store"]["path"])
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise InputError(
            f"{yaml_file}: no online_store path ({error!r})", mend="use feature_repo/feature_store.yaml"
        ) from None
    return (repo / online).resolve().parent.parent


def store_config(home: Path, online: OnlineStoreKind = "lmdb") -> dict[str, Any]:
    """The repo's feature_store.yaml with its paths under ``home`` (absolute) and the online store asked for."""
    config: dict[str, Any] = yaml.safe_load(REPO_YAML.read_text(encoding="utf-8"))
    config["registry"]["path"] = f"{_SQLITE}{home / 'feast' / 'registry.db'}"
    config["online_store"]["path"] = str(online_path(home, online))
    if online == "sqlite":
        config["online_store"]["type"] = "sqlite"
    return config


def online_path(home: Path, online: OnlineStoreKind) -> Path:
    """The embedded online store: a folder for LMDB, a file for SQLite."""
    return home / "feast" / ("online.db" if online == "sqlite" else "online.lmdb")


def open_store(settings: Settings) -> FeatureStore:
    """The process's FeatureStore at ``settings.home``, always the same object (two would clear each other's caches)."""
    return _open(settings.home, settings.online_store)


@lru_cache(maxsize=8)
def _open(home: Path, online: OnlineStoreKind) -> FeatureStore:
    from feast import FeatureStore, RepoConfig

    class PlannedStore(FeatureStore):  # type: ignore[misc]
        """Says what an apply changes with any online store; Feast does so with SQLite alone."""

        def _should_use_plan(self) -> bool:
            return True

    return PlannedStore(config=RepoConfig(**store_config(home, online), repo_path=REPO_YAML.parent))


def service(store: FeatureStore, name: str) -> FeatureService:
    """The feature service as applied, looked up once per store (each look-up costs milliseconds).

    Raises NotFoundError where it was not applied.
    """
    from feast.errors import FeatureServiceNotFoundException

    known: dict[str, FeatureService] = store.__dict__.setdefault("_parked_services", {})
    if name not in known:
        try:
            _check_registry(store.config.registry.path)
            known[name] = store.get_feature_service(name)
        except FeatureServiceNotFoundException:
            raise NotFoundError(
                f"feature service {name!r} is not applied", mend="run `parked features apply`"
            ) from None
    return known[name]


def _check_registry(path: str) -> None:
    """A registry in a file must exist: asking Feast would make an empty one."""
    registry = path.removeprefix(_SQLITE)
    if path.startswith(_SQLITE) and not Path(registry).exists():
        raise NotFoundError(f"{registry}: no feature registry", mend="run `parked features build` (or apply)")


def forget_services(store: FeatureStore) -> None:
    """Look services up afresh: after an apply."""
    store.__dict__.pop("_parked_services", None)
