"""A gRPC server in the test's own process, and how it is called."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from serving.engine import Engine
from serving.grpc import GrpcServer
from serving.grpc.generated import inference_pb2 as pb
from serving.grpc.generated.inference_pb2_grpc import GRPCInferenceServiceStub

from .asgi import WAIT_S


@asynccontextmanager
async def channel_to(engine: Engine) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server for this engine, on a port of its own."""
    async with (
        GrpcServer(engine) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield channel


@asynccontextmanager
async def calling(engine: Engine) -> AsyncIterator[Any]:
    """The service's calls."""
    async with channel_to(engine) as channel:
        yield GRPCInferenceServiceStub(channel)


def ask(value: float, model: str = "held", **more: Any) -> pb.ModelInferRequest:
    """A request for one row of the held model."""
    tensor = {
        "name": "x",
        "datatype": "FP32",
        "shape": [1, 1],
        "contents": {"fp32_contents": [value]},
    }
    return pb.ModelInferRequest(model_name=model, inputs=[tensor], **more)


async def refusal(call: Any) -> grpc.aio.AioRpcError:
    """The error that a call ends with, which must be one."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def until(holds: Callable[[], bool]) -> None:
    """Return when something holds that no event tells: what comes over the wire takes a while."""
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
