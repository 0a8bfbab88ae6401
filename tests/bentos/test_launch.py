from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bentos.build import NEEDS, bentofile, build_bento
from bentos.config import load_config
from bentos.launch import require_free_port, server_environment, start_server
from parked.errors import ConflictError, InternalError, NotFoundError, SettingError
from tests.bentos.fakes import publish, settings_in


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_taken_port_is_a_conflict_before_anything_starts(tmp_path: Path, taken: int) -> None:
    with pytest.raises(ConflictError, match=f"port {taken} on 127.0.0.1.*--port"):
        start_server(settings_in(tmp_path), port=taken)
    assert not (tmp_path / "logs").exists()


def test_port_zero_is_any_free_port() -> None:
    assert require_free_port("127.0.0.1", 0) > 0


@pytest.mark.parametrize("host", ["localhost", "203.0.113.7", "no such"])
def test_a_host_that_is_not_ours_is_a_setting_error(host: str) -> None:
    with pytest.raises(SettingError, match=host):
        require_free_port(host, 0)


def test_the_child_gets_every_setting_and_no_tracking(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, pointer_poll_s=0.25)
    environment = server_environment(settings, workers=3)
    assert environment["PARKED_HOME"] == str(tmp_path)
    assert environment["PARKED_POINTER_POLL_S"] == "0.25"
    assert environment["PARKED_SERVE_WORKERS"] == "3"
    assert environment["BENTOML_HOME"] == str(settings.bentoml_home)
    assert environment["BENTOML_DO_NOT_TRACK"] == "True"


def test_a_server_that_cannot_start_says_where_to_look(tmp_path: Path) -> None:
    with start_server(settings_in(tmp_path), port=0, service="no.such:Service") as server:
        with pytest.raises(InternalError, match=r"serve-\d+\.log"):
            server.wait_ready(60)
        assert "no.such" in server.log_file.read_text()


def test_a_bento_needs_a_published_model(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="parked publish"):
        build_bento(settings_in(tmp_path))


def test_a_bento_pins_what_is_installed_and_names_no_index(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    file = bentofile(publish(settings, "parking:v1", 1))
    assert file["models"] == ["parking:v1"]
    assert len(file["python"]["packages"]) == len(NEEDS)
    assert all("==" in package and "://" not in package for package in file["python"]["packages"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RATE_PER_S", "1e-320"),
        ("RATE_PER_S", "inf"),
        ("RATE_PER_S", "nan"),
        ("RATE_PER_S", "-1"),
        ("TIMEOUT_S", "inf"),
    ],
)
def test_a_number_that_cannot_be_kept_to_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"PARKED_SERVE_{name}", value)
    with pytest.raises(SettingError, match=f"PARKED_SERVE_{name}='{value}'"):
        load_config()
