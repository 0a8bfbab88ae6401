"""uvicorn with the short way on a free port, and what is said to it over the wire."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import uvicorn

from bentos.connections.protocol import install
from bentos.connections.short_way import ShortWay
from bentos.web.http import HeaderList, Reply

SHORT, LONG = "/short", "/long"


class Served:
    """uvicorn on a free port, whose app and short way both say what they were asked, and which of them was."""

    def __init__(self, **config: Any) -> None:
        self.waits: set[bytes] = set()
        """Bodies that are not for the short way."""
        self.by: list[str] = []
        self.short = ShortWay([SHORT], self._answer)
        log = logging.getLogger("uvicorn.access")
        log.setLevel(logging.WARNING)
        made = uvicorn.Config(
            self._app,
            interface="asgi3",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            **config,
        )
        self.server = uvicorn.Server(made)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]

    def _answer(self, path: str, headers: HeaderList, body: bytes, client: Sequence[Any] | None) -> Reply | None:
        assert client is not None
        assert client[0] == "127.0.0.1"
        if body in self.waits:
            return None
        self.by.append("short")
        status = 200 if body != b"bad" else 422
        more = [(b"retry-after", b"1")] if body == b"bad" else []
        said = path.encode() + b" " + body * (5_000_000 if body == b"big" else 1)
        return Reply(status, said, dict(headers).get(b"x-request-id", b"-"), more)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", scope["path"] != "/long-unread"
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.by.append("long")
        ident = dict(scope["headers"]).get(b"x-request-id", b"-")
        said = scope["path"].encode() + b" " + body * (5_000_000 if body == b"big" else 1)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(said)),
            (b"x-request-id", ident),
        ]
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said})

    def run(self, client: Callable[[Served], Awaitable[None]]) -> None:
        """Serve while ``client`` asks."""

        async def both() -> None:
            self.server.config.load()
            install(self.short, self.server)
            serving = asyncio.create_task(self.server._serve([self.socket]))
            while not self.server.started:
                await asyncio.sleep(0.001)
            try:
                await asyncio.wait_for(client(self), 30)
            finally:
                self.server.should_exit = True
                await serving

        asyncio.run(both())


def post(path: str, body: bytes, ident: str = "-", *headers: str, version: str = "1.1", method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "host: x", f"x-request-id: {ident}", *headers]
    if not any(line.lower().startswith("transfer-encoding") for line in headers):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def replies(reader: asyncio.StreamReader, count: int) -> list[tuple[int, dict[bytes, bytes], bytes]]:
    told = []
    for _ in range(count):
        status, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines)
        told.append((int(status.split()[1]), headers, await reader.readexactly(int(headers[b"content-length"]))))
    return told
