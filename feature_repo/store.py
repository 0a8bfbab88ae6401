"""Opening the feature store: one per process, at the home of the settings."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from feature_repo.redis_address import feast_connection
from parked.errors import InputError, NotFoundError
from parked.settings import OnlineStoreKind, Settings

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

REPO_YAML: Final = Path(__file__).with_name("feature_store.yaml")
LMDB: Final = "feature_repo.lmdb_store.LmdbOnlineStore"
REDIS: Final = "feature_repo.redis_store.RedisOnlineStore"
_SQLITE: Final = "sqlite:///"


def home_of(yaml_file: Path, repo: Path = REPO_YAML.parent) -> Path:
    """The home a feature_store.yaml keeps its data in, absolute: the folder above its registry's. A relative path
    counts from ``repo``, as Feast does.

    Raises InputError for a file that names no registry in a file.
    """
    try:
        registry = str(yaml.safe_load(yaml_file.read_text(encoding="utf-8"))["registry"]["path"])
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise InputError(
            f"{yaml_file}: no registry path ({error!r})", mend="use feature_repo/feature_store.yaml"
        ) from None
    return (repo / registry.removeprefix(_SQLITE)).resolve().parent.parent


def project() -> str:
    """Feast's name of the project: what the keys of the online store begin with."""
    return str(yaml.safe_load(REPO_YAML.read_text(encoding="utf-8"))["project"])


def store_config(settings: Settings) -> dict[str, Any]:
    """The repo's feature_store.yaml with its paths under the home (absolute) and the online store of the settings.

    Raises SettingError for a Redis connection of no known form, and where its package is not installed.
    """
    config: dict[str, Any] = yaml.safe_load(REPO_YAML.read_text(encoding="utf-8"))
    feast_dir = settings.feast_dir
    config["registry"]["path"] = f"{_SQLITE}{feast_dir / 'registry.db'}"
    if settings.online_store == "lmdb":
        config["online_store"]["path"] = str(lmdb_folder(settings))
    elif settings.online_store == "sqlite":
        config["online_store"] = {"type": "sqlite", "path": str(sqlite_file(settings))}
    else:
        connection = feast_connection(settings.redis_connection)
        config["online_store"] = {"type": REDIS, "connection_string": connection}
    return config


def require_online(settings: Settings) -> None:
    """Raises SettingError where the online store is a server and does not answer. For who is about to change things."""
    if settings.online_store == "redis":
        connection = feast_connection(settings.redis_connection)
        from feature_repo.redis_store import require_answer

        require_answer(connection)


def lmdb_folder(settings: Settings) -> Path:
    """Our LMDB online store."""
    return settings.feast_dir / "online.lmdb"


def sqlite_file(settings: Settings) -> Path:
    """Feast's SQLite online store."""
    return settings.feast_dir / "online.db"


def open_store(settings: Settings) -> FeatureStore:
    """The process's FeatureStore at ``settings.home``, always the same object (two would clear each other's caches).

    Raises what ``store_config`` raises; no online store is asked yet.
    """
    return _open(settings.home, settings.online_store, settings.redis_connection)


@lru_cache(maxsize=8)
def _open(home: Path, online: OnlineStoreKind, redis_connection: str) -> FeatureStore:
    from feast import FeatureStore, RepoConfig

    class PlannedStore(FeatureStore):  # type: ignore[misc]
        """Says what an apply changes with any online store; Feast does so with SQLite alone."""

        def _should_use_plan(self) -> bool:
            return True

    settings = Settings(home=home, online_store=online, redis_connection=redis_connection)
    return PlannedStore(config=RepoConfig(**store_config(settings), repo_path=REPO_YAML.parent))


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
