"""A line for each request."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from serving.observe.access import AccessLog, id_in
from serving.observe.logs import TextLines
from tests.support import asgi, wire
from tests.support.onnx_models import doubler

INFER = "/v2/models/m/infer"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with asgi.loaded(doubler(tmp_path / "m.onnx", width=1)) as engine:
        yield asgi.client(AccessLog(asgi.door(engine)))


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "serving.access")
    return caplog


async def test_a_request_is_a_line_that_says_what_it_asked_and_how_it_fared(
    client: httpx.AsyncClient, lines: pytest.LogCaptureFixture
) -> None:
    body = wire.request(wire.tensor(shape=[1, 1], data=[1.0]))
    reply = await client.post(INFER, content=body)

    (line,) = (one for one in lines.records if one.name == "serving.access")
    assert line.getMessage().startswith(f"POST {INFER} 200 ")
    assert "queue;dur=" in line.getMessage()
    facts = vars(line)
    assert (facts["method"], facts["path"], facts["status"]) == ("POST", INFER, 200)
    assert facts["server_timing"] == reply.headers["server-timing"]
    assert 0 < facts["duration_s"] < 60


async def test_the_callers_id_comes_back(client: httpx.AsyncClient) -> None:
    reply = await client.get("/v2", headers={"X-Request-Id": "4711-a"})

    assert reply.headers["x-request-id"] == "4711-a"


async def test_without_an_id_there_is_a_new_one_each_time(client: httpx.AsyncClient) -> None:
    one, other = (await client.get("/v2"), await client.get("/v2"))

    assert len(one.headers["x-request-id"]) == 16
    assert one.headers["x-request-id"] != other.headers["x-request-id"]


async def test_what_is_refused_has_its_line_too(
    client: httpx.AsyncClient, lines: pytest.LogCaptureFixture
) -> None:
    await client.post(INFER, content=b"{")
    await client.get("/v2/models/none")

    statuses = [vars(one)["status"] for one in lines.records if one.name == "serving.access"]
    assert statuses == [400, 404]


async def test_a_path_cannot_add_a_line(
    client: httpx.AsyncClient, lines: pytest.LogCaptureFixture
) -> None:
    await client.get("/v2/models/a%0aINFO%20serving.access:%20GET%20/secret%20200")

    (line,) = (one for one in lines.records if one.name == "serving.access")
    assert len(TextLines().format(line).splitlines()) == 1
    assert "%0aINFO" in line.getMessage()


@pytest.mark.parametrize(
    "value", [b"", b"a" * 129, b"two\nlines", b"\x1b[31m", "größe".encode(), b"\x7f"]
)
def test_what_is_no_id_is_replaced(value: bytes) -> None:
    assert len(id_in([(b"x-request-id", value)])) == 16


async def test_a_server_going_up_and_down_is_no_request(
    lines: pytest.LogCaptureFixture,
) -> None:
    seen = []

    async def app(scope, receive, send) -> None:
        seen.append(scope["type"])

    await AccessLog(app)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]

    assert seen == ["lifespan"]
    assert not lines.records
