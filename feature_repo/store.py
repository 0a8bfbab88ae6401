"""Opening the feature store: one per process, at the home of the settings."""

from __future__ import annotations

import re
import string
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from feature_repo.redis_address import feast_connection
from parked.errors import InputError, NotFoundError
from parked.settings import FIRST_RULES, OnlineStoreKind, Settings

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

REPO_YAML: Final = Path(__file__).with_name("feature_store.yaml")
LMDB: Final = "feature_repo.lmdb_store.LmdbOnlineStore"
REDIS: Final = "feature_repo.redis_store.RedisOnlineStore"
_SQLITE: Final = "sqlite:///"
_PLAIN: Final = frozenset(string.ascii_lowercase + string.digits)


def home_of(yaml_file: Path, repo: Path = REPO_YAML.parent) -> Path:
    """The folder a feature_store.yaml keeps its data in (``Settings.rules_dir``), absolute: the one above its
    registry's. A relative path counts from ``repo``, as Feast does.

    Raises InputError for a file that names no registry in a file.
    """
    try:
        registry = str(_read(yaml_file)["registry"]["path"])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{yaml_file}: no registry path ({error!r})", mend="use feature_repo/feature_store.yaml"
        ) from None
    return (repo / registry.removeprefix(_SQLITE)).resolve().parent.parent


def project(rules: str = FIRST_RULES) -> str:
    """Feast's name of the project that holds the features of a rules version: no key of an online store is without it.

    One name per version, of lower case letters, digits and ``_``, which every store tells apart.

    >>> project("v1"), project("v2"), project("V2.b")
    ('where_you_parked', 'where_you_parked_v2', 'where_you_parked__562_2eb')
    """
    base = str(yaml.safe_load(REPO_YAML.read_text(encoding="utf-8"))["project"])
    if rules == FIRST_RULES:
        return base
    return f"{base}_" + "".join(c if c in _PLAIN else f"_{ord(c):02x}" for c in rules)


def rules_of(yaml_file: Path) -> str:
    """The rules version whose project a feature_store.yaml names. Raises InputError where it is none of ours."""
    named = str(_read(yaml_file).get("project"))
    base = project()
    spelt = re.sub("_([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), named.removeprefix(f"{base}_"))
    rules = FIRST_RULES if named == base else spelt
    if project(rules) != named:
        raise InputError(
            f"{yaml_file}: project {named!r} is none of ours", mend="use what `parked features apply` made"
        )
    return rules


def _read(yaml_file: Path) -> dict[str, Any]:
    try:
        told = yaml.safe_load(yaml_file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{yaml_file}: unreadable ({error!r})", mend="use feature_repo/feature_store.yaml") from None
    return told if isinstance(told, dict) else {}


def store_config(settings: Settings) -> dict[str, Any]:
    """The repo's feature_store.yaml with its paths under the home (absolute) and the online store of the settings.

    Raises SettingError for a Redis connection of no known form, and where its package is not installed.
    """
    config: dict[str, Any] = yaml.safe_load(REPO_YAML.read_text(encoding="utf-8"))
    config["project"] = project(settings.rules)
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
    """The process's FeatureStore at ``settings.home`` for the rules in use, always the same object (two would clear
    each other's caches).

    Raises what ``store_config`` raises; no online store is asked yet.
    """
    return _open(settings.home, settings.rules, settings.online_store, settings.redis_connection)


@lru_cache(maxsize=8)
def _open(home: Path, rules: str, online: OnlineStoreKind, redis_connection: str) -> FeatureStore:
    from feast import FeatureStore, RepoConfig

    class PlannedStore(FeatureStore):  # type: ignore[misc]
        """Says what an apply changes with any online store; Feast does so with SQLite alone."""

        def _should_use_plan(self) -> bool:
            return True

        def plan(self, *asked: Any, **options: Any) -> tuple[Any, Any, Any]:
            """Feast's; but tables of SQLite that are another setting's stay: a server may still answer from them."""
            registry, infra, made = super().plan(*asked, **options)
            if self.config.online_store.type != "sqlite":
                infra.infra_object_diffs.clear()
            return registry, infra, made

    settings = Settings(home=home, rules=rules, online_store=online, redis_connection=redis_connection)
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
