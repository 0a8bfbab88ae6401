"""Where a past answer had put the vehicle, found among the newest candidates, then among all, then not at all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bentos.feedback.hindsight import spot_of
from bentos.ports import CandidateKey, Spot, Values
from feature_repo.services import ANSWERED_V1
from tests.bentos.fakes import HOUR_US, NOW_US, FakeSource


class Remembers(FakeSource):
    """A store with the service that knows every candidate."""

    def values(self, service: str, names: Sequence[str], keys: Sequence[CandidateKey]) -> list[Values]:
        if service != ANSWERED_V1:
            return super().values(service, names, keys)
        known = {"last-week": {"left_at_us": 7.0, "lat": 1.5, "lon": 2.5}}
        return [[known.get(key.candidate_id, {}).get(name) for name in names] for key in keys]


@pytest.mark.parametrize("source", [FakeSource(), Remembers()])
def test_the_newest_are_always_known(source: FakeSource) -> None:
    assert spot_of(source, "phone-parked", "home") == Spot(NOW_US - 5 * HOUR_US, 48.1, 11.5)


def test_an_older_one_is_known_where_the_store_was_told_to_remember() -> None:
    assert spot_of(Remembers(), "phone-parked", "last-week") == Spot(7, 1.5, 2.5)
    assert spot_of(FakeSource(), "phone-parked", "last-week") is None


def test_what_nobody_knows_is_no_spot() -> None:
    assert spot_of(Remembers(), "phone-parked", "never") is None
    assert spot_of(Remembers(), "nobody", "never") is None
