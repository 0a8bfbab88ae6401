"""Starting the service as a process of its own, knowing when it is ready, and stopping it."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from bentos.config import load_config
from parked.errors import ConflictError, InternalError, SettingError
from parked.settings import Settings

SERVICE = "bentos.service:WhereYouParked"
GRACE_S = 15
"""How long a stopping server may finish what it has begun before it is killed."""


@dataclass
class ServerHandle:
    """A running server: BentoML's supervisor and its workers, in a process group of their own."""

    url: str
    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def pid(self) -> int:
        """Of the supervisor, which leads the process group."""
        return self.process.pid

    def readiness(self) -> tuple[bool, str]:
        """Whether ``/readyz`` says ready, and what it says."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as response:
                return True, response.read().decode()
        except urllib.error.HTTPError as error:
            return False, error.read().decode()
        except OSError as error:
            return False, str(error)

    def alive(self) -> bool:
        """Whether the supervisor still runs."""
        return self.process.poll() is None

    def wait_ready(self, timeout_s: float = 60.0) -> float:
        """Wait until ``/readyz`` says ready; returns the seconds waited.

        Raises InternalError where the server ended, or was not ready in time (with its own reasons).
        """
        began = time.monotonic()
        while True:
            if not self.alive():
                raise InternalError(f"the server ended with code {self.process.returncode}; see {self.log_file}")
            ready, said = self.readiness()
            waited = time.monotonic() - began
            if ready:
                return waited
            if waited > timeout_s:
                raise InternalError(f"the server was not ready within {timeout_s:g} s: {said}; see {self.log_file}")
            time.sleep(0.05)

    def stop(self, grace_s: float = GRACE_S) -> int:
        """End the server: SIGTERM, and SIGKILL to its own process group after ``grace_s``. Returns its exit code."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(grace_s)
        # The supervisor may have died and left workers; the group is ours alone (start_new_session).
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def __enter__(self) -> ServerHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_server(
    settings: Settings,
    *,
    host: str | None = None,
    port: int | None = None,
    workers: int = 1,
    bento: str | None = None,
    service: str = SERVICE,
) -> ServerHandle:
    """Start ``python -m bentoml serve`` and return at once (``wait_ready`` waits).

    ``host``/``port`` default to the settings'; port 0 picks a free one. ``bento`` serves a built bento (its tag)
    instead of this code's ``service`` (``module:name``). Raises ConflictError where the port is taken, SettingError
    for a host that is no IP address of this machine, or one that others can reach while no token is asked for.
    """
    host = host or settings.host
    require_tokens_off_loopback(host, load_config().auth)
    port = require_free_port(host, settings.port if port is None else port)
    log_file = settings.home / "logs" / f"serve-{port}.log"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    # A bento brings its own code: of ours nothing need be there.
    metrics = str(settings.home / "serving" / f"metrics-{port}")
    bentoml = ["bentoml"] if bento is not None else ["bentos.supervisor", metrics]
    command = [sys.executable, "-m", *bentoml, "serve", bento or service, "--host", host, "--port", str(port)]
    command += ["--timeout-graceful-shutdown", str(GRACE_S - 5)]
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=settings.home,
            env=server_environment(settings, workers, own_code=bento is not None),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    shown = f"[{host}]" if ":" in host else host
    return ServerHandle(f"http://{shown}:{port}", process, log_file)


def server_environment(settings: Settings, workers: int, *, own_code: bool = False) -> dict[str, str]:
    """The child's environment: ours, with every setting spelled out, and BentoML told to keep to itself.

    ``own_code``: what is served brings its own code (a bento); otherwise this code is put on its path.
    """
    environment = dict(os.environ)
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is not None:
            environment[f"PARKED_{name.upper()}"] = str(value)
    environment["PARKED_SERVE_WORKERS"] = str(workers)
    environment["BENTOML_HOME"] = str(settings.bentoml_home)
    environment["BENTOML_DO_NOT_TRACK"] = "True"
    if not own_code:
        # The child's working directory is home, so that BentoML takes no file of the caller's for a service.
        root = str(Path(__file__).resolve().parents[1])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
    settings.bentoml_home.mkdir(parents=True, exist_ok=True)
    return environment


def require_tokens_off_loopback(host: str, auth: str) -> None:
    """Raises SettingError for an address that others can reach (not loopback) while no token is asked for."""
    with contextlib.suppress(ValueError):  # what is no address at all has a message of its own
        if auth == "open" and not ipaddress.ip_address(host).is_loopback:
            raise SettingError(
                f"host {host!r}: others can reach it, and PARKED_SERVE_AUTH=open asks nobody who they are",
                mend="set PARKED_SERVE_AUTH=tokens and make a token with `parked tokens create`",
            )


def require_free_port(host: str, port: int) -> int:
    """``port`` if a server can listen there, or a free one for 0.

    Raises ConflictError where it is taken, SettingError where ``host`` is no IP address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, host)
    except OSError:
        raise SettingError(f"host {host!r}: not an IP address", mend="give one of this machine, as 127.0.0.1") from None
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                raise ConflictError(
                    f"port {port} on {host}: {error.strerror}", mend="choose another with --port"
                ) from None
            raise SettingError(f"host {host!r}: {error.strerror}", mend="give an address of this machine") from None
        return int(probe.getsockname()[1])
