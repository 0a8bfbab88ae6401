"""The ``FeatureSource`` over the LMDB online store, read as packed rows: what Feast's own call gives, quicker.

``FeatureStore.get_online_features`` resolves a service, builds protobuf keys, turns every value into protobuf and back
and runs the on-demand view row by row. Here all of that is worked out once (``_Plan``): a request is a few reads of the
memory map in one transaction, one ``itemgetter`` a row, and the on-demand view's very own function over all rows. A
test holds both ways to the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any
from weakref import WeakKeyDictionary

import msgpack

from bentos.answer import Candidate, of_values
from bentos.model.packed_scorer import PackedScorer
from bentos.model.row_kernel import NEW_WORD
from bentos.model.scorer import Fed, Scorer
from bentos.ports import CandidateKey, DeviceFacts, FeatureSource, Values
from bentos.store.features import RANKS
from feature_repo.asked import ASKED, ASKED_INPUTS, ask
from feature_repo.declare import CANDIDATE, DEVICE, PLACE
from feature_repo.packed import EMPTY, LONGEST_KEY, PackedRows, forget_replaced, key_of, view_of
from feature_repo.services import SERVICES
from feature_repo.store import lmdb_folder, project
from parked.errors import NotFoundError
from parked.settings import Settings

_VIEWS = (CANDIDATE, DEVICE, PLACE)
_STEMS = ("candidate", "cell", "left_at_us", "lat", "lon", "uncertainty_m", "ended_at_us", "return_m", "reasons")


class _Plan:
    """Where each feature of a service lies in a candidate's, its phone's and its place's rows laid end to end."""

    def __init__(self, service: str, names: Sequence[str], fields: dict[str, list[str]]) -> None:
        """Raises NotFoundError for a service or feature that is not declared."""
        view_of = {name: view for view, its in SERVICES.get(service, {}).items() for name in its}
        starts = {CANDIDATE: 0, DEVICE: len(fields[CANDIDATE]), PLACE: len(fields[CANDIDATE]) + len(fields[DEVICE])}
        width = starts[PLACE] + len(fields[PLACE])
        asked = [name for name in names if view_of.get(name) == ASKED]
        positions = []
        for name in names:
            view = view_of.get(name)
            if view is None or (view != ASKED and name not in fields[view]):
                raise NotFoundError(f"feature service {service!r} does not serve {name!r}")
            at = width + asked.index(name) if view == ASKED else starts[view] + fields[view].index(name)
            positions.append(at)
        self.pick: Callable[[Sequence[Any]], Values] = itemgetter(*positions)
        self.asked = asked
        self.inputs = [
            (name, starts[view] + fields[view].index(name))
            for view, inputs in ASKED_INPUTS.items()
            for name in (inputs if asked else ())
        ]


class LmdbSource(FeatureSource):
    """The embedded online store as serving sees it. Reads take microseconds and wait for nobody."""

    inline = True

    def __init__(self, rows: PackedRows, project: str) -> None:
        """``rows`` of a store that the repo is applied to (it may hold none yet).

        Raises NotFoundError where it knows nothing of the views: the repo was applied to another store, or to none.
        """
        self._rows = rows
        self._view = {view: view_of(project, view) for view in _VIEWS}
        self._fields = {view: rows.fields(self._view[view]) for view in _VIEWS}
        bare = [view for view, fields in self._fields.items() if not fields]
        if bare:
            raise NotFoundError(f"online store: {bare[0]} is not applied to it", mend="run `parked features build`")
        self._candidates, self._devices, self._places = (rows.handle(self._view[view]) for view in _VIEWS)
        self._blank = {view: (None,) * len(fields) for view, fields in self._fields.items()}
        self._plans: dict[tuple[str, tuple[str, ...]], _Plan] = {}
        self._packed: WeakKeyDictionary[Scorer, PackedScorer] = WeakKeyDictionary()
        place = self._fields[DEVICE].index
        self._ranks = [itemgetter(*(place(f"{stem}_{rank}") for stem in _STEMS)) for rank in RANKS]
        self._as_of = itemgetter(place("facts_as_of_us"), place("driving"))

    @classmethod
    def open(cls, settings: Settings) -> LmdbSource:
        """Over the home's online store of the rules in use. Raises NotFoundError where there is none, or nothing is
        applied to it, InputError where it is damaged, ConflictError where one of its files was taken away alone."""
        path = lmdb_folder(settings)
        if not path.is_dir():
            raise NotFoundError(f"{path}: no online store", mend="run `parked features build` (or apply)")
        forget_replaced(path)
        return cls(PackedRows(path), project(settings.rules))

    def replaced(self) -> bool:
        """Whether the file was removed, or another one is in its place."""
        return self._rows.replaced()

    def knows_any(self) -> bool:
        """Whether a phone was loaded: devices come last."""
        return bool(self._rows.first(self._view[DEVICE], 1))

    def devices(self, device_ids: Sequence[str]) -> list[DeviceFacts | None]:
        """One entry per id, in order; None for a device without a ``device_state``."""
        (rows,) = self._rows.stored((self._devices, [key_of((device_id,)) for device_id in device_ids]))
        return [None if row == EMPTY else self._facts(name, row) for name, row in zip(device_ids, rows, strict=True)]

    def sample(self, asked_at_us: int) -> list[CandidateKey]:
        """The candidates of the first phone that has any, if one of the first hundred does."""
        for name, row in self._rows.first(self._view[DEVICE], 100):
            facts = None if name.startswith(b"\x00") else self._facts(name.decode(), row)  # such a key is a hash
            if facts is not None and facts.candidates:
                told = facts.device_id
                return [CandidateKey(told, c.candidate_id, c.cell, asked_at_us, row) for c in facts.candidates]
        return []

    def _facts(self, device_id: str, stored: bytes) -> DeviceFacts | None:
        row = self._whole(DEVICE, msgpack.unpackb(stored, use_list=False))
        as_of_us, driving = self._as_of(row)
        if as_of_us is None:
            return None
        candidates = []
        for pick in self._ranks:
            found = pick(row)
            if found[0]:
                if not (found[1] and found[8]):
                    found = (found[0], found[1] or "", *found[2:8], found[8] or "")
                candidates.append(of_values(Candidate, found))
        return DeviceFacts(device_id, tuple(candidates), bool(driving), as_of_us, stored)

    def values(self, service: str, names: Sequence[str], keys: Sequence[CandidateKey]) -> list[Values]:
        """The features ``names`` of FeatureService ``service``, one row per key, in order. Raises NotFoundError."""
        plan = self._plan(service, names)
        found = self._rows.rows(
            {
                self._view[CANDIDATE]: [key_of((key.candidate_id,)) for key in keys],
                self._view[DEVICE]: [key_of((key.device_id,)) for key in keys],
                self._view[PLACE]: [key_of((key.device_id, key.cell)) for key in keys],
            }
        )
        rows = [
            self._whole(CANDIDATE, candidate) + self._whole(DEVICE, device) + self._whole(PLACE, place)
            for candidate, device, place in zip(*(found[self._view[view]] for view in _VIEWS), strict=True)
        ]
        if not plan.asked:
            return [plan.pick(row) for row in rows]
        inputs: dict[str, list[Any]] = {name: [row[at] for row in rows] for name, at in plan.inputs}
        inputs["asked_at_us"] = [key[3] for key in keys]
        told = ask(inputs)
        pick = plan.pick
        answers = zip(*(told[name] for name in plan.asked), strict=True)
        return [pick(row + answer) for row, answer in zip(rows, answers, strict=True)]

    def evaluate(self, scorer: Scorer, keys: Sequence[CandidateKey]) -> tuple[list[float], Fed]:
        """As ``FeatureSource`` says, where the model's trees are arrays: from the packed rows, without values."""
        if scorer.trees is None:
            return super().evaluate(scorer, keys)
        packed = self._packed.get(scorer)
        if packed is None:
            packed = self._packed[scorer] = PackedScorer(scorer, scorer.trees, self._fields)
        fresh: list[bool] = []
        devices: list[bytes] = []
        candidates: list[bytes] = []
        places: list[bytes] = []
        before, owner = None, b""
        for device_id, candidate_id, cell, _, row in keys:
            fresh.append(device_id != before)
            if device_id != before:
                before, name = device_id, device_id.encode()
                owner = b"%d:%b" % (len(name), name)
                devices.append(row)
            where = cell.encode()
            candidates.append(candidate_id.encode())
            places.append(b"%b%d:%b" % (owner, len(where), where))
        if max(map(len, candidates)) > LONGEST_KEY or max(map(len, places)) > LONGEST_KEY:
            return super().evaluate(scorer, keys)
        if all(devices):
            rows = [devices, *self._rows.stored((self._candidates, candidates), (self._places, places))]
        else:
            names = [key.device_id.encode() for key, new in zip(keys, fresh, strict=True) if new]
            wanted = (self._devices, names), (self._candidates, candidates), (self._places, places)
            rows = self._rows.stored(*wanted)
        told = packed.evaluate(rows, fresh, [key[3] for key in keys])
        if not isinstance(told, int):
            return told
        slowly = super().evaluate(scorer, keys)
        texts = slowly[1].texts
        if told == NEW_WORD and isinstance(texts, list):
            packed.learn(texts)
        return slowly

    def _whole(self, view: str, row: tuple[Any, ...] | None) -> tuple[Any, ...]:
        """A row with as many values as its view had fields when this was opened."""
        blank = self._blank[view]
        if row is None:
            return blank
        if len(row) == len(blank):
            return row
        return tuple(chain(row[: len(blank)], blank[len(row) :]))

    def _plan(self, service: str, names: Sequence[str]) -> _Plan:
        key = (service, tuple(names))
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = _Plan(service, names, self._fields)
        return found
