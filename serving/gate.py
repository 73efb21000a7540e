"""The hot path's door: raw ASGI in front of the application.

FastAPI owns every route and documents this one too, but inference must not pay
for routing, middleware and validation. Whatever is not a POST to an infer path
goes on to the application.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from batching import TooLate

from .content_coding import compressed, decompressed, glance
from .deployment import DEFAULT_PRIORITY, Answer, Deployment
from .engine import Engine
from .errors import BodyTooLarge, Reply, UnsupportedEncoding, reply_to
from .observe.tracing import followed
from .protocol import Encoded, InferRequest, InvalidRequest, decode, decode_raw, encode
from .protocol.compression import Accepted, Coding, accepted, content_coding
from .timing import server_timing
from .wire_form import raw_inputs

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_INFER = re.compile(rb"/v2/models/([^/]+)(?:/versions/([0-9]+))?/infer")
_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")


# Watching for a caller to hang up costs 6 µs a request, and saves one row if it does.
# Where the answer comes sooner than this, that never pays.
WATCH_FROM_S = 0.25


# Bodies up to here are looked into before a refusal: for more time, or another priority.
PEEK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Head:
    """What a request's headers say."""

    json_length: int | None
    """0 for a body without JSON, which is all one input."""
    length: int
    """0 where it is not said."""
    timeout_s: float | None
    coding: Coding | None = None
    """How the body is compressed."""
    accepted: Accepted | None = None
    """How the reply may be."""


class OnlyByTheGate(Exception):
    """The request is a rare one, which only the gate's own code answers."""


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
        self.deployment = engine.deployment
        self.max_body_bytes = engine.settings.max_body_bytes

    async def answer(
        self, name: str, version: str | None, scope: Message, receive: Receive, send: Send
    ) -> None:
        """Answer one request, right or wrong."""
        try:
            status, body, headers = await self._infer(name, version, scope["headers"], receive)
        except CallerLeft:
            return
        except Exception as error:
            status, body, headers = reply_to(error)
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _infer(
        self, name: str, version: str | None, headers: Headers, receive: Receive
    ) -> Reply:
        arrived = time.monotonic()
        deployment = self.deployment(name, version)
        try:
            head = self._head(headers)
        except (InvalidRequest, BodyTooLarge, UnsupportedEncoding) as error:
            deployment.statistics.failed(error)
            raise
        refusal, needed_s = first_look(deployment, head, arrived)
        body = None
        if refusal is not None:
            # Saying no must cost far less than saying yes: nothing is read or raised. But a
            # small body may say that its caller has more time than the model's own limit.
            if may_say_more(head):
                body = await self._read(receive)
            if body is None or not says_more(glance(body, head.coding), head.timeout_s):
                deployment.statistics.too_late()
                return reply_to(refusal)
        with followed(
            deployment.tracer,
            headers,
            model=deployment.name,
            version=deployment.version,
            arrived=arrived,
            left=(asyncio.CancelledError, CallerLeft),
        ) as trace:
            try:
                if body is None:
                    body = await self._read(receive)
                request = await self._decoded(body, head, deployment)
            except (InvalidRequest, BodyTooLarge, UnsupportedEncoding) as error:
                deployment.statistics.failed(error)
                raise
            call = deployment.infer(
                request.inputs,
                arrived=arrived,
                timeout_s=head.timeout_s if request.timeout_s is None else request.timeout_s,
                priority=request.priority,
                trace=trace,
            )
            answer = await (call if needed_s < WATCH_FROM_S else _while_there(call, receive))
            began = time.monotonic()
            encoded = encode(
                deployment.name, deployment.version, request, answer.outputs, deployment.outputs
            )
            timing = None
            if answer.batch is not None:
                encode_s = time.monotonic() - began
                timing = server_timing(answer.batch, answer.waited_s, encode_s)
            reply = reply_with(encoded, timing)
            return reply if head.accepted is None else await compressed(reply, head.accepted)

    async def _decoded(self, body: bytes, head: Head, deployment: Deployment) -> InferRequest:
        """The request in a body, which asks for nothing that the model has not."""
        if head.coding is not None:
            body = await decompressed(body, head.coding, self.max_body_bytes)
        if head.json_length == 0:
            request = decode_raw(body, raw_inputs(deployment.signature))
        else:
            request = decode(body, head.json_length)
        deployment.outputs.check(request)
        return request

    def read_head(self, headers: Headers) -> Head:
        """What the headers of most requests say, for whoever answers only those.

        Raises for what makes reading the body needless, and OnlyByTheGate for a body that is
        compressed or raw, and for a reply that is to be compressed whatever it is.
        """
        head = self._head(headers)
        asked_for = head.accepted is not None and head.accepted.asked_for
        if asked_for or head.coding is not None or head.json_length == 0:
            raise OnlyByTheGate
        return head

    def _head(self, headers: Headers) -> Head:
        """What the headers say; raises for what makes reading the body needless."""
        json_length = timeout_s = None
        content_length = 0
        coding = accept = b""
        for name, value in headers:
            if name == b"inference-header-content-length":
                json_length = _whole("Inference-Header-Content-Length", value)
            elif name == b"content-length":
                content_length = _whole("Content-Length", value)
                if content_length > self.max_body_bytes:
                    raise BodyTooLarge(self.max_body_bytes)
            elif name == b"x-request-timeout-ms":
                timeout_s = _whole("X-Request-Timeout-Ms", value) / 1e3
            elif name == b"accept-encoding":
                accept = accept + b"," + value if accept else value
            elif name == b"content-encoding":
                coding = coding + b"," + value if coding else value
        return Head(
            json_length,
            content_length,
            timeout_s,
            _coding(coding) if coding else None,
            accepted(accept) if accept else None,
        )

    async def _read(self, receive: Receive) -> bytes:
        """The body, within its bound whatever was announced."""
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            parts, size = [body], len(body)
            while message.get("more_body"):
                if size > self.max_body_bytes:
                    break
                message = await receive()
                parts.append(message.get("body", b""))
                size += len(parts[-1])
            body = b"".join(parts)
        if message["type"] == "http.disconnect":
            raise CallerLeft
        if len(body) > self.max_body_bytes:
            raise BodyTooLarge(self.max_body_bytes)
        return body


def first_look(deployment: Deployment, head: Head, arrived: float) -> tuple[TooLate | None, float]:
    """Before a body is read: the refusal, if its answer would come too late; the seconds to it.

    What the body may change, and is looked into for, is not held against it.
    """
    patience_s = deployment.default_patience_s if head.timeout_s is None else head.timeout_s
    now = time.monotonic()
    # What has passed since the bytes came is gone.
    left_s = patience_s - (now - arrived)
    priority = DEFAULT_PRIORITY if may_say_more(head) else 0
    needed_s = deployment.needed_s(left_s, now, priority)
    late = needed_s > left_s
    return TooLate(needed_s=needed_s, allowed_s=patience_s) if late else None, needed_s


def may_say_more(head: Head) -> bool:
    """Whether the body may still say what its caller wants, and is worth reading for that."""
    return 0 < head.length <= PEEK_BYTES


def says_more(body: bytes, timeout_s: float | None) -> bool:
    """Whether it seems to. timeout_s: what the head says; it is believed."""
    return b'"parameters"' in body and (
        b'"priority"' in body or (timeout_s is None and b'"timeout"' in body)
    )


def reply_with(encoded: Encoded, timing: bytes | None) -> Reply:
    """The reply that brings them. timing: see `server_timing`."""
    if encoded.json_length is None:
        headers = [_JSON]
    else:
        length = b"%d" % encoded.json_length
        headers = [_BINARY, (b"inference-header-content-length", length)]
    if timing is not None:
        headers.append((b"server-timing", timing))
    return Reply(200, encoded.body, headers)


def _coding(header: bytes) -> Coding | None:
    try:
        return content_coding(header)
    except LookupError:
        raise UnsupportedEncoding(header.decode("latin-1")) from None


def _whole(header: str, value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:
        shown = value[:40].decode("latin-1")
        raise InvalidRequest(f"{header}: expected a whole number, got {shown!r}")
    return int(value)


async def _while_there(call: Coroutine[Any, Any, Answer], receive: Receive) -> Answer:
    """The call's answer; or CallerLeft, and the call cancelled, if the caller hangs up first."""
    task = asyncio.current_task()
    assert task is not None
    watch = asyncio.create_task(_cancel_when_gone(task, receive))
    try:
        return await call
    except asyncio.CancelledError:
        if watch.done() and not task.uncancel():
            raise CallerLeft from None
        raise  # it was the server that cancelled
    finally:
        watch.cancel()


async def _cancel_when_gone(task: asyncio.Task[Any], receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()
