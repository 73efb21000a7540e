"""The manners of uvicorn's protocol, kept by the door that answers in its place."""

import asyncio
import gc
import inspect
import json

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from batching import Ticket
from serving.door import Exchange
from tests.support.door import Connection, listening, post
from tests.support.held_model import ask, held


def value(body: bytes) -> float:
    return json.loads(body)["outputs"][0]["data"][0]


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


@pytest.fixture
async def served():
    """A server whose model runs at once, and a connection to it."""
    async with held() as (model, engine), listening(engine) as server:
        model.let_go()
        yield server, await server.connect()


async def test_a_request_and_the_next_on_the_same_connection(served):
    server, connection = served
    for number in (1.0, 2.0):
        connection.send(post(ask(number)))
        status, headers, body = await connection.reply()

        assert (status, value(body)) == (200, number)
        assert headers[b"content-type"] == b"application/json"
        assert headers[b"server-timing"].startswith(b"queue;dur=")
        assert b"date" in headers
    (protocol,) = server.server.server_state.connections
    assert isinstance(protocol.cycle, Exchange)  # and not uvicorn's own


async def test_a_request_that_comes_byte_by_byte(served):
    _, connection = served
    for byte in post(ask(3.0)):
        connection.send(bytes([byte]))
        await connection.writer.drain()

    assert value((await connection.reply())[2]) == 3.0


async def test_a_chunked_body(served):
    _, connection = served
    body = ask(4.0)
    chunks = [body[:10], body[10:11], body[11:]]
    connection.send(
        b"POST /v2/models/held/infer HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n",
        *(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks),
        b"0\r\n\r\n",
    )

    assert value((await connection.reply())[2]) == 4.0


async def test_pipelined_requests_are_answered_in_their_order(served):
    _, connection = served
    other = b"GET /v2/health/live HTTP/1.1\r\nhost: here\r\n\r\n"
    connection.send(post(ask(1.0)), post(ask(2.0)), other, post(b"{}"), post(ask(3.0)))

    replies = [await connection.reply() for _ in range(5)]

    assert [status for status, _, _ in replies] == [200, 200, 200, 400, 200]
    assert [value(replies[index][2]) for index in (0, 1, 4)] == [1.0, 2.0, 3.0]


async def test_expect_100_continue(served):
    _, connection = served
    request = post(ask(5.0), b"expect: 100-continue")
    head, body = request.split(b"\r\n\r\n", 1)
    connection.send(head, b"\r\n\r\n")
    assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.send(body)

    assert value((await connection.reply())[2]) == 5.0


@pytest.mark.parametrize(
    "request_",
    [
        post(ask(6.0)).replace(b"HTTP/1.1", b"HTTP/1.0"),
        post(ask(6.0), b"connection: close"),
    ],
)
async def test_a_connection_that_is_not_to_be_kept_is_closed(served, request_):
    _, connection = served
    connection.send(request_)
    status, headers, body = await connection.reply()

    assert (status, value(body)) == (200, 6.0)
    assert headers[b"connection"] == b"close"
    assert await connection.ended()


async def test_what_is_wrong_is_said_and_the_connection_kept(served):
    _, connection = served
    for request, status in (
        (post(b"nonsense"), 400),
        (post(ask(1.0), path="/v2/models/none/infer"), 404),
        (post(ask(1.0), path="/v2/models/held/versions/7/infer"), 404),
        (post(ask(1.0), b"content-encoding: br"), 415),
        (post(ask(1.0), b"inference-header-content-length: x"), 400),
    ):
        connection.send(request)
        got, headers, body = await connection.reply()
        assert got == status
        assert headers[b"content-type"] == b"application/json"
        assert list(json.loads(body)) == ["error"]
    connection.send(post(ask(7.0)))
    assert value((await connection.reply())[2]) == 7.0


async def test_a_query_string_and_other_routes_go_the_long_way(served):
    _, connection = served
    connection.send(post(ask(8.0), path="/v2/models/held/infer?trace=1"))
    assert value((await connection.reply())[2]) == 8.0
    connection.send(b"GET /v2/models/held/infer HTTP/1.1\r\nhost: here\r\n\r\n")
    status, _, body = await connection.reply()
    assert status == 405
    assert list(json.loads(body)) == ["error"]


async def test_a_body_beyond_its_bound_is_refused_while_it_comes():
    """Lesson 28: whatever was announced."""
    async with held(max_body_mib=0.01) as (model, engine), listening(engine) as server:
        model.let_go()
        announced, chunked = await server.connect(), await server.connect()
        announced.send(post(b"x" * 20_000))
        chunked.send(
            b"POST /v2/models/held/infer HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
            b"4e20\r\n" + b"x" * 20_000,
        )
        for connection in (announced, chunked):
            status, headers, _ = await connection.reply()
            assert status == 413
            assert headers[b"connection"] == b"close"
            assert await connection.ended()


async def test_a_caller_who_hangs_up_gives_its_place_up():
    """Lesson 1."""
    async with held() as (model, engine), listening(engine) as server:
        rides, leaves, stays = [await server.connect() for _ in range(3)]
        rides.send(post(ask(1.0)))
        await model.started()
        batcher = engine.deployments["held"].batcher
        leaves.send(post(ask(2.0)))
        await until(lambda: batcher.waiting_rows == 1)
        stays.send(post(ask(3.0)))
        await until(lambda: batcher.waiting_rows == 2)
        await leaves.close()
        await until(lambda: batcher.waiting_rows == 1)
        model.let_go()

        assert value((await rides.reply())[2]) == 1.0
        assert value((await stays.reply())[2]) == 3.0
        assert model.ran == [1.0, 3.0]


async def test_a_caller_who_hangs_up_while_its_row_runs_disturbs_nobody():
    async with held() as (model, engine), listening(engine) as server:
        leaves, stays = await server.connect(), await server.connect()
        leaves.send(post(ask(1.0)))
        await model.started()
        await leaves.close()
        stays.send(post(ask(2.0)))
        model.let_go()

        assert value((await stays.reply())[2]) == 2.0


async def test_a_server_that_stops_answers_what_it_accepted():
    """Lessons 19 and 20."""
    async with held() as (model, engine), listening(engine) as server:
        connection, idle = await server.connect(), await server.connect()
        idle.send(post(b"{}"))
        await idle.reply()
        connection.send(post(ask(1.0)))
        await model.started()
        server.server.should_exit = True
        assert await idle.ended()
        model.let_go()
        status, headers, body = await connection.reply()

        assert (status, value(body)) == (200, 1.0)
        assert headers[b"connection"] == b"close"
        assert await connection.ended()


async def full_queue(server, model) -> list[Connection]:
    """Callers with all the time in the world, one of whom rides."""
    connections = [await server.connect() for _ in range(3)]
    for number, connection in enumerate(connections):
        connection.send(post(ask(float(number)), b"x-request-timeout-ms: 60000"))
    await model.started()
    return connections


async def test_who_would_be_late_is_refused_before_anything_is_read():
    async with held(slo_ms=1e-3) as (model, engine), listening(engine) as server:
        waiting = await full_queue(server, model)
        late, large, patient = [await server.connect() for _ in range(3)]
        late.send(post(ask(9.0)))
        # Nothing of this body is ever sent.
        large.send(
            b"POST /v2/models/held/infer HTTP/1.1\r\nhost: a\r\ncontent-length: 99999\r\n\r\n"
        )
        for connection in (late, large):
            status, headers, body = await connection.reply()
            assert status == 429
            assert int(headers[b"retry-after"]) >= 1
            assert "ms are allowed" in json.loads(body)["error"]
        request = json.loads(ask(9.0)) | {"parameters": {"timeout": 60_000_000}}
        patient.send(post(json.dumps(request).encode()))
        await until(lambda: engine.deployments["held"].batcher.waiting_rows == 3)
        model.let_go()

        assert value((await patient.reply())[2]) == 9.0
        for connection in waiting:
            assert (await connection.reply())[0] == 200
        late.send(post(ask(9.0), b"x-request-timeout-ms: 60000"))
        assert value((await late.reply())[2]) == 9.0


async def test_an_idle_connection_is_closed_after_its_time():
    async with held() as (model, engine), listening(engine, timeout_keep_alive=1) as server:
        model.let_go()
        connection = await server.connect()
        connection.send(post(ask(1.0)))
        await connection.reply()

        assert await connection.ended()


async def test_an_access_log_is_written_where_it_is_asked_for(caplog):
    caplog.set_level("INFO", logger="uvicorn.access")
    async with held() as (model, engine), listening(engine, access_log=True) as server:
        model.let_go()
        connection = await server.connect()
        connection.send(post(ask(1.0)))
        assert value((await connection.reply())[2]) == 1.0

    assert '"POST /v2/models/held/infer HTTP/1.1" 200' in caplog.text


async def test_a_slow_reader_of_large_answers_is_waited_for(served):
    _, connection = served
    tensor = {"name": "x", "shape": [64, 1], "datatype": "FP32", "data": [0.123456] * 64}
    request = post(json.dumps({"inputs": [tensor]}).encode())
    connection.send(request * 200)

    for _ in range(200):
        assert (await connection.reply())[0] == 200


async def test_a_request_leaves_nothing_for_the_garbage_collector(served):
    """What is left in a circle is freed late, and all at once, while callers wait."""
    _, connection = served
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            connection.send(post(ask(1.0)))
            await connection.reply()
        left = [thing for thing in gc.get_objects() if isinstance(thing, (Exchange, Ticket))]
    finally:
        gc.enable()

    assert len(left) <= 2  # the last one is still the connection's


# --- the parent class


def test_the_parent_class_is_as_we_know_it():
    """The door stands in for uvicorn's cycle: a change there must be looked at."""
    source = inspect.getsource(HttpToolsProtocol)
    used = {
        "access_log",
        "cycle",
        "expect_100_continue",
        "flow",
        "headers",
        "limit_concurrency",
        "parser",
        "pipeline",
        "root_path",
        "server_state",
        "transport",
        "url",
    }
    assert {name for name in used if f"self.{name}" in source} == used
    for method in (
        "on_headers_complete",
        "on_body",
        "on_message_complete",
        "on_response_complete",
        "connection_lost",
        "shutdown",
    ):
        assert callable(getattr(HttpToolsProtocol, method))
    # What the parent asks of a cycle outside of the methods that we replace.
    asked = {
        word.split("self.cycle.")[1].split()[0].rstrip(":()=,")
        for method in (
            HttpToolsProtocol.connection_lost,
            HttpToolsProtocol.shutdown,
            HttpToolsProtocol.on_response_complete,
        )
        for word in inspect.getsource(method).splitlines()
        if "self.cycle." in word
    }
    asked = {name.split(".")[0].split("(")[0] for name in asked}
    assert asked <= {"response_complete", "disconnected", "message_event", "keep_alive"}
    assert asked <= set(dir(Exchange)) | set(Exchange.__slots__)
    assert "response_complete" in inspect.getsource(RequestResponseCycle)
