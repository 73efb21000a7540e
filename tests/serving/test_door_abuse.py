"""Bytes that are no request, or too much of one."""

import asyncio
import json
from contextlib import suppress

import pytest

from serving.door import MAX_HEAD_BYTES
from tests.support.door import WAIT_S, listening, post
from tests.support.held_model import ask, held


@pytest.fixture
async def served():
    async with held() as (model, engine), listening(engine) as server:
        model.let_go()
        yield server, await server.connect()


async def pour(connection, part: bytes, times: int) -> None:
    """Send until the server has enough of it."""
    with suppress(ConnectionError):
        for _ in range(times):
            connection.send(part)
            await asyncio.wait_for(connection.writer.drain(), WAIT_S)


@pytest.mark.parametrize(
    "part", [b"x" * 65536, b"x-many: of them\r\n" * 4096], ids=["one long header", "many headers"]
)
async def test_a_head_has_an_end(served, part):
    server, connection = served
    connection.send(b"POST /v2/models/held/infer HTTP/1.1\r\nhost: here\r\nx-first: ")
    pouring = asyncio.create_task(pour(connection, part, 256))
    status, headers, body = await connection.reply()
    await pouring

    assert status == 431
    assert headers[b"connection"] == b"close"
    assert json.loads(body) == {
        "error": f"the request's head is larger than {MAX_HEAD_BYTES} bytes"
    }
    other = await server.connect()
    other.send(post(ask(1.0)))
    assert (await other.reply())[0] == 200


async def test_a_long_body_is_no_long_head(served):
    _, connection = served
    text = ask(1.0)[:-1] + b" " * 300_000 + b"}"
    two = post(text) + post(ask(2.0))
    for first in range(0, len(two), 150_000):
        connection.send(two[first : first + 150_000])
        await connection.writer.drain()

    assert [(await connection.reply())[0] for _ in range(2)] == [200, 200]


@pytest.mark.parametrize(
    "bytes_", [b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3", b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
)
async def test_what_is_no_request_is_told_so_as_everything_is(served, bytes_):
    _, connection = served
    connection.send(bytes_)
    status, headers, body = await connection.reply()

    assert (status, headers[b"content-type"]) == (400, b"application/json")
    assert json.loads(body) == {"error": "this is not a request that HTTP/1.1 knows"}
    assert await connection.ended()
