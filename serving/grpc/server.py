"""The gRPC server: it listens beside the HTTP server, in the same event loop."""

import asyncio
import time
from typing import Any, NoReturn, Self

import grpc
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from batching import Draining

from ..engine import Engine
from ..observe.report import Reports
from .access import AccessLog
from .generated.inference_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from .health import Health
from .missing import MissingCalls
from .service import InferenceService

REFUSE_S = 0.25
"""How long calls are refused before connections are closed."""


class _NoMore:
    """In the place of the engine: as that, but for new calls."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def deployment(self, *_: object) -> NoReturn:
        raise Draining


class GrpcServer:
    """The service and its health, on one port: listens inside its `async with`."""

    def __init__(self, engine: Engine, reports: Reports | None = None) -> None:
        """reports: what statistics are of, if not of this process alone."""
        self._engine, self._reports = engine, reports
        self._server: grpc.aio.Server | None = None
        self.port = engine.settings.grpc_port
        """Where it listens, once it is started; 0 takes any free one."""

    async def __aenter__(self) -> Self:
        """Listen. Raises RuntimeError if the port cannot be had."""
        settings = self._engine.settings
        self._health = Health(self._engine)
        server = grpc.aio.server(
            interceptors=[AccessLog()] if settings.access_log else None,
            options=[
                ("grpc.max_receive_message_length", min(settings.max_body_bytes, 2**31 - 1)),
                ("grpc.max_send_message_length", -1),
                # Or a second server on the same port would take half of the calls, unnoticed:
                # only workers of one server may share it, which have looked for others before.
                ("grpc.so_reuseport", int(settings.workers > 1)),
            ],
        )
        self._service = InferenceService(self._engine, self._reports)
        add_GRPCInferenceServiceServicer_to_server(self._service, server)
        add_HealthServicer_to_server(self._health, server)
        server.add_generic_rpc_handlers((MissingCalls(),))
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.port = server.add_insecure_port(f"{host}:{self.port}")
        await server.start()
        self._server = server
        return self

    async def __aexit__(self, *_: object) -> None:
        """Take no new calls; those that are here are answered, within `drain_s`."""
        await self.finish(time.monotonic() + self._engine.settings.drain_s)

    async def start(self) -> None:
        """As entering it."""
        await self.__aenter__()

    def drain(self) -> None:
        """Whoever watches the health hears of the end; all calls are still served."""
        if self._server is not None:
            self._health.stop()

    async def finish(self, until: float) -> bool:
        """Take no new calls; say whether those that are here are answered by that instant.

        until: an instant of time.monotonic(). Calls that are not are aborted then.
        """
        if self._server is None:
            return True
        self.drain()
        # A call that has come and is not begun when the server stops is CANCELLED, which looks
        # as if its caller had done so. So for a moment they are refused in words: UNAVAILABLE.
        self._service._engine = _NoMore(self._engine)  # type: ignore[assignment]
        await asyncio.sleep(min(REFUSE_S, max(0.0, until - time.monotonic())))
        await self._server.stop(max(0.0, until - time.monotonic()))
        return time.monotonic() < until

    async def close(self) -> None:
        """Nobody is here after `finish`."""
