"""A head that comes again, and what the door does beside answering."""

import asyncio
import gc
import gzip
import json
import weakref

import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from serving.deployment import DEFAULT_PRIORITY
from serving.observe.otel import OpenTelemetry
from tests.support.door import listening, post
from tests.support.held_model import ask, held


def value(body: bytes) -> float:
    return json.loads(body)["outputs"][0]["data"][0]


@pytest.fixture
async def served():
    """An engine whose model runs at once, its server, and a connection to it."""
    async with held() as (model, engine), listening(engine) as server:
        model.let_go()
        yield engine, server, await server.connect()


async def exchange(connection, request):
    connection.send(request)
    return await connection.reply()


async def test_the_parser_is_not_asked_again_for_a_head_that_it_has_seen(served):
    _, server, connection = served
    for number in (1.0, 2.0, 3.0):
        assert value((await exchange(connection, post(ask(number))))[2]) == number

    (door,) = server.server.server_state.connections
    assert door._begun == 1


async def test_nor_for_bodies_of_other_lengths(served):
    _, server, connection = served
    numbers = [1.0, 0.125, 12345.0, -1e30, 3.0]
    for number in numbers:
        answer = await exchange(connection, post(ask(number)))
        assert value(answer[2]) == pytest.approx(number)

    (door,) = server.server.server_state.connections
    assert door._begun == 1


@pytest.mark.parametrize("number", ["1e999", "NaN", '"1"', "true", "[1]", "1]", "1, 2", ""])
async def test_what_is_around_the_numbers_is_known_and_the_numbers_are_looked_at(served, number):
    _, _, connection = served
    good = post(ask(1.0))
    strange = ask(1.0).replace(b"[1.0]", f"[{number}]".encode())
    fresh = await exchange(connection, post(strange, b"x-never: seen"))
    for _ in range(3):
        assert value((await exchange(connection, good))[2]) == 1.0
    again = await exchange(connection, post(strange))

    assert (again[0], again[2]) == (fresh[0], fresh[2])


@pytest.mark.parametrize(
    "other",
    [
        post(ask(10.5)),  # longer by a digit
        post(ask(2.0), b"x-more: 1"),
        post(ask(2.0), path="/v2/models/held/versions/1/infer"),
    ],
)
async def test_between_two_that_are_alike_another_is_itself(served, other):
    _, _, connection = served
    for _ in range(3):
        assert value((await exchange(connection, post(ask(1.0))))[2]) == 1.0
        status, _, body = await exchange(connection, other)
        assert (status, value(body)) in {(200, 10.5), (200, 2.0)}


async def test_what_follows_a_head_that_is_known_is_read_whole_or_not_at_all(served):
    """In two parts, two at once, with a wrong body, and cut off in the middle of it."""
    _, server, connection = served
    again = post(ask(1.0))
    for _ in range(2):
        assert value((await exchange(connection, again))[2]) == 1.0

    connection.send(again[:-5])
    await asyncio.sleep(0.01)
    connection.send(again[-5:])
    assert value((await connection.reply())[2]) == 1.0

    connection.send(again + again)
    for _ in range(2):
        assert value((await connection.reply())[2]) == 1.0

    wrong = again[:-1] + b"!"
    assert (await exchange(connection, wrong))[0] == 400
    assert value((await exchange(connection, again))[2]) == 1.0

    connection.send(again[:-5])
    await connection.close()
    other = await server.connect()
    assert value((await exchange(other, again))[2]) == 1.0


async def test_a_model_that_went_is_gone_for_known_heads_too(served):
    engine, _, connection = served
    again = post(ask(1.0))
    for _ in range(2):
        assert (await exchange(connection, again))[0] == 200
    known, engine.deployments = engine.deployments, {}

    assert (await exchange(connection, again))[0] in (404, 503)

    engine.deployments = known
    assert (await exchange(connection, again))[0] == 200


async def test_who_would_be_late_is_refused_by_a_known_head_and_counted():
    request = post(ask(1.0), b"x-request-timeout-ms: 60000")
    too_late = post(ask(1.0), b"x-request-timeout-ms: 00000")
    async with held() as (model, engine), listening(engine) as server:
        model.let_go()
        connection = await server.connect()
        for _ in range(2):
            assert (await exchange(connection, request))[0] == 200
        refused = [await exchange(connection, too_late) for _ in range(3)]
        (door,) = server.server.server_state.connections

        assert [status for status, _, _ in refused] == [429] * 3
        assert all(int(headers[b"retry-after"]) >= 1 for _, headers, _ in refused)
        assert len({body for _, _, body in refused}) <= 2
        assert door._begun == 2  # the second and the third were known
        totals = engine.deployments["held"].statistics.snapshot()
        assert totals.fail.count == 3


WAITING = {
    "inputs": {"x": np.ones((1, 1), np.float32)},
    "arrived": 0.0,
    "timeout_s": 1e9,
    "priority": 1,
}


async def test_a_queue_is_in_the_way_of_who_is_no_more_urgent_before_a_body_is_read():
    """Lesson 13: a refusal costs next to nothing, and a priority in the body still counts."""
    async with held() as (model, engine), listening(engine) as server:
        connection = await server.connect()
        known = post(ask(1.0), b"x-request-timeout-ms: 60000")
        deployment = engine.deployments["held"]
        # A queue of minutes is soon made, and what is allowed is far more than any stall takes.
        deployment.cost.coefficients = (0.1, 0.0, 0.0, 0.0)
        waiting = [asyncio.ensure_future(deployment.infer(**WAITING)) for _ in range(2)]
        await model.started()
        while deployment.batcher.needed_s(priority=DEFAULT_PRIORITY) < 50:
            waiting += [asyncio.ensure_future(deployment.infer(**WAITING)) for _ in range(100)]
            await asyncio.sleep(0)
        hurry = b"x-request-timeout-ms: 25000"
        refused = [await exchange(connection, post(b"!", hurry)) for _ in range(12)]
        urgent = ask(2.0)[:-1] + b',"parameters":{"priority":1}}'
        connection.send(post(urgent, hurry))
        model.let_go()
        answered = await connection.reply()
        await asyncio.gather(*waiting)

        assert {status for status, _, _ in refused} == {429}
        assert answered[0] == 200, answered
        assert value((await exchange(connection, known))[2]) == 1.0


@pytest.mark.parametrize("says", [b'{"timeout":25000000}', b'{"timeout":25000000,"priority":2}'])
async def test_what_a_known_body_allows_counts_though_its_head_allows_more(says):
    async with held() as (model, engine), listening(engine) as server:
        connection = await server.connect()
        hurried = post(ask(1.0)[:-1] + b',"parameters":' + says + b"}")
        deployment = engine.deployments["held"]
        model.let_go()
        for _ in range(3):
            assert (await exchange(connection, hurried))[0] == 200
        assert deployment.familiar
        model.hold()
        # Far more than is allowed, and what is allowed is far more than any stall takes.
        deployment.cost.coefficients = (60.0, 0.0, 0.0, 0.0)
        waiting = [asyncio.ensure_future(deployment.infer(**WAITING)) for _ in range(2)]
        await model.started()

        status, _, body = await exchange(connection, hurried)

        assert status == 429, body
        assert deployment.statistics.totals.refused == {"too_late": 1}
        model.let_go()
        await asyncio.gather(*waiting)


async def test_a_large_answer_is_compressed_for_who_can_read_that(served):
    _, _, connection = served
    values = np.linspace(0, 1, 2000).round(6).tolist()
    tensor = {"name": "x", "shape": [2000, 1], "datatype": "FP32", "data": values}
    body = json.dumps({"inputs": [tensor]}).encode()
    for accepts in (b"gzip, deflate", b"gzip"):
        _, headers, packed = await exchange(connection, post(body, b"accept-encoding: " + accepts))

        assert headers[b"content-encoding"] == b"gzip"
        data = json.loads(gzip.decompress(packed))["outputs"][0]["data"]
        assert data == pytest.approx(values, abs=1e-6)
    _, headers, _ = await exchange(connection, post(ask(1.0), b"accept-encoding: gzip, deflate"))
    assert b"content-encoding" not in headers


async def test_an_unknown_output_costs_no_run(served):
    engine, _, connection = served
    before = engine.deployments["held"].statistics.snapshot().execution_count
    body = json.dumps({**json.loads(ask(1.0)), "outputs": [{"name": "z"}]}).encode()

    status, _, text = await exchange(connection, post(body))

    assert status == 400
    assert b"unexpected output" in text
    assert engine.deployments["held"].statistics.snapshot().execution_count == before


async def test_a_trace_goes_on_with_the_one_that_the_head_tells_of():
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = OpenTelemetry(provider)
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    parent = b"traceparent: 00-" + trace_id.encode() + b"-b7ad6b7169203331-01"
    async with held() as (model, engine), listening(engine) as server:
        engine.deployments["held"].tracer = tracer
        model.let_go()
        connection = await server.connect()
        for _ in range(2):
            assert (await exchange(connection, post(ask(1.0), parent)))[0] == 200
        assert (await exchange(connection, post(b"{}", parent)))[0] == 400
    tracer.close()

    spans = [span for span in exporter.get_finished_spans() if span.name.startswith("infer")]
    assert len(spans) == 3
    assert {f"{span.context.trace_id:032x}" for span in spans} == {trace_id}
    codes = [span.attributes["http.response.status_code"] for span in spans]
    assert sorted(codes) == [200, 200, 400]


@pytest.mark.parametrize("path", ["/v2/models/held/infer", "/v2/nowhere"])
@pytest.mark.parametrize("part", [0.0, 0.05, 0.5, 0.99])
async def test_a_connection_that_ended_leaves_nothing_to_the_garbage_collector(served, path, part):
    """Thousands of connections that come and go would take megabytes until it runs.

    part: of a third request, that comes before its caller leaves.
    """
    _, server, connection = served
    request = post(ask(1.0), path=path)
    gc.collect()
    gc.disable()
    try:
        for _ in range(2):
            await exchange(connection, request)
        (door,) = map(weakref.ref, server.server.server_state.connections)
        connection.send(request[: int(part * len(request))])
        await connection.close()
        async with asyncio.timeout(10):
            while door() is not None:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.001)
    finally:
        gc.enable()
