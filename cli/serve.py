"""``parked serve`` and ``parked package``: the REST service, from this code or from a built bento."""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import JsonOption, emit, note
from cli.inputs import RulesOption, settings_of

if TYPE_CHECKING:
    from bentos.launch import ServerHandle
    from parked.settings import Settings

SLOW_S = 30.0
"""A server that is not ready after this long says why (a cold start takes seconds, most of it importing Feast)."""


def serve(
    host: Annotated[str | None, typer.Option(help="IP address to listen on; default 127.0.0.1 (PARKED_HOST).")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 picks a free one; default 3000 (PARKED_PORT).")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Server processes sharing the port.")] = 1,
    wait: Annotated[
        bool, typer.Option("--wait", help="Start even if no model is published yet; ready once it is.")
    ] = False,
    bento: Annotated[str | None, typer.Option(help="Serve this built bento (see parked package).")] = None,
    rules: RulesOption = None,
    json: JsonOption = False,
) -> None:
    """Serve the published model over HTTP until stopped (Ctrl-C). A newly published model is taken up while running.

    Each rules version has its own model and features; servers of several can run on one home, on ports of their own.

    Example: parked serve --port 3000
    """
    from bentos.launch import start_server

    settings = settings_of(rules, host=host, port=port)
    if bento is None and not wait:
        _require_published(settings)
    stopping = _Stopping()
    server = start_server(settings, workers=workers, bento=bento)
    try:
        waited = _until_ready(server, stopping)
        if waited is not None:
            answer = {
                "url": server.url,
                "rules": settings.rules,
                "pid": server.pid,
                "ready_after_s": round(waited, 2),
                "log": str(server.log_file),
            }
            emit(
                answer,
                json=json,
                text=f"Serving on {server.url} by rules {settings.rules} (ready after {waited:.1f} s, "
                f"log {server.log_file}). Ctrl-C stops it.",
            )
        while not stopping.asked and server.alive():
            time.sleep(0.2)
    finally:
        ended_by_itself = not server.alive() and not stopping.asked
        code = server.stop()
    if ended_by_itself:
        from parked.errors import InternalError

        raise InternalError(f"the server ended with code {code}; see {server.log_file}")
    note("Stopped.")


def package(rules: RulesOption = None, json: JsonOption = False) -> None:
    """Build a bento: our code and the published model in one folder that serves on its own.

    Example: parked package
    """
    from bentos.build import build_bento

    settings = settings_of(rules)
    tag = build_bento(settings)
    folder = settings.bentoml_home / "bentos" / tag.replace(":", "/")
    emit(
        {"bento": tag, "path": str(folder)},
        json=json,
        text=f"Built {tag} in {folder}. Serve it with: parked serve --bento {tag}",
    )


class _Stopping:
    """Whether SIGINT or SIGTERM asked us to stop. The server runs in its own process group and hears it from us."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


def _require_published(settings: Settings) -> None:
    """Raises NotFoundError where there is nothing to serve, else what ``parked.pointer.published`` raises."""
    from bentos.model.scorer import model_dir_of
    from parked.errors import NotFoundError
    from parked.pointer import published

    pointer = published(settings)
    if pointer is None:
        raise NotFoundError(
            f"no model is published in {settings.rules_dir}",
            mend="run `parked train` and `parked publish`, or start with --wait",
        )
    model_dir_of(settings, pointer.model_tag)


def _until_ready(server: ServerHandle, stopping: _Stopping) -> float | None:
    """Seconds until ready; None where it ended or was asked to stop before. Says once why it takes long."""
    began = time.monotonic()
    told = False
    while not stopping.asked and server.alive():
        ready, said = server.readiness()
        waited = time.monotonic() - began
        if ready:
            return waited
        if not told and waited > SLOW_S:
            note(f"Not ready yet: {said}")
            told = True
        time.sleep(0.1)
    return None
