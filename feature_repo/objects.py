"""The Feast objects, made from the declarations: entities, sources, views, the on-demand view, services."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import feast
import feast.types
from feast import Entity, FeatureService, FeatureView, Field, FileSource, OnDemandFeatureView, Project, RequestSource
from feast.data_format import ParquetFormat
from feast.value_type import ValueType

from feature_repo.asked import ASKED, ASKED_FEATURES, ASKED_INPUTS, ask
from feature_repo.declare import CANDIDATE, DEVICE, KEYS, PLACE, STAMPS, VIEWS, Catalogue, Dtype, declared
from feature_repo.services import DESCRIPTIONS, SERVICES

PROJECT: Final = "where_you_parked"
OWNER: Final = "parking"
TAGS: Final = {"layer": "feature"}
"""On every object: a feature is no guess (DESIGN.md: raw, fact, feature, interpretation)."""

ENTITIES: Final = {
    "device_id": ("device", "A phone."),
    "candidate_id": ("candidate", "A vehicle_left fact: a place where a vehicle leg ended."),
    "cell": ("place", "An H3 cell of resolution 10."),
}

ABOUT: Final = {
    CANDIDATE: "All that is known of one candidate: the leg before, what followed, where it went on.",
    DEVICE: "A phone's newest candidates, driving or not, and its habits.",
    PLACE: "What a phone did at and around a cell.",
}

FEAST_TYPES: Final = {dtype: getattr(feast.types, dtype.value) for dtype in Dtype}


@dataclass(frozen=True)
class Objects:
    """All Feast objects of the repo."""

    project: Project
    entities: dict[str, Entity]
    sources: dict[str, FileSource]
    views: dict[str, FeatureView]
    asked_at: RequestSource
    asked: OnDemandFeatureView
    services: dict[str, FeatureService]


def snapshot_file(features_dir: Path, view: str) -> Path:
    """The one Parquet file of a view's snapshots; replaced whole, so that no reader sees half of it."""
    return features_dir / view / "snapshots.parquet"


def feast_objects(features_dir: Path, catalogue: Catalogue | None = None, *, project: str = PROJECT) -> Objects:
    """The Feast objects over the snapshots in ``features_dir`` (absolute: Feast resolves a relative path against the
    working directory), with the features of ``catalogue`` (default: the platform's); ``project``: by the rules
    version (``feature_repo.store.project``)."""
    catalogue = catalogue or declared()
    entities = {
        key: Entity(
            name=name, join_keys=[key], value_type=ValueType.STRING, description=about, tags=dict(TAGS), owner=OWNER
        )
        for key, (name, about) in ENTITIES.items()
    }
    sources = {
        view: FileSource(
            name=f"{view}_snapshots",
            path=str(snapshot_file(features_dir, view)),
            timestamp_field="available_at",
            file_format=ParquetFormat(),
            description=f"Snapshots of {view}, stamped with the moment they became knowable.",
            tags=dict(TAGS),
            owner=OWNER,
        )
        for view in VIEWS
    }
    views = {view: _view(view, entities, sources[view], catalogue) for view in VIEWS}
    asked_at = RequestSource(
        name="asked_at",
        schema=[Field(name="asked_at_us", dtype=feast.types.Int64)],
        description="The moment asked about, microseconds since the epoch.",
        tags=dict(TAGS),
        owner=OWNER,
    )
    asked = _asked(views, asked_at)
    services = {
        name: FeatureService(
            name=name,
            features=[(asked if view == ASKED else views[view])[list(names)] for view, names in parts.items()],
            description=DESCRIPTIONS[name],
            tags=dict(TAGS),
            owner=OWNER,
        )
        for name, parts in SERVICES.items()
    }
    named = Project(name=project, description="Where You Parked", tags=dict(TAGS), owner=OWNER)
    return Objects(named, entities, sources, views, asked_at, asked, services)


def _view(view: str, entities: dict[str, Entity], source: FileSource, catalogue: Catalogue) -> FeatureView:
    """Time to live: none. A state holds until it changes (and Feast does not enforce a ttl online)."""
    return FeatureView(
        name=view,
        entities=[entities[key] for key in KEYS[view]],
        source=source,
        schema=[
            *(Field(name=key, dtype=feast.types.String) for key in KEYS[view]),
            *(
                Field(
                    name=feature.name,
                    dtype=FEAST_TYPES[feature.dtype],
                    description=feature.description,
                    tags={**TAGS, "owner": feature.owner, "since": feature.since},
                )
                for feature in catalogue.of(view)
            ),
            *(Field(name=name, dtype=FEAST_TYPES[dtype], tags=dict(TAGS)) for name, dtype in STAMPS.items()),
        ],
        online=True,
        description=ABOUT[view],
        tags=dict(TAGS),
        owner=OWNER,
    )


def _asked(views: dict[str, FeatureView], asked_at: RequestSource) -> OnDemandFeatureView:
    """Its fields carry no description: Feast would compare it with the inferred fields' empty one and refuse."""
    return OnDemandFeatureView(
        name=ASKED,
        sources=[asked_at, *(views[view][list(names)] for view, names in ASKED_INPUTS.items())],
        schema=[Field(name=name, dtype=FEAST_TYPES[dtype]) for name, dtype in ASKED_FEATURES.items()],
        mode="python",
        udf=ask,
        udf_string=inspect.getsource(ask),
        description="What depends on the moment asked: ages and the time of day by the sun.",
        tags=dict(TAGS),
        owner=OWNER,
    )
