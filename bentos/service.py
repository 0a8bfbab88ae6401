"""The BentoML service. Declared here for BentoML (documentation, packaging, workers); answered by ``bentos.web.door``.

Heavy imports happen in the worker's constructor: BentoML's supervisor imports this module too, and needs none of them.
"""

# mypy skips BentoML (pyproject.toml), so its decorators have no type.
# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

from typing import TYPE_CHECKING

import bentoml

from bentos.config import load_config
from bentos.connections.drain import Drain, supervise
from bentos.connections.open_files import raise_limit
from bentos.connections.opening import Opening
from bentos.connections.short_way import ShortWay
from bentos.messages import (
    ConfirmAnswer,
    ConfirmRequest,
    ModelAnswer,
    ModelRequest,
    ScoreAnswer,
    ScoreRequest,
    WhereParkedAnswer,
    WhereParkedRequest,
)
from bentos.messages_explain import CorrectAnswer, CorrectRequest, ExplainAnswer, ExplainRequest
from bentos.metrics.room import take_room
from bentos.unfailing import log_without_failing
from bentos.web.door import Door
from bentos.web.endpoints import SHORT
from bentos.web.http import App
from parked.tokens import EVERYTHING

if TYPE_CHECKING:
    from bentos.runtime import Runtime

_CONFIG = load_config()
_runtime: Runtime | None = None


def _worker() -> Runtime | None:
    return _runtime


def _stands_back() -> bool:
    return _runtime is not None and _runtime.stands_back()


# New-style services ignore BENTOML_CONFIG_OPTIONS: everything is a decorator argument. Tracing and the access log
# cost more than an answer, and the log would say who asked; each request holds a timer for its timeout.
class Fronted(bentoml.Service):  # type: ignore[misc]
    """BentoML's service with our door around all of it (``bentos.web.door`` says why)."""

    def to_asgi(self, is_main: bool = True) -> App:
        """The worker's ASGI app."""
        raise_limit()
        log_without_failing()
        take_room()  # BentoML's own counts begin with its app
        door = Door(super().to_asgi(is_main), worker=_worker)
        short = ShortWay(SHORT, door.at_once, head_s=_CONFIG.timeout_s)
        opening = Opening(_stands_back) if _CONFIG.workers > 1 else None
        return Drain(door, short, workers=_CONFIG.workers, opening=opening)

    def has_custom_command(self) -> bool:
        """Asked by BentoML's supervisor when all is up, by its main thread: the moment to see to its stopping."""
        supervise()
        return bool(super().has_custom_command())


@bentoml.service(
    service_class=Fronted,
    name="where_you_parked",
    workers=_CONFIG.workers,
    traffic={"timeout": _CONFIG.timeout_s},
    http={"host": "127.0.0.1"},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)
class WhereYouParked:
    """Where did this phone's owner park? Probabilities are a model's, places and times are facts."""

    def __init__(self) -> None:
        """Build this worker's runtime. Never raises for a missing model or store: that respawns for ever."""
        global _runtime
        from bentos.wiring import build_runtime

        self._runtime = build_runtime(_CONFIG)
        self._runtime.start()
        _runtime = self._runtime

    @bentoml.on_shutdown
    def stop(self) -> None:
        """Write what the prediction log holds."""
        self._runtime.stop()

    def __is_ready__(self) -> bool:
        return self._runtime.readiness().ready

    @bentoml.api
    def where_parked(self, request: WhereParkedRequest, /) -> WhereParkedAnswer:
        """Where is the vehicle of this phone's owner: parked (with the spot), driving, or unknown."""
        return WhereParkedAnswer.model_validate(self._runtime.application.where_parked(request))

    @bentoml.api
    def score(self, request: ScoreRequest, /) -> ScoreAnswer:
        """Probabilities of many candidates at once, without a decision."""
        return ScoreAnswer.model_validate(self._runtime.application.score(request))

    @bentoml.api
    def confirm(self, request: ConfirmRequest, /) -> ConfirmAnswer:
        """A person says: my vehicle was (not) parked there then. Idempotent."""
        return self._runtime.application.confirm(request)

    @bentoml.api
    def correct(self, request: CorrectRequest, /) -> CorrectAnswer:
        """A person says: this answer was wrong, or where the vehicle really was. Idempotent."""
        return self._runtime.hindsight.correct(request, EVERYTHING)

    @bentoml.api
    def explain(self, request: ExplainRequest, /) -> ExplainAnswer:
        """Why was this answered? By the model that answered, from what it was given."""
        return ExplainAnswer.model_validate_json(self._runtime.hindsight.explain(request, EVERYTHING))

    @bentoml.api
    def model(self, _request: ModelRequest, /) -> ModelAnswer:
        """What is being served (GET works too)."""
        return self._runtime.application.model()
