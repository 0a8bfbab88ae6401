"""What ``feast plan``, ``apply`` and ``ui`` read: the only file Feast imports here (see ``.feastignore``).

Feast imports a repo's files as top-level modules. If it met ``feature_repo``'s own modules so, each view would exist
twice (``objects`` and ``feature_repo.objects``) and clash; so everything is defined in the package and named here.
"""

import os
from pathlib import Path

import click

from feature_repo.objects import Objects, feast_objects
from feature_repo.store import home_of, rules_of
from feature_repo.store import project as project_of
from parked.settings import Settings


def _declared() -> Objects:
    """The objects of the rules version and the home that the feature_store.yaml in use belongs to, so that sources,
    registry and online store agree."""
    context = click.get_current_context(silent=True)
    chosen = context.obj.get("FS_YAML_FILE") if context is not None and isinstance(context.obj, dict) else None
    here = Path(__file__).resolve().parent
    yaml_file = Path(chosen or here / "feature_store.yaml")
    home, rules = home_of(yaml_file, here), rules_of(yaml_file)
    wanted = os.environ.get("PARKED_HOME")
    if wanted and Settings(home=Path(wanted), rules=rules).rules_dir != home:
        raise click.UsageError(
            f"PARKED_HOME={wanted} but this feature_store.yaml keeps its data in {home}; unset it, or run "
            "`parked features apply`, then `feast -f $PARKED_HOME/feast/feature_store.yaml ...`"
        )
    if context is not None:
        (home / "feast").mkdir(parents=True, exist_ok=True)  # SQLite makes files, not folders
    return feast_objects(home / "features", project=project_of(rules))


_objects = _declared()

project = _objects.project
device, candidate, place = _objects.entities.values()
candidate_state, device_state, place_state = _objects.views.values()
asked_at, asked = _objects.asked_at, _objects.asked
parking_v1, where_parked_v1, answered_v1 = _objects.services.values()
