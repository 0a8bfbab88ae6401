"""What the LMDB online store needs for a view, as Feast's ``plan`` names it.

Feast 0.67 shows and applies differences of SQLite and Datastore tables alone (``feast/diff/infra_diff.py``); it keeps
these objects in the registry, and ``parked features apply`` tells the store of its views itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feast.infra.infra_object import InfraObject
from feast.protos.feast.core.InfraObject_pb2 import InfraObject as InfraObjectProto

from feature_repo.packed import declare, drop, file_of


class LmdbView(InfraObject):  # type: ignore[misc]
    """A view's fields in the file of a folder."""

    def __init__(self, path: Path, view: bytes, fields: Mapping[str, str]) -> None:
        """``fields``: name → type, EVENT_US first, as ``packed.declare`` takes them."""
        super().__init__(view.decode())
        self.path, self.view, self.fields = path, view, dict(fields)

    def to_proto(self) -> Any:
        """What is kept of it: JSON, as Feast has no message for others' objects."""
        told = {"path": str(self.path), "view": self.view.decode(), "fields": self.fields}
        return InfraObjectProto.CustomInfra(field=json.dumps(told).encode())

    def to_infra_object_proto(self) -> Any:
        """With the name of this class, by which Feast finds it again."""
        kind = f"{type(self).__module__}.{type(self).__name__}"
        return InfraObjectProto(infra_object_class_type=kind, custom_infra=self.to_proto())

    @staticmethod
    def from_infra_object_proto(infra_object_proto: Any) -> LmdbView:
        """The other way of ``to_infra_object_proto``."""
        return LmdbView.from_proto(infra_object_proto.custom_infra)

    @staticmethod
    def from_proto(infra_object_proto: Any) -> LmdbView:
        """The other way of ``to_proto``."""
        told = json.loads(infra_object_proto.field)
        fields = told["fields"]
        # Registries written before types were told hold names alone.
        known = fields if isinstance(fields, dict) else dict.fromkeys(fields, "")
        # And older ones, a view with the zero byte that its rows' keys had after it.
        return LmdbView(Path(told["path"]), told["view"].rstrip("\x00").encode(), known)

    def update(self) -> None:
        """Make the file where it is not, and declare the fields."""
        file = file_of(self.path)
        file.view(self.view, make=True)
        with file.begin(write=True) as transaction:
            declare(transaction, self.view, self.fields)

    def teardown(self) -> None:
        """Remove the view's rows; the file stays, as other views' rows are in it."""
        file = file_of(self.path)
        handle = file.view(self.view)
        with file.begin(write=True) as transaction:
            drop(transaction, self.view, handle)
