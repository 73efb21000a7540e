"""Both clients against a real server process: every datatype, overload, and callers who leave."""

import asyncio
import gc
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from prometheus_client.parser import text_string_to_metric_families

import serving.client
from models import ZOO
from serving.client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    InvalidRequest,
    JitneyError,
    ModelNotFound,
    Overloaded,
    TensorSpec,
    Timing,
    Unavailable,
)
from serving.client.answer import timing_in
from tests.contract.conftest import DATATYPES
from tests.support import onnx_models
from tests.support.server import Server
from tests.support.server import serving as serve
from tests.support.wire import NUMPY, assert_same

from .scripted import BOTH, WAIT_S

both = pytest.mark.parametrize("client_of", BOTH, ids=["blocking", "awaiting"])
ALL = {**DATATYPES, "BF16": TensorProto.BFLOAT16}


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """digits; one identity for each datatype; `twice`; `busy`, which has room for two to wait."""
    root: Path = tmp_path_factory.mktemp("models")
    shutil.copytree(ZOO / "digits", root / "digits")
    for name, kind in ALL.items():
        onnx_models.identity(root / name / "1" / "model.onnx", kind, ["batch", 2])
    for version in "12":
        onnx_models.doubler(root / "twice" / version / "model.onnx")
    (root / "twice" / "model.toml").write_text('versions = "all"\n')
    # One request a run, and one run at a time however many cores there are: each run takes all.
    # So long a run that others come while it goes on.
    alone = "batching = false\nthreads = 1024\n"
    for name, more in (("busy", "max_queue_rows = 2\n"), ("slow", "")):
        onnx_models.heavy(root / name / "1" / "model.onnx", layers=480)
        (root / name / "model.toml").write_text(alone + more)
    with serve(root, "--profile-budget", "0.1") as running:
        yield running


ROW = np.ones((1, 1024), "f4")


def counted(server: Server, name: str, **labels: str) -> int:
    """A counter of the server's."""
    families = text_string_to_metric_families(server.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return sum(
        int(sample.value)
        for sample in samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def refused(server: Server) -> int:
    return counted(server, "jitney_refusals_total", model="busy", reason="queue_full")


def left(server: Server) -> int:
    return counted(server, "jitney_requests_total", model="slow", outcome="left")


def comes_true(condition: Callable[[], bool]) -> bool:
    """Ask until it does; the server notices a connection's end a little after it."""
    never = threading.Event()
    return any(condition() or never.wait(0.05) for _ in range(int(WAIT_S / 0.05)))


EXAMPLES = {
    "BOOL": [[True, False]],
    "FP16": [[1.5, -65504.0]],
    "BF16": [[1.5, -3.25]],
    "FP32": [[0.1, -np.inf]],
    "FP64": [[0.1, np.nan]],
    "BYTES": [[b"\0ab\xc3\xbf\0", b""], ["ä".encode(), b"x" * 100_000]],
}


@both
@pytest.mark.parametrize("datatype", ALL)
def test_every_datatype_comes_back_as_it_went(server, client_of, datatype):
    limits = [] if datatype in EXAMPLES else [[np.iinfo(NUMPY[datatype]).min,
                                               np.iinfo(NUMPY[datatype]).max]]  # fmt: skip
    values = EXAMPLES.get(datatype, limits)
    dtype = "f4" if datatype == "BF16" else NUMPY[datatype]
    array = np.array(values, dtype)
    with client_of(server.url) as client:
        from_array = client.infer(datatype, x=array)["y"]
        from_list = client.infer(datatype, {"x": values})["y"]
        empty = client.infer(datatype, x=array[:0])["y"]

    assert_same(from_array, array)
    assert_same(from_list, array)
    assert_same(empty, array[:0])


@both
def test_an_answer_says_where_it_is_from_and_what_the_time_went_into(server, client_of):
    with client_of(server.url) as client:
        answer = client.infer("twice", x=np.ones((3, 4)), request_id="it", priority=1)
        older = client.infer("twice", x=[[1, 2, 3, 4]], version=1, outputs=["y"])

    assert (answer.model, answer.version, answer.id) == ("twice", "2", "it")
    assert (older.version, older.id) == ("1", "")
    assert list(answer) == list(older) == ["y"]
    assert older["y"].tolist() == [[2, 4, 6, 8]]
    assert answer.timing is not None
    assert answer.timing.rows == 3
    assert answer.timing.run_s > 0
    assert "y: float32 [3, 4]" in repr(answer)


def test_a_header_of_another_server_is_no_timing():
    assert timing_in("") is None
    assert timing_in("cache;desc=hit, total;dur=5") is None
    said = "queue;dur=1.5, run;dur=2.000, encode;dur=0.100, batch;desc=32, padding;desc=7%"
    assert timing_in(said) == Timing(0.0015, 0.002, 0.0001, 32, 0.07)


@both
def test_models_are_described(server, client_of):
    with client_of(server.url) as client:
        client.wait_ready(WAIT_S)
        client.wait_ready(WAIT_S, "twice")
        metadata = client.metadata("twice")
        states = client.models()
        assert client.ready()
        assert client.ready("twice")
        assert not client.ready("nothing")
        with pytest.raises(DeadlineExceeded, match="nothing is not ready"):
            client.wait_ready(0.1, "nothing")

    assert metadata.versions == ("1", "2")
    assert metadata.inputs == (TensorSpec("x", "FP32", (-1, 4)),)
    assert {(each.name, each.version) for each in states if each.ready} >= {
        ("twice", "1"),
        ("twice", "2"),
        ("digits", "1"),
    }


@both
@pytest.mark.parametrize(
    ("model", "options", "kind", "status", "says"),
    [
        ("nothing", {"x": [1]}, ModelNotFound, 404, "nothing"),
        ("twice", {"x": [[1, 2, 3, 4]], "version": 9}, ModelNotFound, 404, "version '9'"),
        ("twice", {"x": [[1, 2, 3]]}, InvalidRequest, 400, r"expected shape \[-1, 4\]"),
        ("twice", {"x": [[1, 2, 3, 4]], "outputs": ["z"]}, InvalidRequest, 400, "output"),
        ("twice", {"x": [[1, 2, 3, 4]], "priority": -1}, InvalidRequest, 400, "priority"),
        ("twice", {"z": [[1, 2, 3, 4]]}, InvalidRequest, None, "takes the inputs 'x'; got 'z'"),
        ("twice", {"x": [["a"]]}, InvalidRequest, None, "takes numbers"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(server, client_of, model, options, kind, status, says):
    with client_of(server.url) as client, pytest.raises(kind, match=says) as caught:
        client.infer(model, **options)

    assert caught.value.status == status
    assert "\n" not in caught.value.message


# --- deadlines and overload


@both
def test_the_server_knows_the_deadline(server, client_of):
    with client_of(server.url) as client:
        client.metadata("slow")
        with pytest.raises((Overloaded, DeadlineExceeded)) as caught:
            client.infer("slow", x=np.ones((64, 1024), "f4"), timeout_s=0.002)
        assert client.infer("slow", x=ROW, timeout_s=WAIT_S)["y"].shape == (1, 1024)

    # It was the server who said so, and not the client's own clock.
    assert caught.value.status in (429, 504)


async def test_who_finds_no_room_comes_back_when_told_and_is_answered(server):
    before = refused(server)
    async with AsyncClient(server.url, retries=100, timeout_s=2 * WAIT_S) as client:
        await client.metadata("busy")
        loop = asyncio.get_running_loop()

        async def timed() -> tuple[int, float]:
            began = loop.time()
            answer = await client.infer("busy", x=ROW)
            return answer.attempts, loop.time() - began

        took = await asyncio.gather(*(timed() for _ in range(10)))

    refusals = refused(server) - before
    assert refusals > 0
    assert sum(attempts - 1 for attempts, _ in took) == refusals
    for attempts, seconds in took:
        assert seconds >= attempts - 1  # the server never says less than a second


async def test_who_may_not_try_again_is_told_when_to(server):
    async with AsyncClient(server.url, retries=0) as client:
        inputs = ({"x": ROW} for _ in range(10))
        outcomes = [o async for o in client.stream("busy", inputs, errors="yield")]

    errors = [outcome for outcome in outcomes if isinstance(outcome, JitneyError)]
    assert errors
    for error in errors:
        assert type(error) is Overloaded
        assert error.status == 429
        assert error.retry_after_s is not None
        assert error.retry_after_s >= 1


# --- callers who leave


async def test_the_server_notices_calls_that_are_cancelled(server):
    before = left(server)
    async with AsyncClient(server.url) as client:
        # With ten open connections, ten calls are on their way at once.
        await asyncio.gather(*(client.infer("slow", x=ROW) for _ in range(10)))
        calls = [asyncio.create_task(client.infer("slow", x=ROW)) for _ in range(10)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        for call in calls:
            call.cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)

    gone = sum(isinstance(result, asyncio.CancelledError) for result in results)
    assert gone >= 5
    # One may have been running already, and ends well with nobody to hear of it.
    assert await asyncio.to_thread(comes_true, lambda: left(server) >= before + gone - 2)


def test_the_server_notices_an_iteration_that_is_left(server):
    before = left(server)
    threads = threading.active_count()
    with Client(server.url) as client:
        answers = client.map("slow", ({"x": ROW} for _ in range(1000)), concurrency=10)
        for _ in range(20):
            next(answers)
        answers.close()

        assert comes_true(lambda: left(server) > before)
        assert threading.active_count() == threads


# --- streams


async def test_ten_thousand_inputs_go_through_a_window(server):
    taken = given = 0

    def source() -> Iterator[dict[str, np.ndarray]]:
        nonlocal taken
        for number in range(10_000):
            taken += 1
            yield {"x": np.full((1, 4), number, "f4")}

    async with AsyncClient(server.url) as client:
        async for answer in client.stream("twice", source(), concurrency=64):
            assert answer["y"].tolist() == [[2.0 * given] * 4]
            assert answer.index == given
            given += 1
            assert taken <= given + 64

    assert given == 10_000


def test_ten_thousand_inputs_are_mapped_through_a_window(server):
    taken = 0

    def source() -> Iterator[dict[str, np.ndarray]]:
        nonlocal taken
        for number in range(10_000):
            taken += 1
            yield {"x": np.full((1, 4), number, "f4")}

    seen = set()
    with Client(server.url) as client:
        for answer in client.map("twice", source(), ordered=False):
            assert answer["y"].tolist() == [[2.0 * (answer.index or 0)] * 4]
            seen.add(answer.index)
            assert taken <= len(seen) + 64

    assert seen == set(range(10_000))


@both
def test_a_failure_in_a_stream_is_raised_or_yielded(server, client_of):
    rows = [[[1, 2, 3, 4]], [[1, 2, 3]], [[5, 6, 7, 8]]]
    with client_of(server.url) as client:
        outcomes = list(client.map("twice", ({"x": row} for row in rows), errors="yield"))
        with pytest.raises(InvalidRequest) as caught:
            list(client.map("twice", ({"x": row} for row in rows)))
        with pytest.raises(ValueError, match="concurrency"):
            list(client.map("twice", [], concurrency=0))
        with pytest.raises(InvalidRequest, match="a mapping of names"):
            list(client.map("twice", rows))

    assert [type(each).__name__ for each in outcomes] == ["Answer", "InvalidRequest", "Answer"]
    assert [each.index for each in outcomes] == [0, 1, 2]
    assert caught.value.index == 1


async def test_calls_leave_nothing_to_the_garbage_collector(server):
    """Refused ones neither: in an overload there are many."""
    good, bad = [[1, 2, 3, 4]], [[1, 2, 3]]

    def block(client: Client) -> None:
        for _ in range(100):
            client.infer("twice", x=good)
            with suppress(InvalidRequest):
                client.infer("twice", x=bad)

    async def wait(client: AsyncClient) -> None:
        for _ in range(100):
            await client.infer("twice", x=good)
            with suppress(InvalidRequest):
                await client.infer("twice", x=bad)

    with Client(server.url) as blocking:
        async with AsyncClient(server.url) as awaiting:
            block(blocking)
            await wait(awaiting)
            gc.collect()
            gc.disable()
            try:
                block(blocking)
                await wait(awaiting)
                left_over = gc.collect()
            finally:
                gc.enable()

    assert left_over < 50


# --- a server that dies


async def test_calls_in_flight_learn_that_their_server_was_killed(tmp_path):
    onnx_models.heavy(tmp_path / "slow.onnx")
    with serve(tmp_path / "slow.onnx", "--profile-budget", "0.1") as dying:
        async with AsyncClient(dying.url, retries=1) as client:
            calls = [
                asyncio.create_task(client.infer("slow", x=np.full((64, 1024), n, "f4")))
                for n in range(20)
            ]
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            dying.process.kill()
            results = await asyncio.gather(*calls, return_exceptions=True)

    failed = [result for result in results if isinstance(result, BaseException)]
    assert failed
    assert {type(error) for error in failed} == {Unavailable}


def test_the_example_of_the_documentation_runs(server):
    (example,) = re.findall(
        r"^(    import numpy.*?)^\S", str(serving.client.__doc__), re.DOTALL | re.MULTILINE
    )
    code = "\n".join(line[4:] for line in example.splitlines())
    printed: list[object] = []
    scope = {"print": lambda *words: printed.append(words)}
    exec(code.replace("http://127.0.0.1:8000", server.url), scope)

    assert printed
