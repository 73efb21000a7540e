"""What the gate lets through to inference, and what it leaves to the application."""

import asyncio

import pytest

from serving.gate import Gate, Inference, infer_target
from tests.support.asgi import Caller, door
from tests.support.held_model import INFER, ask, held


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (b"/v2/models/m/infer", ("m", None)),
        (b"/v2/models/m/versions/12/infer", ("m", "12")),
        (b"/v2/models/a%20b%2Fc%C3%BC/infer", ("a b/c\u00fc", None)),
        (b"/v2/models/versions/versions/1/infer", ("versions", "1")),
        (b"/v2/models/m/infer\n", None),
        (b"/v2/models/m/versions/1\n/infer", None),
        (b"/v2/models/m/versions/\xd9\xa3/infer", None),
        (b"/v2/models/m/infer/", None),
        (b"/v2/models//infer", None),
    ],
)
async def test_a_path_tells_the_models_name_and_version(path, target):
    assert infer_target(path) == target


async def test_the_gate_answers_inference_and_nothing_else():
    seen = []

    async def behind(scope, receive, send):
        seen.append((scope["type"], scope.get("method"), scope.get("path")))

    async with held() as (model, engine):
        model.let_go()
        gate = Gate(behind, Inference(engine))
        async with Caller(gate, INFER) as caller:
            caller.send(ask(1))
            assert (await caller.reply()).status_code == 200
        for method, path in (("GET", INFER), ("POST", "/v2/models/held"), ("POST", "/")):
            async with Caller(gate, path, method=method) as caller:
                await caller.ended()
        await gate({"type": "lifespan"}, asyncio.Queue().get, asyncio.Queue().put)

    assert seen == [
        ("http", "GET", INFER),
        ("http", "POST", "/v2/models/held"),
        ("http", "POST", "/"),
        ("lifespan", None, None),
    ]


async def test_a_server_that_gives_no_raw_path():
    async with held() as (model, engine):
        model.let_go()
        async with Caller(door(engine), INFER, raw_path=None) as caller:
            caller.send(ask(1))
            assert (await caller.reply()).status_code == 200
