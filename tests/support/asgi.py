"""The server inside the test's own process, called as an ASGI server calls it."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from models import find_models
from serving.engine import Engine
from serving.gate import App, Gate, Inference, Message
from serving.http import create_http_app
from serving.settings import Settings

WAIT_S = 10.0
"""Far more than anything here takes; only a hang takes so long."""


def door(engine: Engine, *, gate: bool = True) -> App:
    """The application, with the gate in front of it or alone. The engine's life is the test's."""

    @asynccontextmanager
    async def no_lifespan(_: object) -> AsyncIterator[None]:
        yield

    inference = Inference(engine)
    app: App = create_http_app(engine, inference, no_lifespan)
    return Gate(app, inference) if gate else app


def client(app: App) -> httpx.AsyncClient:
    """A client of the application."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@asynccontextmanager
async def loaded(*paths: Path, **settings: Any) -> AsyncIterator[Engine]:
    """An engine with the models at the paths, the shipped ones if there are none."""
    engine = Engine(find_models(paths), Settings(models=paths, **settings))
    engine.start()
    try:
        await engine.loaded()
        yield engine
    finally:
        await engine.stop()


def error_of(reply: "httpx.Response | Reply") -> str:
    """The message of an error, which must have the one form that errors have."""
    assert reply.status_code >= 400
    assert reply.headers["content-type"] == "application/json"
    body = reply.json()
    assert list(body) == ["error"]
    assert isinstance(body["error"], str)
    return str(body["error"])


@dataclass(frozen=True)
class Reply:
    """What the application sent."""

    status_code: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """One request by hand: the test says when each part of it arrives, and when the caller goes.

    async with Caller(app, "/v2/models/m/infer") as caller:
        caller.send(b"{", more=True)
        caller.send(b"}")
        reply = await caller.reply()
    """

    def __init__(
        self, app: App, path: str, *headers: tuple[str, str], method: str = "POST", **scope: Any
    ) -> None:
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        self._sent: list[Message] = []
        self._app = app
        self._scope: Message = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
            **scope,
        }

    async def __aenter__(self) -> Self:
        called = self._app(self._scope, self._incoming.get, self._send)
        self._answering = asyncio.ensure_future(called)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._answering.cancel()
        await asyncio.gather(self._answering, return_exceptions=True)

    async def _send(self, message: Message) -> None:
        self._sent.append(message)

    def send(self, body: bytes, *, more: bool = False) -> None:
        """A part of the body arrives."""
        self._incoming.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def leave(self) -> None:
        """The caller hangs up."""
        self._incoming.put_nowait({"type": "http.disconnect"})

    async def ended(self) -> Sequence[Message]:
        """Wait until the application has nothing more to do; what it sent."""
        await asyncio.wait_for(asyncio.shield(self._answering), WAIT_S)
        return self._sent

    async def reply(self) -> Reply:
        """The application's answer, which must be one."""
        start, body = await self.ended()
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        assert int(headers["content-length"]) == len(body["body"])
        return Reply(start["status"], headers, body["body"])
