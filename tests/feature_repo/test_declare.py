from __future__ import annotations

import pytest

from feature_repo.declare import CANDIDATE, DEVICE, FLOAT64, INT64, PLACE, VIEWS, Catalogue, declared
from feature_repo.fact import Fact
from feature_repo.known import Known
from feature_repo.objects import feast_objects
from feature_repo.services import PARKING_V1, SERVICES, WHERE_PARKED_V1, categorical_features, service_dtypes
from parked.errors import NotFoundError, SettingError


def a_newcomer(catalogue: Catalogue) -> None:
    @catalogue.feature(view=CANDIDATE, dtype=FLOAT64, owner="ana", since="3")
    def brake_mps(candidate: Fact, known: Known) -> float | None:
        """Approach speed less departure speed,
        m/s."""
        before, after = candidate.speed_before_mps, candidate.speed_after_mps
        return None if before is None or after is None else before - after


def test_a_newcomers_feature_appears_in_the_feast_view_with_its_docstring_type_and_owner(tmp_path):
    catalogue = declared().copy()
    a_newcomer(catalogue)
    fields = {field.name: field for field in feast_objects(tmp_path, catalogue).views[CANDIDATE].features}
    assert fields["brake_mps"].description == "Approach speed less departure speed, m/s."
    assert str(fields["brake_mps"].dtype) == "Float64"
    assert fields["brake_mps"].tags == {"layer": "feature", "owner": "ana", "since": "3"}


def test_a_copy_leaves_the_platforms_catalogue_alone():
    catalogue = declared().copy()
    a_newcomer(catalogue)
    assert declared().get("brake_mps") is None


def test_the_version_changes_with_a_new_feature_and_with_a_new_meaning():
    first, second, third = declared().copy(), declared().copy(), Catalogue()
    a_newcomer(first)
    assert first.version() != declared().version()
    a_newcomer(second)
    assert first.version() == second.version()

    def count(known: Known) -> int:
        """Candidates."""
        return len(known.candidates)

    third.feature(view=DEVICE, dtype=INT64, since="1")(count)
    fourth = Catalogue()
    fourth.feature(view=DEVICE, dtype=INT64, since="2")(count)
    assert third.version() != fourth.version()


def documented(known: Known) -> int:
    """Documented."""
    return 0


def undocumented(known):
    return 0


def misplaced(place: object) -> int:
    """Documented."""
    return 0


@pytest.mark.parametrize(
    ("fold", "arguments", "complaint"),
    [
        (documented, {"view": "nowhere"}, "no such view 'nowhere'; use one of candidate_state"),
        (documented, {"view": DEVICE, "name": "walked_m"}, "taken in candidate_state"),
        (documented, {"view": DEVICE, "name": "cell"}, "reserved"),
        (documented, {"view": DEVICE, "name": "built_by"}, "reserved"),
        (documented, {"view": DEVICE, "name": "share_y"}, "reserved"),
        (documented, {"view": DEVICE, "reads": ("walk",)}, "use kinds of stop, halt, vehicle_left"),
        (undocumented, {"view": DEVICE}, "no docstring"),
        (misplaced, {"view": DEVICE}, r"take \(known\)"),
        (documented, {"view": PLACE}, r"take \(place, known\)"),
    ],
)
def test_a_mistaken_declaration_is_refused_with_the_mend(fold, arguments, complaint):
    catalogue = declared().copy()
    with pytest.raises(SettingError, match=complaint):
        catalogue.feature(dtype=INT64, **arguments)(fold)


def test_every_feature_says_what_it_means_and_who_owns_it():
    for view in VIEWS:
        for feature in declared().of(view):
            assert feature.description.endswith("."), feature.name
            assert feature.owner


def test_services_name_declared_features_only_and_no_name_twice():
    for service, parts in SERVICES.items():
        names = list(service_dtypes(service))
        assert len(names) == sum(map(len, parts.values()))


def test_the_model_eats_no_identity_place_or_absolute_time():
    for name in service_dtypes(PARKING_V1):
        assert not name.endswith(("_us", "_id")), name
        assert name not in {"lat", "lon", "cell"}


def test_categorical_features_are_the_strings():
    assert categorical_features(PARKING_V1) == ["status", "motion_before", "followed_by", "motion_after"]
    assert "built_by" in categorical_features(WHERE_PARKED_V1)


def test_an_unknown_service_is_named():
    with pytest.raises(NotFoundError, match="'parking_v0'; use one of parking_v1, where_parked_v1"):
        service_dtypes("parking_v0")
