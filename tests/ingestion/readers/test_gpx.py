"""GPX track points; a bad point stops no other."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingestion.readers.gpx import GpxReader
from parked.errors import InputError
from tests.ingestion.readers.helpers import Everything, read_all

POINT = '<trkpt lat="52.5" lon="13.4"><ele>30</ele><time>2024-05-01T12:00:00Z</time></trkpt>'
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def read(folder: Path, *points: str, device: str | None = None) -> Everything:
    path = folder / "sunday drive.gpx"
    head = '<gpx version="1.1" creator="x" xmlns="http://www.topografix.com/GPX/1/1"><wpt lat="1" lon="1"/>'
    path.write_text(f"{head}<trk><trkseg>{''.join(points)}</trkseg></trk></gpx>", encoding="utf-8")
    return read_all(GpxReader(), path, device)


def test_a_track_point_becomes_a_fix_of_the_file_it_is_in(tmp_path):
    (fix,) = read(tmp_path, POINT).fixes
    assert (fix["device_id"], fix["event_time"], fix["lat"], fix["lon"]) == ("sunday drive", NOON, 52.5, 13.4)
    assert (fix["accuracy_m"], fix["speed_mps"], fix["received_at"]) == (None, None, None)
    assert read(tmp_path, POINT, device="mine").fixes[0]["device_id"] == "mine"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-01T12:00:00", NOON),  # the format says UTC
        ("2024-05-01T14:00:00+02:00", NOON),
        ("2024-05-01T12:00:00.25Z", NOON.replace(microsecond=250_000)),
    ],
)
def test_times_of_every_spelling(tmp_path, text, moment):
    (fix,) = read(tmp_path, POINT.replace("2024-05-01T12:00:00Z", text)).fixes
    assert fix["event_time"] == moment


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('<trkpt lat="x" lon="2"/>', "bad_number"),
        ('<trkpt lat="1_0" lon="2"/>', "bad_number"),
        ('<trkpt lat="1" lon="2"><time>noon</time></trkpt>', "bad_time"),
        ('<trkpt lat="1" lon="2"><time>2024-02-31T00:00:00Z</time></trkpt>', "bad_time"),
    ],
)
def test_a_bad_point_is_set_aside_as_sent_and_the_others_read(tmp_path, bad, reason):
    found = read(tmp_path, POINT, bad, POINT)
    assert [fix["source_offset"] for fix in found.fixes] == [0, 2]
    assert [fix["event_time"] for fix in found.fixes] == [NOON, NOON]
    assert found.reasons == [reason]
    assert "trkpt" in found.malformed[0].payload


def test_a_point_without_a_time_is_a_candidate_for_the_accept_rules_to_refuse(tmp_path):
    (fix,) = read(tmp_path, '<trkpt lat="1" lon="2"/>').fixes
    assert fix["event_time"] is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("<gpx><trk>", "not well-formed XML"),
        ('<gpx><wpt lat="1" lon="2"/></gpx>', "no track points"),
    ],
)
def test_a_file_without_a_track_is_refused_by_name(tmp_path, text, says):
    path = tmp_path / "a.gpx"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        read_all(GpxReader(), path)


def test_nested_entities_do_not_explode(tmp_path):
    path = tmp_path / "bomb.gpx"
    layers = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    path.write_text(f'<!DOCTYPE gpx [<!ENTITY e0 "ha">{layers}]><gpx>&e11;</gpx>')
    with pytest.raises(InputError, match="not well-formed XML"):
        read_all(GpxReader(), path)
