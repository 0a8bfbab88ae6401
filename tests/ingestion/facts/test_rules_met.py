"""What the rules say happens, on drives written by hand (metres east of a place, seconds)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ingestion.facts.build import build_facts
from ingestion.facts.canonical import canonicalise
from ingestion.facts.files import build_file
from ingestion.facts.rules import PACKAGED, load_rules
from parked.errors import InputError, SettingError
from parked.schemas import FACTS, FIXES, MOTION
from tests.ingestion.facts.worlds import METRE, START_US

RULES = load_rules()


def drive(*legs: tuple[float, float, float]) -> list[tuple[float, float]]:
    """(seconds, metres east) points: each leg is (m/s, seconds, seconds between fixes)."""
    t, x, points = 0.0, 0.0, [(0.0, 0.0)]
    for speed, seconds, step in legs:
        end = t + seconds
        while t + step <= end + 1e-9:
            t += step
            x += speed * step
            points.append((t, x))
        t = end
    return points


def fixes(points: list[tuple[float, float]], *, accuracy: float = 5.0, device: str = "phone") -> pa.Table:
    rows = [
        {
            "device_id": device,
            "event_time": START_US + round(t * 1e6),
            "lat": 10.0 + x * METRE,
            "lon": 20.0,
            "accuracy_m": accuracy,
            "speed_mps": None,
            "received_at": None,
        }
        for t, x in points
    ]
    columns = {
        f.name: pa.array([r[f.name] for r in rows], pa.int64() if pa.types.is_timestamp(f.type) else f.type)
        for f in FIXES
    }
    return pa.table({n: c.cast(FIXES.field(n).type) for n, c in columns.items()}, schema=FIXES)


def standing(facts: pa.Table, kind: str) -> list[dict[str, object]]:
    last = {r["fact_id"]: r for r in facts.sort_by("revision").to_pylist() if r["kind"] == kind}
    return sorted((r for r in last.values() if r["status"] != "RETRACTED"), key=lambda r: str(r["started_at"]))


def east(row: dict[str, object]) -> float:
    return (float(str(row["lat"])) - 10.0) / METRE


def seconds(row: dict[str, object], name: str = "started_at") -> float:
    return row[name].timestamp() - START_US / 1e6  # type: ignore[attr-defined, no-any-return]


DRIVE_PARK_WALK = drive((12, 300, 5), (0, 30, 5), (1.3, 200, 5), (0, 900, 30))


def test_a_vehicle_is_left_where_it_stood_not_where_its_driver_rests() -> None:
    facts = build_facts(fixes(DRIVE_PARK_WALK), None, RULES)
    (left,) = standing(facts, "vehicle_left")
    (stop,) = standing(facts, "stop")
    assert east(left) == pytest.approx(3600, abs=30)
    assert seconds(left) == pytest.approx(305, abs=30)
    assert left["followed_by"] == "foot"
    assert left["ended_at"] is None
    assert east(stop) == pytest.approx(3860, abs=30)
    assert stop["status"] == "OPEN"


def test_a_red_light_is_a_halt_and_its_candidate_is_retracted() -> None:
    facts = build_facts(fixes(drive((12, 200, 5), (0, 45, 5), (12, 200, 5))), None, RULES)
    (halt,) = standing(facts, "halt")
    assert east(halt) == pytest.approx(2400, abs=30)
    assert seconds(halt, "ended_at") - seconds(halt) == pytest.approx(45, abs=20)
    assert standing(facts, "vehicle_left") == []
    assert "RETRACTED" in facts["status"].to_pylist()


def test_when_the_vehicle_drives_off_again_its_fact_ends_with_how_near() -> None:
    points = drive((12, 300, 5), (0, 900, 30), (12, 300, 5), (0, 60, 5), (1.3, 100, 5))
    first, second = standing(build_facts(fixes(points), None, RULES), "vehicle_left")
    assert seconds(first, "ended_at") == pytest.approx(1200, abs=60)
    assert float(str(first["return_m"])) <= 60
    assert second["ended_at"] is None


def test_a_jump_of_a_phone_at_rest_is_no_journey() -> None:
    points = drive((0, 7200, 200))
    jumped = [(t, x + 3000 if 3000 <= t <= 3400 else x) for t, x in points]
    facts = build_facts(fixes(jumped), None, RULES)
    assert [len(standing(facts, kind)) for kind in ("stop", "halt", "vehicle_left")] == [1, 0, 0]


def test_a_teleport_among_dense_fixes_is_no_journey() -> None:
    points = drive((0, 900, 10))
    jumped = [(t, x + 1000 if t == 500 else x) for t, x in points]
    facts = build_facts(fixes(jumped), None, RULES)
    assert [len(standing(facts, kind)) for kind in ("stop", "halt", "vehicle_left")] == [1, 0, 0]


def test_silence_after_a_drive_is_where_the_vehicle_was_left_with_a_flag() -> None:
    points = drive((12, 300, 5))
    points += [(3900.0 + 5 * i, 3600.0 + 1.3 * 5 * i) for i in range(20)]
    (left,) = standing(build_facts(fixes(points), None, RULES), "vehicle_left")
    assert left["followed_by"] == "silence"
    assert "silence" in str(left["reasons"])
    assert "garage" in str(left["reasons"])  # it was still rolling at the last fix
    assert float(str(left["silence_s"])) == pytest.approx(3600, abs=10)
    assert float(str(left["uncertainty_m"])) > 50


def test_a_phone_that_says_on_foot_settles_the_candidate_at_once() -> None:
    table = fixes(drive((12, 300, 5), (0, 20, 5)))
    said = pa.table(
        {
            "device_id": ["phone"],
            "event_time": pa.array([START_US + 318_000_000], pa.int64()).cast(MOTION.field("event_time").type),
            "received_at": pa.nulls(1, MOTION.field("received_at").type),
            "activity": ["on_foot"],
            "confidence": [0.9],
        },
        schema=MOTION,
    )
    assert standing(build_facts(table, None, RULES), "vehicle_left")[0]["status"] == "OPEN"
    (left,) = standing(build_facts(table, said, RULES), "vehicle_left")
    assert (left["status"], left["followed_by"], left["motion_after"]) == ("PROVISIONAL", "foot", "on_foot")


def test_fixes_that_cannot_be_believed_decide_nothing() -> None:
    clean = fixes(DRIVE_PARK_WALK)
    bad = fixes([(t + 0.5, x + 5000) for t, x in DRIVE_PARK_WALK[::3]], accuracy=500.0)
    invalid = fixes([(t + 0.7, x - 900) for t, x in DRIVE_PARK_WALK[::4]], accuracy=-1.0)
    assert build_facts(pa.concat_tables([clean, bad, invalid]), None, RULES).equals(build_facts(clean, None, RULES))


def test_rows_without_a_place_or_a_possible_time_are_counted_and_left_out() -> None:
    table = fixes(DRIVE_PARK_WALK)
    nowhere = table.slice(0, 3).set_column(2, FIXES.field("lat"), pa.array([np.nan, 91.0, 0.0]))
    nowhere = nowhere.set_column(3, FIXES.field("lon"), pa.array([1.0, 1.0, 0.0]))
    old = table.slice(0, 1).set_column(1, FIXES.field("event_time"), pa.array([0]).cast(FIXES.field("event_time").type))
    records = canonicalise(pa.concat_tables([table, nowhere, old]))
    reasons = ("clock_before_2005", "position_not_finite", "position_out_of_range", "null_island")
    assert records.refused == dict.fromkeys(reasons, 1)
    assert len(records.records) == table.num_rows


def test_the_file_contract_keeps_its_columns(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(fixes(DRIVE_PARK_WALK), tmp_path / "fixes.parquet")
    build_file(tmp_path / "fixes.parquet", None, tmp_path / "facts.parquet", RULES)
    assert pq.read_table(tmp_path / "facts.parquet").schema.equals(FACTS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "no such fixes file"),
        (lambda p: p.write_bytes(b"PAR1 is not enough"), "not a readable Parquet file"),
        (lambda p: __import__("pyarrow.parquet").parquet.write_table(FIXES.empty_table(), p), "no rows"),
    ],
)
def test_an_unusable_file_is_named_and_nothing_is_written(tmp_path: Path, make: object, message: str) -> None:
    source, out = tmp_path / "fixes.parquet", tmp_path / "facts.parquet"
    make(source)  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        build_file(source, None, out, RULES)
    assert not out.exists()


def test_a_wrong_rule_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text((PACKAGED / "v1.toml").read_text(encoding="utf-8").replace("exit_fixes = 3", "exit_fixes = -3"))
    with pytest.raises(SettingError, match=r"rest\.exit_fixes"):
        load_rules(file)


@pytest.mark.parametrize(
    ("column", "values"),
    [("event_time", pa.array([1_767_600_000])), ("lat", pa.array(["10.0"])), ("device_id", pa.array([7.5]))],
)
def test_numbers_are_no_times_and_text_is_no_place(column: str, values: pa.Array) -> None:
    table = fixes(DRIVE_PARK_WALK).slice(0, 1)
    table = table.set_column(table.schema.get_field_index(column), column, values)
    with pytest.raises(InputError, match=f"column '{column}' is"):
        canonicalise(table)
