"""`grpc.health.v1.Health`, which Kubernetes and load balancers ask."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer

from ..engine import Engine

LOOK_EVERY_S = 1.0
"""How late a watcher may hear of a change. Nobody looks while nobody watches."""


class Health(HealthServicer):  # type: ignore[misc]
    """SERVING while every model answers. The name of the service does not matter, as in Triton."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._stopping = asyncio.Event()

    async def Check(self, _: Any, __: Any) -> HealthCheckResponse:  # noqa: N802
        return self._response()

    async def Watch(self, _: Any, __: Any) -> AsyncIterator[HealthCheckResponse]:  # noqa: N802
        told = None
        while told is None or not self._stopping.is_set():
            response = self._response()
            if response != told:
                told = response
                yield response
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), LOOK_EVERY_S)
        if told != (last := self._response()):
            yield last

    def stop(self) -> None:
        """Not serving any more; who watches hears of it and is let go."""
        self._stopping.set()

    def _response(self) -> HealthCheckResponse:
        ready = not self._stopping.is_set() and self._engine.why_not_ready() is None
        status = HealthCheckResponse.SERVING if ready else HealthCheckResponse.NOT_SERVING
        return HealthCheckResponse(status=status)
