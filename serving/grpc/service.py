"""Each call of the service, on its way to the engine and back."""

import time
from typing import Any, NoReturn, TypeAlias
from urllib.parse import quote

import grpc

from ..engine import Engine
from ..errors import message_of, retry_after, status_of
from ..http.metadata import model_metadata, server_metadata
from ..timing import server_timing
from . import messages
from .generated import inference_pb2 as pb
from .generated.inference_pb2_grpc import GRPCInferenceServiceServicer

Context: TypeAlias = grpc.aio.ServicerContext

MAX_DETAILS = 4096
"""Bytes. They travel as a header, of which clients take 8 KiB in all."""


class InferenceService(GRPCInferenceServiceServicer):
    """`inference.GRPCInferenceService`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def ServerLive(self, _: Any, __: Context) -> pb.ServerLiveResponse:  # noqa: N802
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, _: Any, __: Context) -> pb.ServerReadyResponse:  # noqa: N802
        return pb.ServerReadyResponse(ready=self._engine.why_not_ready() is None)

    async def ServerMetadata(self, _: Any, __: Context) -> pb.ServerMetadataResponse:  # noqa: N802
        return pb.ServerMetadataResponse(**server_metadata())

    async def ModelReady(  # noqa: N802
        self, request: pb.ModelReadyRequest, context: Context
    ) -> pb.ModelReadyResponse:
        try:
            reason = self._engine.why_model_not_ready(request.name, request.version or None)
        except Exception as error:
            await refuse(context, error)
        return pb.ModelReadyResponse(ready=reason is None)

    async def ModelMetadata(  # noqa: N802
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse:
        try:
            model = self._engine.registry.get(request.name, request.version or None)
            return pb.ModelMetadataResponse(**model_metadata(model))
        except Exception as error:
            await refuse(context, error)

    async def ModelInfer(  # noqa: N802
        self, request: pb.ModelInferRequest, context: Context
    ) -> pb.ModelInferResponse:
        # A caller who leaves has this task cancelled, and with it its place in the queue.
        try:
            return await self._infer(request, context)
        except Exception as error:
            await refuse(context, error)

    async def _infer(
        self, message: pb.ModelInferRequest, context: Context
    ) -> pb.ModelInferResponse:
        arrived = time.monotonic()
        deployment = self._engine.deployment(message.model_name, message.model_version or None)
        request = messages.decode(message)
        timeout_s = request.timeout_s
        # None where the caller has set no deadline.
        if (left_s := context.time_remaining()) is not None:
            timeout_s = left_s if timeout_s is None else min(timeout_s, left_s)
        answer = await deployment.infer(
            request.inputs, arrived=arrived, timeout_s=timeout_s, priority=request.priority
        )
        began = time.monotonic()
        response = messages.encode(deployment.name, deployment.version, request, answer.outputs)
        if timing := server_timing(answer, time.monotonic() - began):
            context.set_trailing_metadata((("server-timing", timing.decode()),))
        return response


async def refuse(context: Context, error: Exception) -> NoReturn:
    """End a call with an error's code, words and, where it helps, when to come back."""
    after = retry_after(error)
    await context.abort(
        grpc.StatusCode[status_of(error).grpc],
        details_of(error),
        (("retry-after", after.decode()),) if after else (),
    )
    raise AssertionError("unreachable: abort raises")


def details_of(error: Exception) -> str:
    """An error's message, as much of it as fits into a header, where all but ASCII is escaped."""
    message = message_of(error).encode(errors="replace").decode()
    while len(quote(message)) > MAX_DETAILS:
        message = message[: len(message) * 3 // 4] + "…"
    return message
