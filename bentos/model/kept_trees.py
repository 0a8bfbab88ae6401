"""Trees proved equal to CatBoost's are kept, so that the next worker, or the next start, need not prove them again.

A proof takes seconds of CPU and CatBoost itself: a hundred megabytes of a worker that then never calls it. What
is kept holds only for the same model file, card, code, libraries and processor; anything else is proved afresh.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import structlog

from bentos.model.proof import with_trees
from bentos.model.scorer import CARD_FILE, MODEL_FILE, Scorer, card_of, catboost_model, load_scorer, model_dir_of
from bentos.model.trees import Trees
from parked.files import atomic_path, sha256_of
from parked.settings import Settings

log = structlog.get_logger(__name__)

MOST: Final = 8
"""Models whose trees are kept; older ones go."""

_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile)


def load_proved(settings: Settings, tag: str) -> Scorer:
    """The scorer of ``tag`` with its trees, if they are proved equal; else CatBoost evaluates it (with a line in the
    log). Of several workers one proves and the others wait for it.

    Raises what ``bentos.model.scorer.load_scorer`` raises.
    """
    folder = model_dir_of(settings, tag)
    try:
        named = _what_it_holds_for(folder)
    except OSError:
        return with_trees(load_scorer(folder, tag), settings)  # whose words on what is missing are better
    kept = settings.home / "serving" / "trees" / f"{named}.npz"
    with _one_at_a_time(kept.parent):
        trees = _read(kept)
        if trees is not None:
            card, positions = card_of(folder, tag)
            return Scorer(tag, card, lambda: catboost_model(folder, tag, card), positions, trees)
        scorer = with_trees(load_scorer(folder, tag), settings)
        if scorer.trees is not None:
            _keep(kept, scorer.trees)
    # What proved it is not kept in memory: CatBoost is for explanations, on the few workers that are asked for any.
    return replace(scorer, load=lambda: catboost_model(folder, tag, scorer.card)) if scorer.trees else scorer


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """One process at a time; where the folder cannot be written, each for itself."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("ab")
    except OSError:
        yield
        return
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _what_it_holds_for(folder: Path) -> str:
    parts = [sha256_of(folder / MODEL_FILE), sha256_of(folder / CARD_FILE), _ours()]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


@lru_cache(maxsize=1)
def _ours() -> str:
    """The code that lets a model pass, proves and evaluates it, the libraries below it, the processor."""
    from llvmlite import binding

    sources = [
        sha256_of(Path(__file__).with_name(name)) for name in ("genuine.py", "proof.py", "trees.py", "tree_kernel.py")
    ]
    versions = [version(name) for name in ("catboost", "numba", "llvmlite", "numpy")]
    return " ".join([*sources, *versions, binding.get_host_cpu_name()])


def _keep(file: Path, trees: Trees) -> None:
    try:
        with atomic_path(file) as temporary, temporary.open("wb") as out:
            np.savez(out, **_packed(trees))
        for old in sorted(file.parent.glob("*.npz"), key=lambda path: path.stat().st_mtime)[:-MOST]:
            old.unlink(missing_ok=True)
    except OSError as error:
        log.warning("trees_not_kept", error=str(error))


def _read(file: Path) -> Trees | None:
    if not file.exists():
        return None
    try:
        with np.load(file, allow_pickle=False) as told:
            return _unpacked(dict(told))
    except _DAMAGE as error:
        log.warning("kept_trees_unreadable", error=repr(error))
        return None


def _packed(trees: Trees) -> dict[str, Any]:
    shape = {
        "width": trees.width,
        "names": trees.names,
        "numeric": trees.numeric,
        "categories": [(position, category.hashes) for position, category in trees.categories],
        "scalars": [float(number) for number in trees.arrays[6:]],
    }
    arrays = {f"array_{k}": array for k, array in enumerate(trees.arrays[:6])}
    # JSON writes a double as the shortest text that reads back as the same double.
    return arrays | {"shape": np.frombuffer(json.dumps(shape).encode(), np.uint8)}


def _unpacked(told: dict[str, Any]) -> Trees:
    shape = json.loads(told["shape"].tobytes())
    arrays = tuple(told[f"array_{k}"] for k in range(6))
    categories = [(position, tuple(hashes)) for position, hashes in shape["categories"]]
    return Trees.of(
        shape["width"], tuple(shape["names"]), tuple(shape["numeric"]), categories, (*arrays, *shape["scalars"])
    )
