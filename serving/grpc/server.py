"""The gRPC server: it listens beside the HTTP server, in the same event loop."""

from typing import Self

import grpc
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from ..engine import Engine
from .generated.inference_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from .health import Health
from .service import InferenceService


class GrpcServer:
    """The service and its health, on one port: listens inside its `async with`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.port = engine.settings.grpc_port
        """Where it listens, once it is started; 0 takes any free one."""

    async def __aenter__(self) -> Self:
        """Listen. Raises RuntimeError if the port cannot be had."""
        settings = self._engine.settings
        self._health = Health(self._engine)
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", min(settings.max_body_bytes, 2**31 - 1)),
                ("grpc.max_send_message_length", -1),
                # Or a second server on the same port would take half of the calls, unnoticed.
                ("grpc.so_reuseport", 0),
            ]
        )
        add_GRPCInferenceServiceServicer_to_server(InferenceService(self._engine), self._server)
        add_HealthServicer_to_server(self._health, self._server)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.port = self._server.add_insecure_port(f"{host}:{self.port}")
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Take no new calls; those that are here are answered, within `drain_s`."""
        self._health.stop()
        await self._server.stop(self._engine.settings.drain_s)
