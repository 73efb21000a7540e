"""The standard health service."""

import asyncio

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from models import ModelConfig, ModelSource
from serving.engine import Engine
from serving.grpc import health
from serving.settings import Settings
from tests.support import onnx_models
from tests.support.asgi import WAIT_S
from tests.support.grpc_calls import channel_to
from tests.support.held_model import held

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(health, "LOOK_EVERY_S", 0.01)


@pytest.mark.parametrize("service", ["", "inference.GRPCInferenceService"])
async def test_it_serves_while_every_model_answers(service):
    async with held() as (_, engine), channel_to(engine) as channel:
        stub, request = HealthStub(channel), HealthCheckRequest(service=service)
        assert (await stub.Check(request)).status == SERVING
        engine.draining = True
        assert (await stub.Check(request)).status == NOT_SERVING


async def test_who_watches_hears_of_each_change_once(tmp_path):
    path = onnx_models.doubler(tmp_path / "m.onnx")
    engine = Engine([ModelSource("m", "1", path, ModelConfig())], Settings())
    async with asyncio.timeout(WAIT_S):
        try:
            async with channel_to(engine) as channel:
                heard = HealthStub(channel).Watch(HealthCheckRequest())
                assert (await heard.read()).status == NOT_SERVING
                engine.start()
                assert (await heard.read()).status == SERVING
                engine.draining = True
                assert (await heard.read()).status == NOT_SERVING
        finally:
            await engine.stop()


async def test_a_watcher_does_not_hold_the_stop_up():
    async with asyncio.timeout(WAIT_S), held() as (_, engine), channel_to(engine) as channel:
        watching = HealthStub(channel).Watch(HealthCheckRequest())
        assert (await watching.read()).status == SERVING
