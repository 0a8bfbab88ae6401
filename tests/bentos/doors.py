"""A door over an app of BentoML's that only says it was asked; requests are ASGI messages, so each can be late."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from bentos.config import ServingConfig
from bentos.metrics.prometheus import Metrics
from bentos.runtime import Runtime
from bentos.web.door import Door
from parked.clock import fixed_clock
from tests.bentos.fakes import NOW, FakeLabels, FakeSource, publish, settings_in, write_model

Message = dict[str, Any]
PARKED = b'{"device_id": "phone-parked"}'


class World:
    """A runtime over fakes with a model published, and a door to it."""

    def __init__(self, home: Path, source: FakeSource, **config: object) -> None:
        self.settings = settings_in(home, pointer_poll_s=0.05)
        publish(self.settings, write_model(self.settings, "v1"), 1)
        self.registry = CollectorRegistry()
        self.runtime = Runtime(
            self.settings,
            ServingConfig.model_validate(config),
            clock=fixed_clock(NOW),
            metrics=Metrics(self.registry),
            open_source=lambda: source,
            labels=FakeLabels(),
        )
        self.runtime.tick()
        self.door = Door(self._bentoml, lambda: self.runtime)

    async def _bentoml(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"bentoml"})

    async def ask(
        self,
        path: str,
        body: bytes | None = b"{}",
        headers: dict[str, str] | None = None,
        method: str = "POST",
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request; ``body`` None: it never arrives."""
        arrived = [] if body is None else [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[Message] = []

        async def receive() -> Message:
            if arrived:
                return arrived.pop()
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

        async def send(message: Any) -> None:
            sent.append(message)

        named = [(k.encode(), v.encode()) for k, v in (headers or {}).items()]
        scope = {"type": "http", "path": path, "method": method, "headers": named, "client": ("127.0.0.1", 1)}
        await self.door(scope, receive, send)
        start = sent[0]
        told = {name.decode(): value.decode() for name, value in start["headers"]}
        return start["status"], told, b"".join(message["body"] for message in sent[1:])

    def code(self, reply: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
        return reply[0], json.loads(reply[2])["error"]["code"]


Make = Callable[..., World]
"""(source, by default a ``FakeSource``; settings of ``ServingConfig`` by name) → a world of its own."""
