"""A line for each call."""

import asyncio
import logging

import pytest

from serving.grpc.access import client_of
from serving.grpc.generated import inference_pb2 as pb
from serving.grpc.generated.inference_pb2_grpc import GRPCInferenceServiceStub
from serving.observe.logs import JsonLines, TextLines
from tests.support.grpc_calls import ask, calling, channel_to, refusal, until
from tests.support.held_model import held

SERVICE = "/inference.GRPCInferenceService/"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "serving.access")
    return caplog


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "serving.access"]


async def test_a_call_is_a_line_with_what_a_request_over_http_has(lines) -> None:
    async with held(access_log=True) as (model, engine), calling(engine) as calls:
        model.let_go()
        call = calls.ModelInfer(ask(3), metadata=(("x-request-id", "4711-a"),))
        await call
        timing = dict(await call.trailing_metadata())["server-timing"]
        given_back = dict(await call.initial_metadata())["x-request-id"]

    (line,) = told(lines)
    facts = vars(line)
    assert given_back == "4711-a"
    assert (facts["client"], facts["method"]) == ("127.0.0.1", "GRPC")
    assert (facts["path"], facts["status"]) == (f"{SERVICE}ModelInfer/held", "OK")
    assert facts["server_timing"] == timing
    assert 0 < facts["duration_s"] < 60
    assert line.getMessage().startswith(f"GRPC {SERVICE}ModelInfer/held OK ")
    assert line.getMessage().endswith(f" ms [{timing}]")


async def test_what_is_refused_has_its_line_too(lines) -> None:
    async with held(access_log=True) as (_, engine), channel_to(engine) as channel:
        calls = GRPCInferenceServiceStub(channel)
        await refusal(calls.ModelInfer(ask(1, model="none")))
        await refusal(calls.ModelMetadata(pb.ModelMetadataRequest(name="held", version="x")))
        missing = channel.unary_unary(f"{SERVICE}SystemSharedMemoryStatus")
        await refusal(missing(b""))
        unknown = channel.unary_unary(f"{SERVICE}Nothing")
        assert (await refusal(unknown(b""))).details() == "Method not found!"
        await calls.ServerLive(pb.ServerLiveRequest())

    assert [
        (vars(one)["path"].removeprefix(SERVICE), vars(one)["status"]) for one in told(lines)
    ] == [
        ("ModelInfer/none", "NOT_FOUND"),
        ("ModelMetadata/held", "INVALID_ARGUMENT"),
        ("SystemSharedMemoryStatus", "UNIMPLEMENTED"),
        ("Nothing", "UNIMPLEMENTED"),
        ("ServerLive", "OK"),
    ]


async def test_a_stream_has_a_line_for_each_of_its_requests_and_one_for_itself(lines) -> None:
    async with held(access_log=True) as (model, engine), calling(engine) as calls:
        model.let_go()

        async def requests():
            yield ask(1)
            yield ask(2, model="none")

        assert len([one async for one in calls.ModelStreamInfer(requests())]) == 2

    said = [(vars(one)["path"].removeprefix(SERVICE), vars(one)["status"]) for one in told(lines)]
    assert sorted(said[:2]) == [
        ("ModelStreamInfer/held", "OK"),
        ("ModelStreamInfer/none", "NOT_FOUND"),
    ]
    assert said[2:] == [("ModelStreamInfer", "OK")]


async def test_a_caller_who_leaves_has_no_status(lines) -> None:
    async with held(access_log=True) as (model, engine), calling(engine) as calls:
        call = asyncio.ensure_future(calls.ModelInfer(ask(1)))
        await until(lambda: engine.deployment("held", None).statistics.riding == 1)
        call.cancel()
        await until(lambda: bool(told(lines)))
        model.let_go()

    (line,) = told(lines)
    assert vars(line)["status"] is None
    assert f"{SERVICE}ModelInfer/held left " in line.getMessage()


async def test_a_name_cannot_add_a_line_or_a_column(lines) -> None:
    name = "a\nINFO serving.access: GRPC /secret OK 0.1 ms\x1b[31m\u202e" + "b" * 10_000
    async with held(access_log=True) as (_, engine), calling(engine) as calls:
        await refusal(calls.ModelInfer(ask(1, model=name)))

    (line,) = told(lines)
    text = TextLines().format(line)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 2000
    assert len(line.getMessage().split()) == 5
    assert len(JsonLines().format(line).splitlines()) == 1


async def test_what_is_no_id_is_replaced(lines) -> None:
    async with held(access_log=True) as (_, engine), calling(engine) as calls:
        given = []
        for asked in ((("x-request-id", "a" * 129),), ()):
            call = calls.ServerLive(pb.ServerLiveRequest(), metadata=asked)
            await call
            given.append(dict(await call.initial_metadata())["x-request-id"])

    assert [len(one) for one in given] == [16, 16]
    assert given[0] != given[1]


async def test_who_does_not_ask_for_it_has_none(lines) -> None:
    async with held() as (model, engine), calling(engine) as calls:
        model.let_go()
        call = calls.ModelInfer(ask(3))
        await call
        assert "x-request-id" not in dict(await call.initial_metadata() or ())

    assert not told(lines)


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        ("ipv4:127.0.0.1:5000", "127.0.0.1"),
        ("ipv6:%5B::1%5D:5000", "::1"),
        ("ipv6:[::1]:5000", "::1"),
        ("unix:/tmp/socket", "-"),
        ("", "-"),
    ],
)
def test_who_calls(peer: str, client: str) -> None:
    assert client_of(peer) == client
