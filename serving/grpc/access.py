"""A line in the log for each call, as HTTP's requests have one. Only for who asks for it."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import quote, unquote

import grpc

from ..observe.access import HEADER, id_in, log_request
from ..observe.logs import request_id

METHOD: Final = "GRPC"
LONGEST_NAME: Final = 200
"""Characters of a model's name: a caller may send megabytes of it."""


def path_of(method: str, request: Any = None) -> str:
    """What is asked for, as a path: the call, and the model that it names, escaped as in a URL."""
    name = getattr(request, "model_name", "") or getattr(request, "name", "")
    return f"{method}/{quote(name[:LONGEST_NAME], safe='', errors='replace')}" if name else method


class AccessLog(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """The call's own `x-request-id` is kept, if it is one; it comes back before the answer."""

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[grpc.RpcMethodHandler | None]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        handler = await continuation(details)
        if handler is None:
            return grpc.unary_unary_rpc_method_handler(_unknown(details.method))
        forms = (handler.request_deserializer, handler.response_serializer)
        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                _stream(details.method, handler.stream_stream), *forms
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                _stream(details.method, handler.unary_stream), *forms
            )
        return grpc.unary_unary_rpc_method_handler(
            _single(details.method, handler.unary_unary), *forms
        )


class _Watched:
    """A call's context, and the code that the call is ended with: gRPC does not tell of it."""

    def __init__(self, context: grpc.aio.ServicerContext) -> None:
        self._context = context
        self.ended_with = "OK"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def abort(self, code: grpc.StatusCode, *more: Any) -> None:
        self.ended_with = code.name
        await self._context.abort(code, *more)


class _Line:
    """Writes the line of one call at the end of an `async with`, which gives its context."""

    def __init__(self, path: str, context: grpc.aio.ServicerContext) -> None:
        self._path, self._context = path, _Watched(context)

    async def __aenter__(self) -> _Watched:
        self._began = time.perf_counter()
        metadata = self._context.invocation_metadata() or ()
        asked = id_in([(key.encode(), _bytes(value)) for key, value in metadata])
        # The call has a task of its own, and with it a context.
        request_id.set(asked)
        await self._context.send_initial_metadata(((HEADER.decode(), asked),))
        return self._context

    async def __aexit__(self, kind: type[BaseException] | None, error: object, _: object) -> None:
        left = kind is not None and not issubclass(kind, Exception)
        code = self._context.ended_with
        if kind is not None and code == "OK":
            code = "UNKNOWN"  # what gRPC says of an exception that nobody expected
        log_request(
            client=client_of(self._context.peer()),
            method=METHOD,
            path=self._path,
            status=None if left else code,
            timing=timing_of(self._context.trailing_metadata() or ()),
            took_s=time.perf_counter() - self._began,
        )


def _single(method: str, answer: Callable[[Any, Any], Awaitable[Any]]) -> Callable[..., Any]:
    async def told(request: Any, context: grpc.aio.ServicerContext) -> Any:
        async with _Line(path_of(method, request), context) as watched:
            return await answer(request, watched)

    return told


def _stream(method: str, answer: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    async def told(requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        async with (
            _Line(method, context) as watched,
            aclosing(answer(requests, watched)) as responses,
        ):
            async for response in responses:
                yield response

    return told


def _unknown(method: str) -> Callable[..., Any]:
    async def refuse(_: Any, context: grpc.aio.ServicerContext) -> None:
        async with _Line(method, context) as watched:
            await watched.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

    return refuse


def client_of(peer: str) -> str:
    """The address in gRPC's name for a peer: `ipv4:127.0.0.1:5000`, `ipv6:%5B::1%5D:5000`."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return "-"
    return unquote(rest).rpartition(":")[0].strip("[]")


def timing_of(metadata: Any) -> str:
    """The `server-timing` in a call's trailing metadata."""
    return next((str(value) for key, value in metadata if key == "server-timing"), "")


def _bytes(value: bytes | str) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
