"""The hot path's door: raw ASGI in front of the application.

FastAPI owns every route and documents this one too, but inference must not pay
for routing, middleware and validation. Whatever is not a POST to an infer path
goes on to the application.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from .engine import Answer, Engine
from .errors import BodyTooLarge, UnsupportedEncoding, reply_to
from .protocol import InvalidRequest, decode, encode

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_INFER = re.compile(rb"/v2/models/([^/]+)(?:/versions/([0-9]+))?/infer")
_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")


# Watching for a caller to hang up costs 6 µs a request, and saves one row if it does.
# Where the answer comes sooner than this, that never pays.
WATCH_FROM_S = 0.05


class CallerLeft(Exception):
    """Nobody is there to be answered."""


@lru_cache(maxsize=1024)
def infer_target(raw_path: bytes) -> tuple[str, str | None] | None:
    """The model's name and version in an infer path; None if the path is another one."""
    match = _INFER.fullmatch(raw_path)
    if match is None:
        return None
    name, version = match.groups()
    return unquote(name.decode("latin-1")), version.decode() if version else None


class Gate:
    """Lets inference through to its own code and everything else to the application."""

    def __init__(self, app: App, inference: "Inference") -> None:
        self._app = app
        self._inference = inference

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            target = infer_target(scope.get("raw_path") or scope["path"].encode())
            if target is not None:
                await self._inference.answer(*target, scope, receive, send)
                return
        await self._app(scope, receive, send)


class Inference:
    """One inference request over ASGI, from its head to the last byte of its answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._max_body_bytes = engine.settings.max_body_bytes

    async def answer(
        self, name: str, version: str | None, scope: Message, receive: Receive, send: Send
    ) -> None:
        """Answer one request, right or wrong."""
        try:
            status = 200
            headers, body = await self._infer(name, version, scope, receive)
        except CallerLeft:
            return
        except Exception as error:
            status, body = reply_to(error)
            headers = [_JSON]
            if isinstance(error, BodyTooLarge):
                # What is left of the body is not worth reading to get to a next request.
                headers.append((b"connection", b"close"))
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _infer(
        self, name: str, version: str | None, scope: Message, receive: Receive
    ) -> tuple[list[tuple[bytes, bytes]], bytes]:
        json_length = self._check_headers(scope["headers"])
        body = await self._read(receive)
        request = decode(body, json_length)
        call = self._engine.infer(name, version, request.inputs)
        if self._engine.wait_s(name) < WATCH_FROM_S:
            answer = await call
        else:
            answer = await _while_there(call, receive)
        encoded = encode(answer.model_name, answer.model_version, request, answer.outputs)
        if encoded.json_length is None:
            headers = [_JSON]
        else:
            length = b"%d" % encoded.json_length
            headers = [_BINARY, (b"inference-header-content-length", length)]
        if batch := answer.batch:
            timing = b"queue;dur=%.3f, run;dur=%.3f, batch;desc=%d"
            values = (answer.waited_s * 1e3, batch.run_s * 1e3, batch.rows)
            headers.append((b"server-timing", timing % values))
        return headers, encoded.body

    def _check_headers(self, headers: list[tuple[bytes, bytes]]) -> int | None:
        """Refuse what need not be read; else the length of the JSON, if that is given."""
        json_length = None
        for name, value in headers:
            if name == b"inference-header-content-length":
                if not value.isdigit() or len(value) > 18:
                    raise InvalidRequest(
                        "Inference-Header-Content-Length: expected a whole number, "
                        f"got {value[:40].decode('latin-1')!r}"
                    )
                json_length = int(value)
            elif name == b"content-length":
                if int(value) > self._max_body_bytes:
                    raise BodyTooLarge(self._max_body_bytes)
            elif name == b"content-encoding" and value.lower() != b"identity":
                raise UnsupportedEncoding(value.decode("latin-1"))
        return json_length

    async def _read(self, receive: Receive) -> bytes:
        """The body, within its bound whatever was announced."""
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            parts, size = [body], len(body)
            while message.get("more_body"):
                if size > self._max_body_bytes:
                    break
                message = await receive()
                parts.append(message.get("body", b""))
                size += len(parts[-1])
            body = b"".join(parts)
        if message["type"] == "http.disconnect":
            raise CallerLeft
        if len(body) > self._max_body_bytes:
            raise BodyTooLarge(self._max_body_bytes)
        return body


async def _while_there(call: Coroutine[Any, Any, Answer], receive: Receive) -> Answer:
    """The call's answer; or CallerLeft, and the call cancelled, if the caller hangs up first."""
    calling = asyncio.ensure_future(call)
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait([calling, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not calling.done():
            raise CallerLeft
        return calling.result()
    finally:
        calling.cancel()
        leaving.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
