"""Settings: every one has a default, ``PARKED_<NAME>`` in the environment overrides it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import Field, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from parked.errors import SettingError

OnlineStoreKind = Literal["lmdb", "sqlite", "redis"]

RulesVersion = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")]
"""Names folders: letters, digits, . _ - with no leading dot."""

FIRST_RULES: Final = "v1"
"""The version whose places are those of a home that knew of no other."""

S = TypeVar("S", bound=BaseSettings)


class Settings(BaseSettings):
    """Where things live and how stages are tuned. Paths are absolute after loading."""

    model_config = SettingsConfigDict(env_prefix="PARKED_", frozen=True, extra="ignore")

    home: Path = Field(default=Path("var"), description="the one folder for all generated data")
    database_url: str = Field(
        default="", description="SQLAlchemy URL of the operations database; empty: SQLite in home"
    )
    host: str = Field(default="127.0.0.1", description="address servers listen on")
    port: int = Field(default=3000, ge=0, le=65535, description="port of the REST service")
    online_store: OnlineStoreKind = Field(
        default="lmdb", description="Feast's online store: lmdb or sqlite in home, redis for several machines"
    )
    redis_connection: str = Field(
        default="127.0.0.1:6379", repr=False, description="where Redis is: host:port[,db=0][,password=...]"
    )
    rules: RulesVersion = Field(
        default=FIRST_RULES, description="stop rules in use: a packaged version, or one that facts were built by here"
    )
    as_if_live_lag_s: float = Field(default=0.0, ge=0, description="stated lag where received_at is not known")
    pointer_poll_s: float = Field(default=0.5, gt=0, description="how often a server looks for a new champion")
    publish_wait_s: float = Field(
        default=30.0, gt=0, description="how long a publish waits for the running servers before it is undone"
    )

    def model_post_init(self, _context: object) -> None:
        """Make ``home`` absolute: Feast and BentoML resolve relative paths against changing folders."""
        object.__setattr__(self, "home", self.home.expanduser().resolve())

    @cached_property
    def database(self) -> str:
        """The operations database's URL."""
        return self.database_url or f"sqlite:///{self.home / 'ops.db'}"

    @property
    def raw_dir(self) -> Path:
        """Immutable raw segments: ``fixes/`` and ``motion/``, Parquet of RAW_FIXES / RAW_MOTION."""
        return self.home / "raw"

    @property
    def facts_dir(self) -> Path:
        """Fact revisions by rules version: ``<rules_version>/facts.parquet``."""
        return self.home / "facts"

    @property
    def rules_dir(self) -> Path:
        """What is derived from the facts of the rules in use: features, Feast's stores, the pointer, who serves it."""
        return self.home if self.rules == FIRST_RULES else self.home / "rules" / self.rules

    @property
    def features_dir(self) -> Path:
        """Feature snapshots: ``<view>/*.parquet``."""
        return self.rules_dir / "features"

    @property
    def feast_dir(self) -> Path:
        """Feast's registry and online store."""
        return self.rules_dir / "feast"

    @property
    def bentoml_home(self) -> Path:
        """BentoML's model and bento store."""
        return self.home / "bentoml"

    @property
    def manifests_dir(self) -> Path:
        """Training manifests: ``<model tag>.json`` and their rows."""
        return self.home / "manifests"

    @property
    def reports_dir(self) -> Path:
        """Evidently reports and evaluation reports."""
        return self.home / "reports"

    @property
    def predictions_dir(self) -> Path:
        """The prediction log: Parquet parts written by the servers."""
        return self.home / "predictions"

    @property
    def pointer_file(self) -> Path:
        """The published pointer: which model is champion (``parked.pointer``)."""
        return self.rules_dir / "published.json"


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment, with ``overrides`` on top.

    Raises SettingError naming the first wrong setting.
    """
    if os.environ.get("PARKED_RULES_FILE"):
        raise SettingError(
            "PARKED_RULES_FILE is no setting any more",
            mend="unset it, run `parked facts build --rules FILE` once, then name its version in PARKED_RULES",
        )
    return read_settings(Settings, overrides)


def read_settings(kind: type[S], overrides: Mapping[str, Any]) -> S:
    """Settings of a ``kind`` from the environment, with ``overrides`` (None: not given) on top.

    Raises SettingError naming the first wrong setting as it is spelt in the environment.
    """
    try:
        return kind(**{k: v for k, v in overrides.items() if v is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"])
        prefix = kind.model_config["env_prefix"]
        raise SettingError(
            f"{prefix}{name.upper()}={first.get('input')!r}: {first['msg']}", mend="correct or unset it"
        ) from None
