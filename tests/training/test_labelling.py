import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parked.geo import distance_m, offset_m
from tests.training.world import coverage_table, labels_table
from training.config import LabelRules, load_config
from training.labelling import attach, motion_labels, with_motion

RULES: LabelRules = load_config().labels
MINUTE = 60_000_000
HERE = (52.5, 13.4)
NONE = coverage_table([])
ALL_DAY = coverage_table([("p", 0, 10**12, "truth")])


def candidates(*rows: tuple[str, int, float, bool], device: str = "p") -> pd.DataFrame:
    """(id, left at in minutes, metres east of HERE, retracted)"""
    places = [offset_m(*HERE, east, 0.0) for _, _, east, _ in rows]
    return pd.DataFrame(
        {
            "candidate_id": [r[0] for r in rows],
            "device_id": device,
            "left_at_us": [int(r[1] * MINUTE) for r in rows],
            "lat": [p[0] for p in places],
            "lon": [p[1] for p in places],
            "retracted": [r[3] for r in rows],
        }
    )


def label(minute: float, east: float | None = 0.0, verdict: str = "parked", source: str = "truth", weight: float = 1.0,
          known: float = 0.0, device: str = "p") -> tuple:  # type: ignore[type-arg]  # fmt: skip
    lat, lon = offset_m(*HERE, east, 0.0) if east is not None else (None, None)
    return (device, int(minute * MINUTE), lat, lon, verdict, source, weight, int(known * MINUTE))


def labels_of(frame: pd.DataFrame) -> dict[str, int]:
    return dict(zip(frame["candidate_id"], frame["label"].astype(int), strict=True))


def test_a_label_belongs_to_the_nearest_candidate_and_the_others_in_coverage_are_negatives():
    found, counts = attach(
        candidates(("near", 10, 20, False), ("far", 12, 120, False), ("other", 200, 0, False)),
        labels_table([label(10)]),
        ALL_DAY,
        RULES,
    )
    assert labels_of(found) == {"near": 1, "far": 0, "other": 0}
    assert counts.by_source["truth"] == {"parked": 1, "not_parked": 2}


def test_silence_makes_a_negative_only_of_a_candidate_left_before_judgments_have_matured():
    some = candidates(("old", 10, 0, False), ("at the bound", 100, 0, False), ("young", 200, 0, False))
    found, counts = attach(some, labels_table([]), ALL_DAY, RULES, 100 * MINUTE)
    assert labels_of(found) == {"old": 0}
    assert (counts.too_young, counts.unlabelled) == (2, 2)


def test_where_silence_will_speak_an_early_judgment_waits_for_the_others():
    some = candidates(("parked", 100, 0, False), ("not", 200, 0, False), ("silent", 300, 0, False))
    told = labels_table([label(100), label(200, verdict="not_parked")])
    found, counts = attach(some, told, ALL_DAY, RULES, 50 * MINUTE)
    assert labels_of(found) == {}
    assert counts.too_young == 3


def test_where_silence_says_nothing_a_judgment_counts_however_young_the_candidate():
    some = candidates(("parked", 100, 0, False), ("not", 200, 0, False), ("silent", 300, 0, False))
    told = labels_table([label(100), label(200, verdict="not_parked")])
    found, counts = attach(some, told, NONE, RULES, 50 * MINUTE)
    assert labels_of(found) == {"parked": 1, "not": 0}
    assert counts.too_young == 0


def test_a_source_that_is_still_awaited_leaves_the_word_to_the_next():
    told = labels_table([label(200, source="mode")])
    found, counts = attach(candidates(("young", 200, 0, False)), told, ALL_DAY, RULES, 50 * MINUTE)
    assert found[["label", "label_source"]].to_numpy().tolist() == [[1, "mode"]]
    assert counts.too_young == 0


def test_without_coverage_a_candidate_nobody_spoke_of_is_left_out():
    found, counts = attach(
        candidates(("a", 10, 0, False), ("b", 200, 0, False)), labels_table([label(10)]), NONE, RULES
    )
    assert labels_of(found) == {"a": 1}
    assert counts.unlabelled == 1


@pytest.mark.parametrize(("minute", "east"), [(15.1, 0), (10, 151)])
def test_beyond_the_tolerance_nothing_attaches_and_the_label_counts_as_unmatched(minute, east):
    found, counts = attach(candidates(("a", minute, east, False)), labels_table([label(10)]), NONE, RULES)
    assert found.empty
    assert counts.unmatched_parked == {"truth": 1}


def test_a_label_of_another_phone_never_attaches():
    found, _ = attach(candidates(("a", 10, 0, False)), labels_table([label(10, device="q")]), NONE, RULES)
    assert found.empty


def test_a_second_candidate_at_the_very_spot_is_left_out_as_ambiguous():
    found, counts = attach(
        candidates(("a", 10, 0, False), ("b", 12, 15, False)), labels_table([label(10)]), ALL_DAY, RULES
    )
    assert labels_of(found) == {"a": 1}
    assert counts.ambiguous == 1


def test_a_retracted_candidate_takes_no_label_and_is_no_negative_near_a_parking():
    found, counts = attach(
        candidates(("withdrawn", 10, 0, True), ("stands", 11, 40, False), ("elsewhere", 300, 0, True)),
        labels_table([label(10)]),
        ALL_DAY,
        RULES,
    )
    assert labels_of(found) == {"stands": 1, "elsewhere": 0}
    assert counts.ambiguous == 1


def test_a_person_beats_mode_and_motion_and_the_weights_are_those_of_the_source():
    found, _ = attach(
        candidates(("a", 10, 0, False)),
        labels_table(
            [
                label(10, source="mode"),
                label(10, verdict="not_parked", source="person", weight=0.5),
                label(10, source="motion"),
            ]
        ),
        NONE,
        RULES,
    )
    assert found[["label", "label_source", "label_weight"]].to_numpy().tolist() == [[0, "person", 0.5]]


def test_a_correction_replaces_the_earlier_judgment_of_the_same_moment():
    told = [label(10, source="person", known=11), label(10, verdict="not_parked", source="person", known=30)]
    for order in (told, told[::-1]):
        found, _ = attach(candidates(("a", 10, 0, False), ("b", 12, 50, False)), labels_table(order), NONE, RULES)
        assert labels_of(found) == {"a": 0}


def test_coverage_of_one_source_does_not_silence_a_person():
    found, _ = attach(
        candidates(("a", 10, 0, False)),
        labels_table([label(10, source="person")]),
        coverage_table([("p", 0, 10**12, "mode")]),
        RULES,
    )
    assert labels_of(found) == {"a": 1}


def test_a_label_without_a_place_attaches_by_time_but_yields_to_one_with_a_place():
    found, _ = attach(candidates(("a", 10, 0, False)), labels_table([label(11, east=None)]), NONE, RULES)
    assert labels_of(found) == {"a": 1}
    both = labels_table([label(10, east=None, verdict="not_parked"), label(11)])
    found, _ = attach(candidates(("a", 10, 0, False)), both, NONE, RULES)
    assert labels_of(found) == {"a": 1}


def test_the_true_spot_is_the_labels_place():
    found, _ = attach(candidates(("a", 10, 100, False)), labels_table([label(10)]), NONE, RULES)
    assert distance_m(found["truth_lat"][0], found["truth_lon"][0], *HERE) < 1


moments = st.lists(st.tuples(st.floats(0, 60), st.floats(-300, 300), st.booleans()), min_size=0, max_size=12)


@settings(max_examples=20, deadline=None)
@given(
    moments,
    st.lists(
        st.tuples(st.floats(0, 60), st.floats(-300, 300)),
        max_size=12,
        unique_by=(lambda j: round(j[0], 3), lambda j: round(j[1], 1)),
    ),
    st.randoms(),
)
def test_attachment_is_one_to_one_within_tolerance_and_does_not_depend_on_order(cands, judged, random):
    frame = candidates(*[(f"c{i}", *c) for i, c in enumerate(cands)])
    rows = [label(round(m, 3), east) for m, east in judged]
    found, counts = attach(frame, labels_table(rows), NONE, RULES)
    assert len(found) + counts.unmatched_parked.get("truth", 0) == len(rows)
    assert not found.duplicated(["truth_lat", "truth_lon"]).any()
    for row in found.itertuples():
        assert distance_m(row.lat, row.lon, row.truth_lat, row.truth_lon) <= RULES.attach_within_m + 0.01
        assert any(
            abs(r[1] - row.left_at_us) <= RULES.attach_within_s * 1e6 and (r[2], r[3]) == (row.truth_lat, row.truth_lon)
            for r in rows
        )
    assert not frame[frame["candidate_id"].isin(found["candidate_id"])]["retracted"].any()
    mixed_rows = random.sample(rows, len(rows))
    mixed = frame.sample(frac=1.0, random_state=random.randint(0, 99)) if len(frame) else frame
    again, _ = attach(mixed, labels_table(mixed_rows), NONE, RULES)
    pd.testing.assert_frame_equal(found, again)


def with_motion_columns(frame: pd.DataFrame, before: str, after: str) -> pd.DataFrame:
    return frame.assign(motion_before=before, motion_after=after, known_at_us=frame["left_at_us"] + MINUTE)


@pytest.mark.parametrize(
    ("before", "after", "verdicts"),
    [
        ("in_vehicle", "on_foot", ["parked"]),
        ("in_vehicle", "in_vehicle", ["not_parked"]),
        ("in_vehicle", "still", []),
        ("on_foot", "on_foot", []),
        ("", "", []),
    ],
)
def test_a_motion_sequence_makes_a_weak_label(before, after, verdicts):
    table = motion_labels(with_motion_columns(candidates(("a", 10, 0, False)), before, after))
    assert table["verdict"].to_pylist() == verdicts
    assert set(table["source"].to_pylist()) <= {"motion"}


def test_motion_labels_are_only_made_for_phones_nobody_judged_unless_asked_for():
    judged = with_motion_columns(candidates(("a", 10, 0, False)), "in_vehicle", "on_foot")
    other = with_motion_columns(candidates(("b", 10, 0, False), device="q"), "in_vehicle", "on_foot")
    both = pd.concat([judged, other], ignore_index=True)
    table = labels_table([label(10)])
    for rule, devices in (("never", []), ("where_unlabelled", ["q"]), ("always", ["p", "q"])):
        made = with_motion(table, NONE, both, RULES.model_copy(update={"motion_rule": rule}))
        weak = np.array(made["source"].to_pylist()) == "motion"
        assert np.array(made["device_id"].to_pylist())[weak].tolist() == devices
