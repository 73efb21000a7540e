"""Compressed bodies through the gate: both ways, bounded, and no answer changed by them."""

import gzip
import json
import threading
import zlib
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from onnx import TensorProto

from serving.protocol import compression
from tests.support import onnx_models, wire
from tests.support.asgi import Caller, Reply, door, error_of, loaded
from tests.support.held_model import INFER, ask, held

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAME = "/v2/models/same/infer"
LIMIT = 2**20
ENCODE = {"gzip": gzip.compress, "deflate": zlib.compress}
DECODE = {"gzip": gzip.decompress, "deflate": zlib.decompress}
each_coding = pytest.mark.parametrize("coding", ["gzip", "deflate"])


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["gate", "route"])
async def app(request, tmp_path_factory):
    """y = x, behind either door."""
    path = tmp_path_factory.mktemp("models") / "same.onnx"
    onnx_models.identity(path, TensorProto.FLOAT, ["n", None])
    async with loaded(path, max_body_mib=1) as engine:
        yield door(engine, gate=request.param == "gate")


async def post(app: Any, body: bytes, *headers: tuple[str, str], path: str = SAME) -> Reply:
    """By hand: a client would decompress the answer, and say by itself what it accepts."""
    length = ("Content-Length", str(len(body)))
    async with Caller(app, path, length, *headers) as caller:
        caller.send(body)
        return await caller.reply()


def row(elements: int, *, binary: bool = False) -> bytes:
    """A request for one row of so many zeros."""
    output = {"name": "y", "parameters": {"binary_data": binary}}
    return wire.request(wire.tensor(shape=[1, elements], data=[0] * elements), outputs=[output])


@each_coding
@pytest.mark.parametrize("elements", [1, 100_000])
async def test_a_request_may_be_compressed(app, coding, elements):
    reply = await post(app, ENCODE[coding](row(elements)), ("Content-Encoding", coding.upper()))

    assert reply.status_code == 200
    assert reply.json()["outputs"][0]["data"] == [0] * elements
    assert "content-encoding" not in reply.headers


async def test_the_jsons_length_is_that_before_it_was_compressed(app):
    text = wire.request(
        wire.binary_tensor("FP32", [1, 500], 2000), parameters={"binary_data_output": True}
    )
    numbers = np.arange(500, dtype="<f4").tobytes()
    body, length = wire.followed(text, numbers)
    headers = ("Inference-Header-Content-Length", str(length)), ("Accept-Encoding", "deflate")

    reply = await post(app, gzip.compress(body), ("Content-Encoding", "gzip"), *headers)

    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-encoding"] == "deflate"
    answer = zlib.decompress(reply.body)
    length = int(reply.headers["inference-header-content-length"])
    assert json.loads(answer[:length])["outputs"][0]["parameters"] == {"binary_data_size": 2000}
    assert answer[length:] == numbers


@each_coding
@pytest.mark.parametrize("elements", [1, 100_000])
async def test_who_asks_for_a_coding_gets_it(app, coding, elements):
    reply = await post(app, row(elements), ("Accept-Encoding", coding))

    assert reply.headers["content-encoding"] == coding
    assert reply.headers["vary"] == "accept-encoding"
    assert json.loads(DECODE[coding](reply.body))["outputs"][0]["data"] == [0] * elements


@pytest.mark.parametrize(("elements", "coded"), [(1, False), (2000, False), (2500, True)])
async def test_who_can_read_it_gets_what_is_worth_it(app, elements, coded):
    body = row(elements, binary=True)

    reply = await post(app, body, ("Accept-Encoding", "gzip, deflate"))
    plain = await post(app, body)

    assert reply.headers.get("content-encoding") == ("gzip" if coded else None)
    assert (len(plain.body) >= compression.COMPRESS_FROM) is coded
    assert (gzip.decompress(reply.body) if coded else reply.body) == plain.body


async def test_several_headers_are_one_list(app):
    headers = ("Accept-Encoding", "gzip;q=0.1"), ("Accept-Encoding", "deflate;q=0.2")

    assert (await post(app, row(1), *headers)).headers["content-encoding"] == "deflate"


async def test_what_is_large_is_done_by_a_thread_of_its_own(app, monkeypatch):
    threads = set()

    def spied(done):
        def call(*arguments):
            threads.add((done.__name__, threading.current_thread() is threading.main_thread()))
            return done(*arguments)

        return call

    for name in ("compress", "decompress"):
        monkeypatch.setattr(f"serving.content_coding.{name}", spied(getattr(compression, name)))
    headers = ("Content-Encoding", "gzip"), ("Accept-Encoding", "gzip")

    await post(app, gzip.compress(row(1)), *headers)
    assert threads == {("decompress", True), ("compress", True)}
    await post(app, gzip.compress(row(100_000)), *headers)
    assert {("decompress", False), ("compress", False)} < threads


@each_coding
async def test_a_compressed_body_may_ask_for_more_time_than_the_model_gives(coding):
    body = ask(1)[:-1] + b',"parameters":{"timeout":10000000}}'
    header = ("Content-Encoding", coding)
    async with held(slo_ms=1e-6) as (model, engine):
        model.let_go()
        patient = await post(door(engine), ENCODE[coding](body), header, path=INFER)
        plain = await post(door(engine), ENCODE[coding](ask(1)), header, path=INFER)
        bomb = body[:-1] + b" " * 70_000 + b"}"
        large = await post(door(engine), ENCODE[coding](bomb), header, path=INFER)
        wrong = await post(door(engine), body, header, path=INFER)

    assert patient.status_code == 200
    assert [plain.status_code, large.status_code, wrong.status_code] == [429] * 3


# --- abuse


@each_coding
async def test_a_body_that_is_too_large_when_it_is_unpacked(app, coding):
    """Lesson 28."""
    bomb = ENCODE[coding](row(1) + b" " * 2**26)

    reply = await post(app, bomb, ("Content-Encoding", coding))

    assert len(bomb) < LIMIT
    assert reply.status_code == 413
    assert f"larger than the {LIMIT} bytes" in error_of(reply)


@each_coding
@pytest.mark.parametrize("size", [10, 200_000])
async def test_a_body_that_is_not_what_it_says(app, coding, size):
    packed = ENCODE[coding](row(1))
    noise = np.random.default_rng(0).bytes(size)
    for body, says in (
        (b"", "is cut off"),
        (packed[:-1], "is cut off"),
        (packed + noise, "goes on after its end"),
        (b"\x78\x9c" + noise if coding == "deflate" else noise, "is corrupt"),
    ):
        reply = await post(app, body, ("Content-Encoding", coding))

        assert reply.status_code == 400
        assert error_of(reply) == f"the {coding} body {says}"


async def test_an_error_is_never_compressed(app):
    """tritonclient reads it as it comes."""
    reply = await post(app, b"{}", ("Accept-Encoding", "gzip"))

    assert reply.status_code == 400
    assert "content-encoding" not in reply.headers
    assert error_of(reply)


@pytest.mark.parametrize(
    "value", ["", ",", ";", "gzip;q", "gzip;;q=", "*;q=9", "\u00ff", "a" * 9999]
)
async def test_an_accept_encoding_that_is_nonsense(app, value):
    assert (await post(app, row(1), ("Accept-Encoding", value))).status_code == 200
