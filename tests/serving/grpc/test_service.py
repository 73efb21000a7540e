"""The service in front of an engine: codes, deadlines, and callers who leave."""

import asyncio
import re
from urllib.parse import quote

import grpc
import numpy as np
import pytest

from models import InvalidInput, ModelConfig, ModelSource
from serving.engine import Engine
from serving.grpc import GrpcServer, service
from serving.grpc.generated import inference_pb2 as pb
from serving.grpc.generated.inference_pb2_grpc import GRPCInferenceServiceStub
from serving.settings import Settings
from tests.support import onnx_models
from tests.support.asgi import loaded
from tests.support.batches import settle
from tests.support.grpc_calls import ask, calling, refusal, until
from tests.support.held_model import held

Code = grpc.StatusCode


async def test_an_answer_says_what_was_asked_and_how_it_fared():
    async with held() as (model, engine), calling(engine) as calls:
        model.let_go()
        call = calls.ModelInfer(ask(3, id="mine"))
        reply = await call
        trailing = dict(await call.trailing_metadata())

    assert (reply.model_name, reply.model_version, reply.id) == ("held", "1", "mine")
    assert np.frombuffer(reply.raw_output_contents[0], "<f4").tolist() == [3]
    assert re.fullmatch(
        r"queue;dur=[\d.]+, run;dur=[\d.]+, encode;dur=[\d.]+, batch;desc=1",
        trailing["server-timing"],
    )


async def test_what_the_server_and_its_models_are():
    async with loaded() as engine, calling(engine) as calls:
        server = await calls.ServerMetadata(pb.ServerMetadataRequest())
        iris = await calls.ModelMetadata(pb.ModelMetadataRequest(name="iris"))
        ready = await calls.ModelReady(pb.ModelReadyRequest(name="iris", version="1"))

    assert server.name == "jitney"
    assert list(iris.versions) == ["1"]
    assert [(t.name, t.datatype, list(t.shape)) for t in iris.outputs] == [
        ("probabilities", "FP32", [-1, 3]),
        ("species", "BYTES", [-1]),
    ]
    assert ready.ready


async def test_while_models_load_it_answers_that_they_do(tmp_path):
    path = onnx_models.doubler(tmp_path / "m.onnx")
    engine = Engine([ModelSource("held", "1", path, ModelConfig())], Settings())
    async with calling(engine) as calls:
        assert (await calls.ServerLive(pb.ServerLiveRequest())).live
        assert not (await calls.ServerReady(pb.ServerReadyRequest())).ready
        assert not (await calls.ModelReady(pb.ModelReadyRequest(name="held"))).ready
        for call in (
            calls.ModelInfer(ask(1)),
            calls.ModelMetadata(pb.ModelMetadataRequest(name="held")),
        ):
            error = await refusal(call)
            assert error.code() is Code.UNAVAILABLE
            assert "not ready" in error.details()


async def test_an_unknown_model_or_version():
    async with held() as (_, engine), calling(engine) as calls:
        for call in (
            calls.ModelInfer(ask(1, model="other")),
            calls.ModelInfer(ask(1, model_version="9")),
            calls.ModelReady(pb.ModelReadyRequest(name="other")),
            calls.ModelMetadata(pb.ModelMetadataRequest(name="other")),
        ):
            assert (await refusal(call)).code() is Code.NOT_FOUND


async def test_a_request_that_is_wrong_is_the_callers_mistake():
    wrong = ask(1)
    wrong.inputs[0].shape[:] = [1]
    async with held() as (_, engine), calling(engine) as calls:
        error = await refusal(calls.ModelInfer(wrong))
        nothing = await refusal(calls.ModelInfer(pb.ModelInferRequest(model_name="held")))

    assert error.code() is nothing.code() is Code.INVALID_ARGUMENT
    assert error.details() == "input 'x': expected shape [-1, 1], got [1]"


async def test_a_full_queue_says_when_to_come_back():
    """Lesson 16: clients send again by themselves what was UNAVAILABLE."""
    async with held(max_queue_rows=1) as (model, engine), calling(engine) as calls:
        runs = calls.ModelInfer(ask(1))
        await model.started()
        waits = calls.ModelInfer(ask(2))
        await until(lambda: engine.deployments["held"].batcher.waiting_rows == 1)

        error = await refusal(calls.ModelInfer(ask(3)))

        assert error.code() is Code.RESOURCE_EXHAUSTED
        assert "the queue is full" in error.details()
        assert int(dict(error.trailing_metadata())["retry-after"]) >= 1
        model.let_go()
        await asyncio.gather(runs, waits)


async def test_who_would_be_late_is_refused():
    async with held() as (model, engine), calling(engine) as calls:
        asked = ask(1, parameters={"timeout": {"int64_param": 1}})
        error = await refusal(calls.ModelInfer(asked))

    assert error.code() is Code.RESOURCE_EXHAUSTED
    assert "are allowed" in error.details()
    assert int(dict(error.trailing_metadata())["retry-after"]) >= 1
    assert model.ran == []


async def test_the_shorter_of_deadline_and_timeout_counts(monkeypatch):
    async with held() as (model, engine), calling(engine) as calls:
        deployment = engine.deployments["held"]
        given: list[float | None] = []
        infer = deployment.infer

        async def watched(*args, timeout_s, **more):
            given.append(timeout_s)
            return await infer(*args, timeout_s=timeout_s, **more)

        monkeypatch.setattr(deployment, "infer", watched)
        model.let_go()
        in_99_s = {"timeout": {"int64_param": 99_000_000}}
        await calls.ModelInfer(ask(1))
        await calls.ModelInfer(ask(1), timeout=60)
        await calls.ModelInfer(ask(1, parameters=in_99_s), timeout=200)
        await calls.ModelInfer(ask(1, parameters=in_99_s), timeout=60)

    nothing, deadline, timeout, both = given
    assert nothing is None
    assert 50 < deadline < 62  # gRPC sends it rounded
    assert timeout == 99
    assert 50 < both < 62


async def test_the_urgent_go_first():
    async with held() as (model, engine), calling(engine) as calls:
        batcher = engine.deployments["held"].batcher
        asked = [calls.ModelInfer(ask(0))]
        await model.started()
        for waiting, priority in enumerate((9, 5, 1), 1):
            parameters = {"priority": {"uint64_param": priority}}
            asked.append(calls.ModelInfer(ask(priority, parameters=parameters)))
            await until(lambda waiting=waiting: batcher.waiting_rows == waiting)
        model.let_go()
        await asyncio.gather(*asked)

    assert model.ran == [0, 1, 5, 9]


@pytest.mark.parametrize("leave", ["cancel", "deadline"])
async def test_a_caller_who_leaves_gives_its_place_up_and_disturbs_nobody(leave):
    """Lessons 1 and 15."""
    async with held() as (model, engine), calling(engine) as calls:
        batcher = engine.deployments["held"].batcher
        rides = calls.ModelInfer(ask(1))
        await model.started()
        goes = calls.ModelInfer(ask(2), timeout=4 if leave == "deadline" else None)
        stays = calls.ModelInfer(ask(3))
        await until(lambda: batcher.waiting_rows == 2)

        if leave == "cancel":
            goes.cancel()
        await until(lambda: batcher.waiting_rows == 1)
        model.let_go()
        await asyncio.gather(rides, stays)

    assert model.ran == [1, 3]
    assert await goes.code() is (Code.CANCELLED if leave == "cancel" else Code.DEADLINE_EXCEEDED)


async def test_a_run_that_fails_tells_nothing_of_why(tmp_path, caplog):
    """Lesson 28."""
    path = onnx_models.gatherer(tmp_path / "table.onnx")
    index = {"name": "index", "datatype": "INT64", "shape": [1, 1]}
    async with loaded(path) as engine, calling(engine) as calls:
        request = pb.ModelInferRequest(
            model_name="table", inputs=[{**index, "contents": {"int64_contents": [99]}}]
        )
        error = await refusal(calls.ModelInfer(request))

    assert error.code() is Code.INTERNAL
    assert error.details() == "the model failed on this request; the server's log says why"
    assert "indices" in caplog.text


async def test_what_nobody_expected_tells_nothing_either(monkeypatch, caplog):
    async with held() as (_, engine), calling(engine) as calls:
        monkeypatch.setattr(engine, "deployment", lambda *_: {}["secret"])
        error = await refusal(calls.ModelInfer(ask(1)))

    assert error.code() is Code.INTERNAL
    assert error.details() == "internal error; the server's log says more"
    assert "secret" in caplog.text


async def test_a_message_that_is_too_large_is_refused():
    async with held(max_body_mib=0.001) as (_, engine), calling(engine) as calls:
        error = await refusal(calls.ModelInfer(ask(1, id="x" * 2000)))

    assert error.code() is Code.RESOURCE_EXHAUSTED
    assert "larger than max" in error.details()


async def test_stopping_answers_what_is_here_and_takes_nothing_new():
    """Lesson 20."""
    async with (
        held() as (model, engine),
        GrpcServer(engine) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        calls = GRPCInferenceServiceStub(channel)
        asked = calls.ModelInfer(ask(1))
        await model.started()
        stopping = asyncio.ensure_future(server.__aexit__())
        await settle()
        assert not stopping.done()
        model.let_go()
        await stopping

        assert np.frombuffer((await asked).raw_output_contents[0], "<f4") == [1]
        assert (await refusal(calls.ModelInfer(ask(2)))).code() is Code.UNAVAILABLE


# --- words


@pytest.mark.parametrize("word", ["n", "\udcff", "😀", "\n", '"'])
def test_a_message_fits_into_a_header_whatever_is_in_it(word):
    details = service.details_of(InvalidInput(word * 2**20))

    assert len(quote(details)) <= service.MAX_DETAILS
    assert len(details) > 100


def test_a_message_that_fits_is_told_whole():
    assert service.details_of(InvalidInput("input 'x': é")) == "input 'x': é"
