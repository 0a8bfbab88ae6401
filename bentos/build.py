"""Packaging: a bento holding our code and the published model, which serves on its own (``bentoml serve TAG``).

Built from a copy of the three packages it needs, so that nothing else of a checkout can slip in, by ``bentoml build``
in a process of its own: BentoML reads its home once per process. Offline; requirements are named by the versions
installed here, without any index.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from bentos.launch import SERVICE, server_environment
from bentos.model.scorer import load_scorer, model_dir_of
from parked.errors import InternalError, NotFoundError
from parked.pointer import Pointer, published, write_pointer
from parked.settings import OnlineStoreKind, Settings

PACKAGES = ("parked", "feature_repo", "bentos")
NEEDS = (
    "alembic",
    "bentoml",
    "catboost",
    "feast[duckdb]",
    "h3",
    "httptools",
    "lmdb",
    "msgpack",
    "numba",
    "numpy",
    "pandas",
    "prometheus-client",
    "pyarrow",
    "pydantic",
    "pydantic-settings",
    "pyyaml",
    "sqlalchemy",
    "structlog",
    "uvloop",
)
"""What those packages import, as installed here."""


def build_bento(settings: Settings) -> str:
    """Build a bento of the service with the published model of the rules in use inside; returns its tag.

    Raises NotFoundError where nothing is published, ConflictError where it is of other rules, InternalError where the
    model is damaged or BentoML fails.
    """
    pointer = published(settings)
    if pointer is None:
        raise NotFoundError("no model is published", mend="run `parked train`, then `parked publish`")
    load_scorer(model_dir_of(settings, pointer.model_tag), pointer.model_tag)
    with tempfile.TemporaryDirectory(prefix="parked-bento-") as folder:
        context = Path(folder)
        _lay_out(context, pointer, settings.online_store)
        return _run_build(settings, context)


def bentofile(pointer: Pointer, online: OnlineStoreKind = "lmdb") -> dict[str, Any]:
    """``bentofile.yaml`` of the service with ``pointer``'s model inside, for this online store."""
    needs = (*NEEDS, "redis") if online == "redis" else NEEDS
    return {
        "service": SERVICE,
        "description": "Where You Parked: features and the published model in, where the vehicle is out.",
        "labels": {
            "model": pointer.model_tag.replace(":", "_"),
            "generation": str(pointer.generation),
            "rules_version": pointer.rules_version,
        },
        "include": [f"{package}/" for package in PACKAGES],
        "exclude": ["__pycache__/"],
        "models": [pointer.model_tag],
        "python": {"packages": [f"{need}=={version(need.split('[')[0])}" for need in needs], "lock_packages": False},
    }


def _lay_out(context: Path, pointer: Pointer, online: OnlineStoreKind) -> None:
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise InternalError(f"package {package} is not installed")
        source = Path(next(iter(spec.submodule_search_locations)))
        shutil.copytree(source, context / package, ignore=shutil.ignore_patterns("__pycache__"))
    write_pointer(context / "bentos" / "seed.json", pointer)
    (context / "bentofile.yaml").write_text(
        yaml.safe_dump(bentofile(pointer, online), sort_keys=False), encoding="utf-8"
    )


def _run_build(settings: Settings, context: Path) -> str:
    built = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", str(context), "--output", "tag"],
        cwd=context,
        env=server_environment(settings, workers=1),
        capture_output=True,
        text=True,
        check=False,
    )
    tags = [line.removeprefix("__tag__:") for line in built.stdout.splitlines() if line.startswith("__tag__:")]
    if built.returncode or not tags:
        said = (built.stderr or built.stdout).strip().splitlines()
        raise InternalError(f"bentoml build failed: {said[-1] if said else built.returncode}")
    return tags[0].strip()
