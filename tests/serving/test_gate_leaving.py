"""Callers who hang up while they wait, and a server that stops under them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from math import inf

import pytest

from serving import gate
from tests.support.asgi import Caller, client, door, error_of
from tests.support.batches import settle
from tests.support.held_model import INFER, ask, held

Ask = Callable[..., Awaitable[Caller]]


@pytest.fixture
def watching(monkeypatch):
    """Every caller who waits is watched, however soon its answer is expected."""
    monkeypatch.setattr(gate, "WATCH_FROM_S", 0)


@pytest.fixture
async def asks() -> AsyncIterator[Ask]:
    """Sends a request for one row, and gives its caller when it waits or has been answered."""
    async with AsyncExitStack() as stack:

        async def ask_for(app, value: float, *headers: tuple[str, str]) -> Caller:
            caller = await stack.enter_async_context(Caller(app, INFER, *headers))
            caller.send(ask(value))
            await settle()
            return caller

        yield ask_for


async def data_of(caller: Caller) -> list[float]:
    reply = await caller.reply()
    assert reply.status_code == 200
    data: list[float] = reply.json()["outputs"][0]["data"]
    return data


@pytest.mark.usefixtures("watching")
async def test_a_caller_who_leaves_gives_its_place_up_and_disturbs_nobody(asks):
    """Lessons 1 and 15."""
    async with held() as (model, engine):
        app, batcher = door(engine), engine.deployments["held"].batcher
        rides = await asks(app, 1)
        await model.started()
        goes, stays = await asks(app, 2), await asks(app, 3)
        assert batcher.waiting_rows == 2

        goes.leave()

        assert await goes.ended() == []
        await settle()
        assert batcher.waiting_rows == 1
        model.let_go()
        assert await data_of(rides) == [1]
        assert await data_of(stays) == [3]
        assert model.ran == [1, 3]


@pytest.mark.usefixtures("watching")
async def test_a_caller_who_leaves_while_its_row_runs_disturbs_nobody(asks):
    async with held() as (model, engine):
        app = door(engine)
        goes = await asks(app, 1)
        await model.started()
        stays = await asks(app, 2)

        goes.leave()

        assert await goes.ended() == []
        model.let_go()
        assert await data_of(stays) == [2]


async def test_where_the_answer_comes_soon_nobody_watches_for_a_caller_to_leave(asks, monkeypatch):
    """Watching costs more than the one row that it could save."""
    monkeypatch.setattr(gate, "WATCH_FROM_S", inf)
    async with held() as (model, engine):
        app, batcher = door(engine), engine.deployments["held"].batcher
        rides = await asks(app, 1)
        await model.started()
        goes = await asks(app, 2)

        goes.leave()

        await settle()
        assert batcher.waiting_rows == 1
        model.let_go()
        await asyncio.gather(rides.reply(), goes.ended())
        assert model.ran == [1, 2]


@pytest.mark.usefixtures("watching")
async def test_a_caller_who_is_watched_and_stays_is_answered_right_or_wrong(asks):
    async with held() as (model, engine):
        app = door(engine)
        model.let_go()
        assert await data_of(await asks(app, 5)) == [5]
        async with client(app) as session:
            wrong = await session.post(INFER, content=ask(5).replace(b"FP32", b"FP64"))

    assert wrong.status_code == 400
    assert error_of(wrong).startswith("input 'x': expected ")


async def test_a_full_queue_says_its_limit_and_when_to_come_back(asks):
    """Lessons 13 and 17."""
    async with held(max_queue_rows=1) as (model, engine):
        app = door(engine)
        rides = await asks(app, 1)
        await model.started()
        waits, refused = await asks(app, 2), await asks(app, 3)

        reply = await refused.reply()

        assert reply.status_code == 429
        assert reply.headers["retry-after"] == "1"
        assert error_of(reply) == "the queue is full: 1 of 1 rows wait, 1 more came"
        model.let_go()
        assert await data_of(rides) == [1]
        assert await data_of(waits) == [2]


async def test_a_request_whose_time_ran_out_never_runs(asks):
    """Lesson 15."""
    async with held() as (model, engine):
        app = door(engine)
        rides = await asks(app, 1)
        await model.started()
        late = await asks(app, 2, ("X-Request-Timeout-Ms", "100"))

        reply = await late.reply()

        assert reply.status_code == 504
        assert error_of(reply).startswith("the request's time ran out")
        model.let_go()
        assert await data_of(rides) == [1]
        assert model.ran == [1]


async def test_a_server_that_stops_answers_what_it_accepted_and_refuses_what_comes(asks):
    """Lessons 19 and 20."""
    async with held() as (model, engine), client(door(engine)) as session:
        rides = await asks(door(engine), 1)
        await model.started()
        stopping = asyncio.create_task(engine.stop())
        await settle()

        ready = await session.get("/v2/health/ready")
        refused = await session.post(INFER, content=ask(2))
        live = await session.get("/v2/health/live")

        assert ready.status_code == 503
        assert ready.json() == {"ready": False, "error": "the server is stopping"}
        assert live.json() == {"live": True}
        assert refused.status_code == 503
        assert error_of(refused)
        model.let_go()
        assert await data_of(rides) == [1]
        await stopping
        assert (await session.get("/v2/health/ready")).status_code == 503
