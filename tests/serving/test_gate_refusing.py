"""How long a caller waits, in the three places where it can say so; and the early no."""

import pytest

from tests.support.asgi import Caller, client, door, error_of
from tests.support.held_model import INFER, ask, held

NEVER = 1e-6
"""Milliseconds in which no model answers."""
TIMEOUT = ("X-Request-Timeout-Ms", "0")


def patient(timeout_us: int) -> bytes:
    return ask(1)[:-1] + b',"parameters":{"timeout":%d}}' % timeout_us


async def test_who_would_be_late_is_refused_before_a_byte_of_its_body_is_read():
    """Lesson 13: saying no must cost far less than saying yes."""
    async with held() as (model, engine), Caller(door(engine), INFER, TIMEOUT) as caller:
        reply = await caller.reply()

    assert reply.status_code == 429
    assert reply.headers["retry-after"] == "1"
    assert "are allowed" in error_of(reply)
    assert model.ran == []


async def test_a_large_body_is_refused_unread_by_the_models_own_limit_too():
    headers = ("Content-Length", str(2**20))
    async with held(slo_ms=NEVER) as (_, engine), Caller(door(engine), INFER, headers) as caller:
        assert (await caller.reply()).status_code == 429


@pytest.mark.parametrize(("timeout_us", "status"), [(10**7, 200), (0, 429), (1, 429)])
async def test_a_small_body_may_ask_for_more_time_than_the_model_gives(timeout_us, status):
    async with held(slo_ms=NEVER) as (model, engine), client(door(engine)) as session:
        model.let_go()
        reply = await session.post(INFER, content=patient(timeout_us))
        plain = await session.post(INFER, content=ask(1))

    assert reply.status_code == status
    assert plain.status_code == 429


@pytest.mark.parametrize("timeout_us", [1, 2**64 - 1])
async def test_the_bodys_own_timeout_counts_before_the_headers(timeout_us):
    async with held() as (model, engine), client(door(engine)) as session:
        model.let_go()
        headers = {"x-request-timeout-ms": "60000"}
        reply = await session.post(INFER, content=patient(timeout_us), headers=headers)

    assert reply.status_code == (429 if timeout_us == 1 else 200)


async def test_a_caller_who_says_nothing_has_as_long_as_the_setting_says():
    """Lesson 24."""
    async with held(slo_ms=60_000) as (model, engine), client(door(engine)) as session:
        model.let_go()
        assert (await session.post(INFER, content=ask(1))).status_code == 200
    async with held(slo_ms=NEVER) as (_, engine), client(door(engine)) as session:
        assert (await session.post(INFER, content=ask(1))).status_code == 429


@pytest.mark.parametrize("priority", [0, 1, 10, 11, 2**64 - 1])
async def test_a_priority_beyond_the_levels_is_the_default_one(priority):
    body = ask(1)[:-1] + b',"parameters":{"priority":%d}}' % priority
    async with held() as (model, engine), client(door(engine)) as session:
        model.let_go()
        assert (await session.post(INFER, content=body)).status_code == 200


# --- abuse


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "9" * 19])
async def test_a_timeout_header_that_is_no_number(value):
    header = ("X-Request-Timeout-Ms", value)
    async with held() as (_, engine), Caller(door(engine), INFER, header) as caller:
        reply = await caller.reply()

    assert reply.status_code == 400
    assert error_of(reply).startswith("X-Request-Timeout-Ms: expected a whole number, got '")


@pytest.mark.parametrize("key", ["timeout", "priority"])
@pytest.mark.parametrize("value", ["-1", "1.5", '"1"', "true", "null", "[]", "1" * 400])
async def test_a_timeout_or_priority_that_is_no_number(key, value):
    body = ask(1)[:-1] + f',"parameters":{{"{key}":{value}}}}}'.encode()
    async with held() as (_, engine), client(door(engine)) as session:
        reply = await session.post(INFER, content=body)

    assert reply.status_code == 400
    assert error_of(reply).startswith(f"parameters.{key}: expected a whole number, got ")
