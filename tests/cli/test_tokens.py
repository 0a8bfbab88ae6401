"""``parked tokens`` as typed on a command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def parked(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "tokens", *arguments],
        env=os.environ | {"PARKED_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_token_is_shown_once_listed_without_its_secret_and_revoked(tmp_path: Path) -> None:
    made = parked(tmp_path, "create", "--device", "jane", "--device", "joe", "--may", "read", "--name", "x", "--json")
    told = json.loads(made.stdout)
    listed = parked(tmp_path, "list", "--json")
    (token,) = json.loads(listed.stdout)["tokens"]
    assert (token["id"], token["devices"], token["kinds"]) == (told["id"], ["jane", "joe"], ["read"])
    assert token["state"] == "active"
    for shown in (listed.stdout, parked(tmp_path, "list").stdout):
        assert told["token"] not in shown
        assert told["token"].split("_", 2)[2] not in shown
    assert "Revoked" in parked(tmp_path, "revoke", told["token"]).stdout, "the whole token names it too"
    assert "already" in parked(tmp_path, "revoke", told["id"]).stdout
    assert json.loads(parked(tmp_path, "list", "--json").stdout)["tokens"][0]["state"] == "revoked"


@pytest.mark.parametrize(
    ("may", "kinds"),
    [
        ([], ["read", "write"]),
        (["--may", "write"], ["write"]),
        (["--may", "read,write"], ["read", "write"]),
        (["--may", "write", "--may", "read"], ["read", "write"]),
    ],
)
def test_what_it_may_is_told_at_once_or_one_after_the_other(tmp_path: Path, may: list[str], kinds: list[str]) -> None:
    """The last word alone counted, without a word about it."""
    assert parked(tmp_path, "create", "--all-devices", *may).returncode == 0
    (token,) = json.loads(parked(tmp_path, "list", "--json").stdout)["tokens"]
    assert token["kinds"] == kinds


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create"], "--all-devices"),
        (["create", "--all-devices", "--device", "jane"], "--all-devices"),
        (["create", "--all-devices", "--may", "fly"], "--may fly"),
        (["create", "--all-devices", "--may", "read", "--may", ""], "--may read,"),
        (["create", "--all-devices", "--expires", "soon"], "--expires soon"),
        (["create", "--all-devices", "--expires", "2020-01-01"], "has passed"),
        (["create", "--device", ""], "a device's id is empty; name each device by its id"),
        (["revoke", "nope"], "parked tokens list"),
        (["revoke", "0000000000000000"], "token '0000000000000000' not found"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = parked(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert said in line
