"""Two rules versions served at once from one home, by the commands of docs/rules-versions.md, over real servers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from bentos.launch import ServerHandle, require_free_port
from ingestion.facts.rules import PACKAGED
from ingestion.facts.store import read_facts
from parked.files import write_table
from parked.settings import Settings
from tests.bentos.fakes import settings_in, until

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rules-versions.md"
VERSIONS = ("v1", "v2")
UNLABELLED = "berlin-7-00003"
"""A phone whose true parkings nobody tells, until a person confirms one."""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(700)]


@dataclass
class Run:
    """The home, its two servers, a token, and what happened."""

    folder: Path
    environment: dict[str, str]
    servers: dict[str, ServerHandle] = field(default_factory=dict)
    first_models: dict[str, str] = field(default_factory=dict)
    token: str = ""

    @property
    def settings(self) -> Settings:
        return settings_in(self.folder / "home")

    def shell(self, script: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=self.folder, env=self.environment, capture_output=True,
            text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def told(self, command: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.shell(f"{command} --json"))
        return answer

    def mistake(self, command: str) -> str:
        """The one line of a user's mistake."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2, done.stderr
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("parked:")]
        return line

    def ask(self, version: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.token}"}
        url = f"{self.servers[version].url}{path}"
        ask = httpx.get if body is None else httpx.post
        reply = ask(url, headers=headers, timeout=10, **({} if body is None else {"json": body}))  # type: ignore[operator]
        assert reply.status_code == 200, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    def generation(self, version: str) -> int:
        return int(self.ask(version, "/model")["model"]["generation"])


def blocks() -> list[str]:
    """The page's commands: diff, build, serve, ask, keep going."""
    return re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)


def everything_under(home: Path) -> dict[Path, bytes]:
    """What v1 is: all files of a home but those that both versions write."""
    shared = ("ops.db", "logs", "bentoml", "manifests", "reports", "serving/trees", "published.lock")
    files = [file for file in home.rglob("*") if file.is_file() and file.name != "lock.mdb"]
    return {f: f.read_bytes() for f in files if not str(f.relative_to(home)).startswith(shared)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("sides")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PARKED_", "BENTOML_"))}
    environment |= {"PARKED_HOME": str(folder / "home"), "PARKED_SERVE_AUTH": "tokens", "PARKED_POINTER_POLL_S": "0.1"}
    (folder / "bin").mkdir()
    (folder / "bin" / "parked").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cli.main "$@"\n')
    (folder / "bin" / "parked").chmod(0o755)
    environment["PATH"] = os.pathsep.join([str(folder / "bin"), environment["PATH"]])
    environment["PYTHONPATH"] = str(PAGE.parents[1])
    live = Run(folder, environment)
    live.shell("parked simulate --devices 14 --days 6 --city berlin --out sim")
    for name in ("labels", "coverage"):
        table = pq.read_table(folder / "sim" / f"{name}.parquet")
        write_table(folder / f"{name}.parquet", table.filter(pc.not_equal(table["device_id"], UNLABELLED)))
    live.shell("parked ingest sim/fixes.parquet sim/motion.parquet")
    live.shell("parked labels import labels.parquet --coverage coverage.parquet")
    live.shell("parked facts build && parked features build && parked train && parked publish latest --force")
    rules = (PACKAGED / "v1.toml").read_text(encoding="utf-8").replace('version = "v1"', 'version = "v2"')
    changed = rules.replace("stood_s = 60.0", "stood_s = 90.0").replace("halt_s = 20.0", "halt_s = 40.0")
    assert changed.count("90.0") > rules.count("90.0")
    (folder / "my-rules.toml").write_text(changed, encoding="utf-8")
    with serving(live):
        yield live


@contextmanager
def serving(live: Run) -> Iterator[None]:
    """As the page says: diff, build, train and publish v2 beside v1, then both servers."""
    diff, build, serve, *_ = blocks()
    before = everything_under(live.settings.home)
    live.shell(diff)
    # What was trained on so few phones no gate would let pass.
    live.shell(build.replace("parked publish latest", "parked publish latest --force"))
    after = everything_under(live.settings.home)
    assert {file: after[file] for file in before} == before, "building v2 changed what v1 is"
    live.token = live.told("parked tokens create --all-devices")["token"]
    with ExitStack() as stack:
        for version, line in zip(VERSIONS, serve.splitlines(), strict=True):
            port = str(require_free_port("127.0.0.1", 0))
            log = live.folder / f"{version}.log"
            with log.open("wb") as said:
                process = subprocess.Popen(
                    ["bash", "-euc", "exec " + re.sub(r"300[01]", port, line)], cwd=live.folder, env=live.environment,
                    stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
            live.servers[version] = stack.enter_context(ServerHandle(f"http://127.0.0.1:{port}", process, log))
        for version in VERSIONS:
            live.servers[version].wait_ready(120)
            live.first_models[version] = live.ask(version, "/model")["model"]["tag"]
        yield


def phones(live: Run) -> list[str]:
    return [f"berlin-7-{index:05d}" for index in range(14)]


def test_each_server_answers_by_its_own_rules_facts_and_model_with_the_same_token(run: Run) -> None:
    assert run.first_models["v1"] != run.first_models["v2"]
    for version in VERSIONS:
        known = set(read_facts(run.settings, version)["fact_id"].to_pylist())
        answers = [run.ask(version, "/where_parked", {"device_id": phone}) for phone in phones(run)]
        assert {(a["rules_version"], a["model"]["tag"]) for a in answers} == {(version, run.first_models[version])}
        named = [a["spot"]["candidate_id"] for a in answers if a["state"] == "parked"]
        named += [place["candidate_id"] for a in answers for place in a["runner_up"]]
        assert len(named) > 10
        assert set(named) <= known


def test_the_commands_by_which_the_page_asks_are_answered_by_each_server(run: Run) -> None:
    ask = blocks()[3]
    for version, port in zip(VERSIONS, ("3000", "3001"), strict=True):
        ask = ask.replace(f"localhost:{port}", run.servers[version].url.removeprefix("http://"))
    told = run.shell(f"export PARKED_TOKEN={run.token}\n{ask}")
    assert re.findall(r'"rules_version":"(\w+)"', told) == list(VERSIONS)


def test_nobody_without_the_token_is_answered_by_either(run: Run) -> None:
    for server in run.servers.values():
        assert httpx.post(f"{server.url}/where_parked", json={"device_id": UNLABELLED}).status_code == 401


def test_an_answer_of_one_server_is_explained_by_the_other(run: Run) -> None:
    phone = next(p for p in phones(run) if run.ask("v1", "/where_parked", {"device_id": p})["runner_up"])
    answer = run.ask("v1", "/where_parked", {"device_id": phone})
    until(lambda: bool(list(run.settings.predictions_dir.rglob("*.parquet"))))
    why: dict[str, Any] = {}

    def told() -> bool:  # a server writes its log every few seconds
        reply = httpx.post(
            f"{run.servers['v2'].url}/explain", json={"answer_id": answer["answer_id"]}, timeout=10,
            headers={"authorization": f"Bearer {run.token}"},
        )  # fmt: skip
        why.update(reply.json())
        return reply.status_code == 200

    until(told)
    assert (why["rules_version"], why["model"]["tag"], why["reproduced"]) == ("v1", run.first_models["v1"], True)


def test_a_model_of_one_version_is_not_published_for_the_other(run: Run) -> None:
    before = [run.generation(version) for version in VERSIONS]
    for force in ("", " --force"):
        said = run.mistake(f"parked publish {run.first_models['v2']}{force}")
        assert said.endswith("was trained on facts of rules v2, and this publishes for v1; say --rules v2")
    assert [run.generation(version) for version in VERSIONS] == before


def test_what_is_confirmed_on_one_server_is_learnt_by_the_other_version_which_alone_swaps(run: Run) -> None:
    """No label of a person was there; the rows that v2's next model learns from hold what one said to v1's server."""
    tags = [run.first_models["v2"]]
    assert rows_of(run, tags[0], UNLABELLED) == []
    left = parkings_of(run, UNLABELLED)[-1]
    said = {"device_id": UNLABELLED, "at": left["started_at"].isoformat(), "lat": left["lat"], "lon": left["lon"]}
    assert run.ask("v1", "/confirm", {**said, "verdict": "parked"})["stored"] is True
    trained = run.told("parked train --rules v2")
    tags.append(trained["model"])
    assert trained["rules"] == "v2"
    rows = rows_of(run, tags[1], UNLABELLED)
    assert {row["label"] for row in rows} == {1}
    assert {row["candidate_id"] for row in rows} <= set(read_facts(run.settings, "v2")["fact_id"].to_pylist())
    before = {version: run.generation(version) for version in VERSIONS}
    done = run.told(f"parked publish {tags[1]} --rules v2 --force")
    assert done["workers"] == 1
    swapped = run.ask("v2", "/where_parked", {"device_id": UNLABELLED})
    assert swapped["model"] == {"tag": tags[1], "generation": done["generation"]}
    assert (run.generation("v1"), run.ask("v1", "/model")["model"]["tag"]) == (before["v1"], run.first_models["v1"])
    back = run.told("parked rollback --rules v2")
    assert (back["model"], back["workers"]) == (tags[0], 1)
    assert run.ask("v2", "/model")["model"]["tag"] == tags[0]
    again = run.told(f"parked publish {run.told('parked train')['model']} --force")
    assert (again["rules"], again["workers"]) == ("v1", 1)
    assert (run.generation("v1"), run.generation("v2")) == (again["generation"], back["generation"])


def test_going_on_as_the_page_says_and_each_version_answers_for_its_own_log(run: Run) -> None:
    *steps, parity, monitor = blocks()[4].splitlines()
    run.shell("\n".join(steps))
    asked = {}
    for version, phone in ((v, p) for v in VERSIONS for p in phones(run)):
        answer = run.ask(version, "/where_parked", {"device_id": phone})
        asked[answer["answer_id"]] = version
    log = run.settings.predictions_dir
    until(lambda: set(logged(log).values()) == set(VERSIONS) and len(set(asked) & set(logged(log))) > len(asked) // 2)
    for command, version in ((parity.replace(" --rules v2", ""), "v1"), (parity, "v2")):
        found = run.told(f"{command} --sample 100000")
        assert found["answers"] == sum(1 for its in logged(log).values() if its == version) > 0
        assert found["equal"] == found["answers"]
    looked = run.told(f"{monitor} --no-refit")
    assert looked["model"] == run.ask("v2", "/model")["model"]["tag"]
    assert looked["devices"] == len(phones(run))


def logged(log: Path) -> dict[str, str]:
    """Rules version by answer id."""
    parts = [pq.ParquetFile(p).read(["answer_id", "rules_version"]).to_pylist() for p in log.rglob("[0-9]*.parquet")]
    return {row["answer_id"]: row["rules_version"] for part in parts for row in part}


def parkings_of(run: Run, device: str) -> list[dict[str, Any]]:
    """Where the phone's vehicle stood for an hour at least, by v1's facts; by time."""
    facts = run.told(f"parked facts show --device {device} --kind vehicle_left")["facts"]
    found = []
    for fact in facts:
        fact["started_at"] = datetime.fromisoformat(fact["started_at"])
        ended = fact["ended_at"] and datetime.fromisoformat(fact["ended_at"])
        if ended and (ended - fact["started_at"]).total_seconds() > 3600:
            found.append(fact)
    return found


def rows_of(run: Run, tag: str, device: str) -> list[dict[str, Any]]:
    """The rows about a phone that a model was trained or measured on because of what a person said."""
    manifest = json.loads((run.settings.manifests_dir / f"{tag.replace(':', '-')}.json").read_text(encoding="utf-8"))
    assert manifest["recipe"]["rules_version"] == "v2"
    table = pq.read_table(run.settings.manifests_dir / manifest["recipe"]["rows"]["file"])
    mine = pc.and_(pc.equal(table["device_id"], device), pc.equal(table["label_source"], "person"))
    return table.filter(mine).to_pylist()
