"""Numbers of several processes at both doors, and what is said where they cannot be had."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from serving.engine import Engine
from serving.errors import OthersSilent
from serving.gate import App, Inference
from serving.grpc import GrpcServer
from serving.grpc.generated import inference_pb2 as pb
from serving.grpc.generated.inference_pb2_grpc import GRPCInferenceServiceStub
from serving.http import create_http_app
from serving.http.metrics_route import engine_report
from serving.observe.report import Reports, Values, together
from tests.support import asgi, wire
from tests.support.grpc_calls import refusal
from tests.support.onnx_models import doubler


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with asgi.loaded(doubler(tmp_path / "m.onnx", width=1)) as engine:
        async with asgi.client(asgi.door(engine)) as session:
            for _ in range(3):
                body = wire.request(wire.tensor(shape=[1, 1], data=[1.0]))
                assert (await session.post("/v2/models/m/infer", content=body)).status_code == 200
        yield engine


def app_of(engine: Engine, reports: Reports) -> App:
    @asynccontextmanager
    async def no_lifespan(_: object) -> AsyncIterator[None]:
        yield

    return create_http_app(engine, Inference(engine), no_lifespan, reports)


class Others:
    """Another process that has done the same; or does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.silent = False

    async def __call__(self) -> Values:
        if self.silent:
            raise OthersSilent
        same = [engine_report(self._engine), engine_report(self._engine)]
        about = {"cpu_s": 1.0, "resident_bytes": 1, "started_s": 1.0}
        return {
            **together(same),
            "workers": [{"worker": index, **about} for index in range(2)],
            "server": {**about, "restarts": 0},
        }


async def on_the_page(app: App) -> Values:
    """What the page's stream says first, to who leaves then."""
    async with asgi.Caller(app, "/web/live", method="GET") as caller:
        caller.leave()
        sent = await caller.ended()
    text = next(one["body"] for one in sent if one.get("body", b"").startswith(b"data: "))
    return dict(json.loads(text.removeprefix(b"data: ")))


async def test_statistics_and_the_page_are_of_all(engine: Engine) -> None:
    others = Others(engine)
    app = app_of(engine, others)
    async with asgi.client(app) as session:
        for path in ("models/stats", "models/m/stats", "models/m/versions/1/stats"):
            (told,) = (await session.get(f"/v2/{path}")).json()["model_stats"]
            assert told["inference_count"] == told["inference_stats"]["success"]["count"] == 6
        page = await on_the_page(app)
        assert (await session.get("/v2/models/none/stats")).status_code == 404
    assert page["ready"]
    assert page["processes"] == 2
    assert page["models"][0]["total"]["success"] == 6
    async with (
        GrpcServer(engine, others) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        calls = GRPCInferenceServiceStub(channel)
        (counted,) = (await calls.ModelStatistics(pb.ModelStatisticsRequest())).model_stats
        assert counted.inference_count == 6
        others.silent = True
        error = await refusal(calls.ModelStatistics(pb.ModelStatisticsRequest()))
        assert error.code() == grpc.StatusCode.UNAVAILABLE


async def test_half_of_the_numbers_are_not_shown_as_if_they_were_all(engine: Engine) -> None:
    others = Others(engine)
    app = app_of(engine, others)
    async with asgi.client(app) as session:
        assert (await on_the_page(app))["ready"]
        others.silent = True
        for path in ("/metrics", "/v2/models/m/stats", "/v2/models/stats"):
            reply = await session.get(path)
            assert reply.status_code == 503
            assert "other processes" in asgi.error_of(reply)
        page = await on_the_page(app)
    # The page stays, with what was known last.
    assert not page["ready"]
    assert "other processes" in page["why"]
    assert page["models"][0]["total"]["success"] == 6
