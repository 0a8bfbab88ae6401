"""The training manifest: everything a model follows from, so that a refit gives the same model, and can prove it."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from parked.errors import InputError, NotFoundError
from parked.files import atomic_path, sha256_of, write_text
from training.config import TrainingConfig
from training.outliers import OutlierRules

LIBRARIES: Final = ("catboost", "numpy", "pandas", "pyarrow", "scikit-learn")
"""Those whose version may change a model's bytes."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class TableFile(_Part):
    """A Parquet file beside the manifest, named by its content."""

    file: str
    sha256: str
    rows: int


class Recipe(_Part):
    """All that decides the model. Its hash is the model's version, so the same recipe is the same tag."""

    name: str
    feature_service: str
    rules_version: str
    as_of: datetime
    """labels and snapshots known by then were used, no others"""
    cut_us: int
    """candidates left from here on (µs) were held out"""
    rows: TableFile
    """all rows, fitted and held out, in the order they were fitted in"""
    questions: TableFile
    features: list[str]
    categorical: list[str]
    counts: dict[str, Any]
    """labels by source, rows, candidates and devices by split, rows per outlier rule"""
    config: TrainingConfig
    config_sha256: str
    outliers: OutlierRules
    outliers_sha256: str
    code: dict[str, str]
    libraries: dict[str, str]

    def sha256(self) -> str:
        """Hex SHA-256 of the recipe's canonical JSON."""
        return digest(self.model_dump(mode="json"))

    def tag(self) -> str:
        """The model's tag in the BentoML store."""
        return f"{self.name}:{self.sha256()[:16]}"


class Outcome(_Part):
    """What the recipe gave."""

    model_sha256: str
    predictions_sha256: str
    """of the margins of all rows (``training.fit.prediction_hash``)"""
    calibration_slope: float
    calibration_intercept: float
    threshold: float


class Manifest(_Part):
    """Stored as ``<tag, colon as dash>.json`` in the manifests folder, and beside the model."""

    tag: str
    trained_at: datetime
    recipe: Recipe
    outcome: Outcome


def digest(value: Any) -> str:
    """Hex SHA-256 of a JSON value, keys sorted.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def manifest_path(manifests_dir: Path, tag: str) -> Path:
    """Where a model's manifest lies."""
    return manifests_dir / f"{tag.replace(':', '-')}.json"


def write_manifest(manifests_dir: Path, manifest: Manifest) -> Path:
    """Write a manifest durably; answers its path."""
    path = manifest_path(manifests_dir, manifest.tag)
    write_text(path, manifest.model_dump_json(indent=2) + "\n")
    return path


def read_manifest(path: Path) -> Manifest:
    """Read a manifest. Raises NotFoundError (no such file) and InputError (not a manifest, or altered since)."""
    try:
        manifest = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise NotFoundError(f"{path}: no such manifest", mend="see `parked models`") from None
    except (ValidationError, UnicodeDecodeError):
        raise InputError(f"{path}: not a training manifest", mend="give a file of the manifests folder") from None
    if manifest.recipe.tag() != manifest.tag:
        raise InputError(
            f"{path}: altered since it was written: its recipe is not that of {manifest.tag}", mend="restore it"
        )
    return manifest


def write_rows(manifests_dir: Path, stem: str, rows: pd.DataFrame) -> TableFile:
    """Write rows as ``<stem>-<first 16 digits of their hash>.parquet``: the same rows are one file."""
    table = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata(None)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content = sink.getvalue()
    sha256 = hashlib.sha256(content).hexdigest()
    name = f"{stem}-{sha256[:16]}.parquet"
    with atomic_path(manifests_dir / name) as temporary:
        temporary.write_bytes(content)
    return TableFile(file=name, sha256=sha256, rows=len(rows))


def read_rows(manifests_dir: Path, table: TableFile) -> pd.DataFrame:
    """Rows of a manifest, in their order. Raises NotFoundError (erased) and InputError (other bytes than written)."""
    path = manifests_dir / table.file
    if not path.is_file():
        raise NotFoundError(f"{path}: the manifest's rows are gone", mend="train again")
    if sha256_of(path) != table.sha256:
        raise InputError(
            f"{path}: not the rows the manifest names (another hash)", mend="restore the file, or train again"
        )
    frame: pd.DataFrame = pq.read_table(path).to_pandas()
    return frame


def library_versions() -> dict[str, str]:
    """Python and the libraries whose version may change a model."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def code_version() -> dict[str, str]:
    """Package version, a hash over ``training/*.py``, and the git commit where this is a checkout ("" where not)."""
    folder = Path(__file__).parent
    whole = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        whole.update(file.name.encode() + b"\x00" + file.read_bytes() + b"\x00")
    try:
        package = version("where-you-parked")
    except PackageNotFoundError:
        package = ""
    return {"package": package, "training_sha256": whole.hexdigest(), "git_commit": _commit(folder)}


def _commit(folder: Path) -> str:
    """The commit of the checkout that tracks ``folder``; "" where there is none (or it is another project's)."""
    try:
        _git(folder, "ls-files", "--error-unmatch", "manifest.py")
        return _git(folder, "rev-parse", "HEAD").strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True, timeout=10)
    return done.stdout
