"""The door answers for models with something before and after them: no task, no ASGI."""

import asyncio
import contextlib
import gc
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batching import Ticket, TooLate
from batching.parts import Part
from models import InvalidInput, PipelineFailed, usable_cores
from models.pipeline import UserPipeline
from serving.deployment import DEFAULT_PRIORITY, Answer, Deployment
from serving.door import Exchange
from serving.engine import Engine
from serving.observe.report import gauges
from serving.protocol import InferRequest
from tests.serving.test_door import until, value
from tests.support import text_models, wire
from tests.support.asgi import loaded
from tests.support.door import Listening, listening, post
from tests.support.onnx_models import doubler

AROUND = """\
import threading

at_before, at_after, goes_on = threading.Event(), threading.Event(), threading.Event()
seen = []


def before(inputs):
    value = float(inputs["x"][0, 0])
    seen.append(value)
    if value == -1:
        raise ValueError("not this one")
    if value == -2:
        at_before.set()
        goes_on.wait(60)
    return {"x": inputs["x"] + 1}


def after(outputs):
    value = float(outputs["y"][0, 0])
    if value == -6:
        raise RuntimeError("after cannot do this")
    if value == -8:
        at_after.set()
        goes_on.wait(60)
    return {"y": outputs["y"] + 100}
"""


class Served:
    def __init__(self, engine: Engine, server: Listening) -> None:
        self.engine, self.server = engine, server

    @property
    def deployment(self) -> Deployment:
        return self.engine.deployment("m", None)

    def event(self, name: str) -> threading.Event:
        event: threading.Event = self._globals[name]
        return event

    @property
    def seen(self) -> list[float]:
        """What has been through `before`."""
        seen: list[float] = self._globals["seen"]
        return seen

    @property
    def _globals(self) -> dict[str, Any]:
        pipeline = self.deployment.model.pipeline
        assert isinstance(pipeline, UserPipeline)
        found: dict[str, Any] = pipeline._after.__globals__
        return found

    def counted(self) -> dict[str, int]:
        """What is not 0 of what requests are counted as."""
        totals = self.deployment.statistics.totals
        counts = {
            "success": totals.success,
            "failed": totals.run_failed,
            "left": totals.left,
            **totals.refused,
        }
        return {name: count for name, count in counts.items() if count}


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Served]:
    async with loaded(folder) as engine, listening(engine) as server:
        yield Served(engine, server)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """y = 2 (x + 1) + 100, one number a row."""
    doubler(tmp_path / "m" / "1" / "model.onnx", width=1)
    (tmp_path / "m" / "pipeline.py").write_text(AROUND)
    return tmp_path


def ask(number: float, **more: Any) -> bytes:
    body = wire.request(wire.tensor(shape=[1, 1], data=[number]), **more)
    return post(body, path="/v2/models/m/infer")


async def test_what_goes_before_and_after_is_done_and_counted_once(folder: Path) -> None:
    async with serving(folder) as served:
        connection = await served.server.connect()
        for number in (1.0, 2.0, 3.0):
            connection.send(ask(number))
            status, headers, body = await connection.reply()
            assert (status, value(body)) == (200, 2 * (number + 1) + 100)
            assert b"run;dur=" in headers[b"server-timing"]

        (protocol,) = served.server.server.server_state.connections
        assert isinstance(protocol.cycle, Exchange)  # and not uvicorn's own
        assert served.counted() == {"success": 3}


async def test_texts_ride_with_their_lengths(tmp_path: Path) -> None:
    text_models.tokenizer(tmp_path / "m" / "tokenizer.json")
    text_models.encoder(tmp_path / "m" / "1" / "model.onnx")
    texts = ["the bus waits", "town", "the car waits very late the"]
    async with serving(tmp_path) as served:
        connections = [await served.server.connect() for _ in texts]
        for connection, text in zip(connections, texts, strict=True):
            body = wire.request(wire.tensor("BYTES", [1], [text], "text"))
            connection.send(post(body, path="/v2/models/m/infer"))
        for connection, text in zip(connections, texts, strict=True):
            status, _, body_ = await connection.reply()
            ids = [text_models.token(word) for word in ["[CLS]", *text.split(), "[SEP]"]]
            mean = text_models.VECTORS[ids].mean(axis=0)
            vector = json.loads(body_)["outputs"][0]["data"]
            assert status == 200
            assert np.allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)

        for protocol in served.server.server.server_state.connections:
            assert isinstance(protocol.cycle, Exchange)
        # Three tokens at least, as the tokenizer marks both ends.
        assert served.deployment.statistics.totals.work >= 16
        assert served.counted() == {"success": 3}


async def test_texts_of_one_request_ride_by_their_own_lengths(tmp_path: Path) -> None:
    text_models.tokenizer(tmp_path / "m" / "tokenizer.json")
    text_models.encoder(tmp_path / "m" / "1" / "model.onnx")
    texts = ["town", "very " * 40, "the bus", "late", "very " * 38]
    async with serving(tmp_path) as served:
        connection = await served.server.connect()
        body = wire.request(wire.tensor("BYTES", [len(texts)], texts, "text"))
        connection.send(post(body, path="/v2/models/m/infer"))
        status, _, answer = await connection.reply()

        assert status == 200
        vectors = np.reshape(json.loads(answer)["outputs"][0]["data"], (len(texts), -1))
        for text, vector in zip(texts, vectors, strict=True):
            ids = [text_models.token(word) for word in ["[CLS]", *text.split(), "[SEP]"]]
            mean = text_models.VECTORS[ids].mean(axis=0)
            assert np.allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)
        totals = served.deployment.statistics.totals
        assert served.counted() == {"success": 1}
        assert totals.good_rows == 5
        assert totals.work == sum(len(text.split()) + 2 for text in texts)


@pytest.mark.parametrize(
    ("number", "status", "says", "counted"),
    [
        (-1.0, 400, "not this one", {"invalid": 1}),
        (-4.0, 500, "pipeline", {"pipeline_failed": 1}),
    ],
)
async def test_what_a_pipeline_raises_fails_its_own_request(
    folder: Path, number: float, status: int, says: str, counted: dict[str, int]
) -> None:
    async with serving(folder) as served:
        connection = await served.server.connect()
        connection.send(ask(number), ask(1.0))

        failed, _, body = await connection.reply()
        assert failed == status
        assert says in json.loads(body)["error"]
        assert value((await connection.reply())[2]) == 104.0
        assert served.counted() == {**counted, "success": 1}


async def test_what_fits_no_input_is_said_before_the_pipeline_sees_it(folder: Path) -> None:
    async with serving(folder) as served:
        connection = await served.server.connect()
        body = wire.request(wire.tensor(shape=[1, 2], data=[1.0, 2.0]))
        connection.send(post(body, path="/v2/models/m/infer"))

        status, _, _ = await connection.reply()
        assert status == 400
        assert served.counted() == {"invalid": 1}


@pytest.mark.parametrize(("number", "where"), [(-2.0, "at_before"), (-5.0, "at_after")])
async def test_who_leaves_while_the_pipeline_is_at_work_is_counted_once(
    folder: Path, number: float, where: str
) -> None:
    """Lesson 1."""
    async with serving(folder) as served:
        leaves, stays = await served.server.connect(), await served.server.connect()
        leaves.send(ask(number))
        await until(served.event(where).is_set)
        await leaves.close()
        await until(lambda: served.counted() == {"left": 1})
        served.event("goes_on").set()
        stays.send(ask(1.0))

        assert value((await stays.reply())[2]) == 104.0
        assert served.counted() == {"left": 1, "success": 1}
        # Who had left before the model never came to it.
        assert served.deployment.statistics.totals.runs == (2 if where == "at_after" else 1)


async def test_a_server_that_stops_waits_for_the_pipeline(folder: Path) -> None:
    """Lesson 19."""
    async with serving(folder) as served:
        connection, idle = await served.server.connect(), await served.server.connect()
        idle.send(ask(1.0))
        await idle.reply()
        connection.send(ask(-5.0))
        await until(served.event("at_after").is_set)
        served.server.server.should_exit = True
        assert await idle.ended()
        served.event("goes_on").set()

        status, headers, body = await connection.reply()
        assert (status, value(body)) == (200, 92.0)
        assert headers[b"connection"] == b"close"
        assert await connection.ended()


@contextlib.asynccontextmanager
async def held(served: Served) -> AsyncIterator[None]:
    """All threads of the pipeline are at work, and so many more steps are handed to them."""
    served.event("goes_on").clear()
    served.seen.clear()
    holders = [await served.server.connect() for _ in range(2 * usable_cores())]
    for connection in holders:
        connection.send(ask(-2.0, parameters={"timeout": 600_000_000}))
    try:
        await until(lambda: len(served.seen) == usable_cores())
        await until(lambda: in_line(served) == len(holders))
        yield
    finally:
        served.event("goes_on").set()
    for connection in holders:
        assert (await connection.reply())[0] == 200


def in_line(served: Served) -> int:
    return served.deployment._line.rows


async def test_the_line_before_a_pipeline_is_bounded(folder: Path) -> None:
    """Lessons 13 and 17: and whoever finds no room is told so, and when to come back."""
    most = 2 * usable_cores() + 2
    (folder / "m" / "model.toml").write_text(f"max_queue_rows = {most}")
    async with serving(folder) as served:
        async with held(served):
            waiting = [await served.server.connect() for _ in range(2)]
            for connection in waiting:
                connection.send(ask(1.0))
            await until(lambda: in_line(served) == most)
            beyond = await served.server.connect()
            beyond.send(ask(3.0))
            status, headers, body = await beyond.reply()

            assert status == 429
            assert b"retry-after" in headers
            assert "queue is full" in json.loads(body)["error"]
        for connection in waiting:
            assert value((await connection.reply())[2]) == 104.0
        assert 3.0 not in served.seen
        assert served.counted() == {"success": most, "queue_full": 1}
        assert in_line(served) == 0


async def test_whose_time_runs_out_before_the_pipeline_is_told_so_at_once(folder: Path) -> None:
    """Lesson 15."""
    async with serving(folder) as served:
        async with held(served):
            connection = await served.server.connect()
            connection.send(ask(3.0, parameters={"timeout": 50_000}))
            status, _, _ = await connection.reply()
            assert status == 504
        assert 3.0 not in served.seen
        assert served.counted()["deadline_exceeded"] == 1
        assert in_line(served) == 0


async def test_who_would_wait_too_long_for_the_pipeline_is_refused(folder: Path) -> None:
    """Before its turn comes, and once it is known what a step takes before its body is read."""
    async with serving(folder) as served:
        connection = await served.server.connect()
        async with held(served):
            served.deployment._line.before.row_s = 100.0
            first, second = await served.server.connect(), await served.server.connect()
            first.send(ask(1.0, parameters={"timeout": 3_000_000_000}))
            await until(lambda: in_line(served) == 2 * usable_cores() + 1)
            second.send(ask(3.0, parameters={"timeout": 20_000_000}))
            connection.send(ask(3.0))  # the default: ten seconds
            for refused in (second, connection):
                status, headers, body = await refused.reply()
                assert status == 429
                assert int(headers[b"retry-after"]) >= 1
                assert "allowed" in json.loads(body)["error"]
        assert value((await first.reply())[2]) == 104.0
        assert 3.0 not in served.seen
        assert served.counted()["too_late"] == 2


async def test_what_is_told_of_a_model_counts_the_line_before_its_pipeline(folder: Path) -> None:
    """Rows, and seconds: who allows less is refused, and who allows more waits."""
    async with serving(folder) as served:
        deployment = served.deployment
        assert gauges(deployment)["queue_rows"] == 0
        async with held(served):
            rows = in_line(served)
            assert gauges(deployment)["queue_rows"] == deployment.waiting_rows == rows
            deployment._line.before.row_s = 100.0
            first = await served.server.connect()
            first.send(ask(1.0, parameters={"timeout": 3_000_000_000}))
            await until(lambda: in_line(served) == rows + 1)
            now = gauges(deployment)
            assert now["queue_rows"] == rows + 1
            # The one who waits, by all threads; and its own.
            predicted_s = now["predicted_wait_s"]
            assert predicted_s == pytest.approx(100 / usable_cores() + 100, rel=0.05)

            inputs = {"x": np.array([[3.0]], np.float32)}

            def comes(timeout_s: float) -> asyncio.Future[Answer]:
                return asyncio.ensure_future(
                    deployment.infer(
                        inputs,
                        arrived=time.monotonic(),
                        timeout_s=timeout_s,
                        priority=DEFAULT_PRIORITY,
                    )
                )

            with pytest.raises(TooLate):
                await comes(0.95 * predicted_s)
            waits = comes(1.05 * predicted_s)
            await until(lambda: in_line(served) == rows + 2)
            waits.cancel()
        assert value((await first.reply())[2]) == 104.0


async def test_a_slow_step_of_long_ago_is_not_predicted_for_who_comes_now(folder: Path) -> None:
    """Nobody is there, so whoever comes is let in: there is no reason for another server."""
    async with serving(folder) as served:
        served.deployment._line.before.row_s = 100.0
        assert gauges(served.deployment)["predicted_wait_s"] < 1


async def test_who_leaves_the_line_before_a_pipeline_never_comes_to_it(folder: Path) -> None:
    """Lesson 15."""
    async with serving(folder) as served:
        async with held(served):
            before = in_line(served)
            leaves, stays = await served.server.connect(), await served.server.connect()
            leaves.send(ask(3.0))
            stays.send(ask(1.0))
            inputs = {"x": np.array([[4.0]], np.float32)}
            call = asyncio.ensure_future(
                served.deployment.infer(
                    inputs, arrived=time.monotonic(), timeout_s=None, priority=5
                )
            )
            await until(lambda: in_line(served) == before + 3)
            await leaves.close()
            call.cancel()
            await until(lambda: in_line(served) == before + 1)
            await until(lambda: served.counted().get("left") == 2)
        assert value((await stays.reply())[2]) == 104.0
        assert not {3.0, 4.0} & set(served.seen)


async def test_who_waits_for_the_pipeline_when_the_server_stops_is_told_so(folder: Path) -> None:
    """Lesson 19: before the connections are closed."""
    async with serving(folder) as served:
        served.seen.clear()
        connections = [await served.server.connect() for _ in range(2 * usable_cores() + 2)]
        for connection in connections:
            connection.send(ask(-2.0))
        await until(lambda: in_line(served) == len(connections))
        await until(lambda: len(served.seen) == usable_cores())
        stop = asyncio.create_task(served.engine.stop(0.0))
        await until(lambda: served.engine._helpers._closed)
        served.event("goes_on").set()
        await stop
        for connection in connections:
            status, _, body = await connection.reply()
            assert status == 503
            assert "stopping" in json.loads(body)["error"]


@contextlib.contextmanager
def collected() -> Iterator[Callable[[], int]]:
    """Nothing is, but what nobody holds goes at once. Gives how much of requests is left."""
    kinds = (Exchange, Ticket, Part, InferRequest, InvalidInput, PipelineFailed)
    gc.collect()
    gc.disable()

    def count() -> int:
        return sum(isinstance(thing, kinds) for thing in gc.get_objects())

    of_others = count()
    try:
        yield lambda: count() - of_others
    finally:
        gc.enable()


@pytest.mark.parametrize("number", [1.0, -1.0, -4.0])
async def test_a_request_leaves_nothing_for_the_garbage_collector(
    folder: Path, number: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a good one, nor one that its pipeline fails."""
    # What is logged is kept for the test's report, and the error with it.
    monkeypatch.setattr(logging.getLogger("models.user_pipeline"), "disabled", True)
    async with serving(folder) as served:
        connection = await served.server.connect()
        with collected() as left:
            for _ in range(50):
                connection.send(ask(number))
                await connection.reply()
            assert left() <= 3  # the last one is still the connection's


async def test_nor_does_one_that_is_awaited(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other doors wait for what comes of a step, and it may be an error."""
    monkeypatch.setattr(logging.getLogger("models.user_pipeline"), "disabled", True)
    async with serving(folder) as served:
        with collected() as left:
            for number in (-1.0, -4.0) * 20:
                inputs = {"x": np.array([[number]], np.float32)}
                with contextlib.suppress(InvalidInput, PipelineFailed):
                    await served.deployment.infer(
                        inputs, arrived=time.monotonic(), timeout_s=None, priority=5
                    )
            assert left() <= 3


async def test_nor_do_callers_who_leave(folder: Path) -> None:
    async with serving(folder) as served:
        with collected() as left:
            for _ in range(20):
                served.event("at_before").clear()
                served.event("goes_on").clear()
                leaves = await served.server.connect()
                leaves.send(ask(-2.0))
                await until(served.event("at_before").is_set)
                await leaves.close()
                served.event("goes_on").set()
            await until(lambda: served.counted() == {"left": 20})
            await until(lambda: left() <= 3)


async def test_nor_do_texts_that_ride_apart(tmp_path: Path) -> None:
    text_models.tokenizer(tmp_path / "m" / "tokenizer.json")
    text_models.encoder(tmp_path / "m" / "1" / "model.onnx")
    texts = ["town", "very " * 40, "the bus"]
    async with serving(tmp_path) as served:
        connection = await served.server.connect()
        with collected() as left:
            for _ in range(20):
                body = wire.request(wire.tensor("BYTES", [len(texts)], texts, "text"))
                connection.send(post(body, path="/v2/models/m/infer"))
                assert (await connection.reply())[0] == 200
            assert left() <= 3 + len(texts) * 2
