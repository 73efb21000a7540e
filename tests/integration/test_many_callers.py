"""Many callers at one time, against a real server."""

import asyncio
import re

import aiohttp
import numpy as np
import pytest
from onnx import TensorProto
from sklearn.datasets import load_digits

from tests.support import onnx_models
from tests.support.server import serving

CALLERS = 64
EACH = 30


def digit_request(image: np.ndarray) -> dict[str, object]:
    tensor = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": image.tolist()}
    return {"inputs": [tensor]}


async def call(session: aiohttp.ClientSession, url: str, body: object) -> tuple[dict, int]:
    """The reply, and the rows of the batch it rode in."""
    async with session.post(url, json=body) as reply:
        found = re.search(r"batch;desc=(\d+)", reply.headers.get("server-timing", ""))
        return await reply.json(), int(found[1]) if found else 0


def outputs(reply: dict) -> dict[str, list]:
    return {output["name"]: output["data"] for output in reply["outputs"]}


@pytest.fixture(scope="module")
def zoo():
    with serving() as server:
        yield server


async def test_64_callers_each_get_the_answer_they_get_alone(zoo):
    """Lesson 2: nobody gets another's values. And they ride together."""
    images = load_digits().data.astype(np.float32)
    chosen = np.random.default_rng(0).choice(len(images), size=(CALLERS, EACH))
    url = zoo.url + "/v2/models/digits/infer"
    batches = []

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        alone = {
            int(index): outputs((await call(session, url, digit_request(images[index])))[0])
            for index in np.unique(chosen)
        }

        async def caller(indices):
            for index in indices:
                reply, rows = await call(session, url, digit_request(images[index]))
                mine = outputs(reply)
                batches.append(rows)
                assert mine["digit"] == alone[int(index)]["digit"]
                np.testing.assert_allclose(
                    mine["probabilities"], alone[int(index)]["probabilities"], atol=1e-5
                )

        await asyncio.gather(*(caller(indices) for indices in chosen))

    riders_per_batch = len(batches) / sum(1 / rows for rows in batches)
    assert riders_per_batch > 4


async def test_one_bad_request_among_many_fails_alone(tmp_path):
    """Lesson 3."""
    path = onnx_models.gatherer(tmp_path / "table.onnx", rows=8)
    with serving(path) as server:
        url = server.url + "/v2/models/table/infer"

        def body(index):
            tensor = {"name": "index", "shape": [1, 1], "datatype": "INT64", "data": [index]}
            return {"inputs": [tensor]}

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def caller(number):
                for turn in range(EACH):
                    index = 99 if number == 7 and turn % 5 == 0 else (number + turn) % 8
                    reply, _ = await call(session, url, body(index))
                    if index == 99:
                        assert reply == {
                            "error": "the model failed on this request; the server's log says why"
                        }
                    else:
                        assert outputs(reply)["y"] == [index]

            await asyncio.gather(*(caller(number) for number in range(CALLERS)))


async def test_a_caller_who_hangs_up_does_not_disturb_the_others(tmp_path):
    """Lesson 1: over a real connection, while others wait for the same model."""
    path = onnx_models.heavy(tmp_path / "heavy.onnx", width=1024, layers=60)
    with serving(path) as server:
        url = server.url + "/v2/models/heavy/infer"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            def body(value):
                tensor = {
                    "name": "x",
                    "shape": [1, 1024],
                    "datatype": "FP32",
                    "data": [value] * 1024,
                }
                return {"inputs": [tensor]}

            calls = [asyncio.create_task(call(session, url, body(n))) for n in range(24)]
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            for leaving in calls[1::2]:
                leaving.cancel()
            answers = await asyncio.gather(*calls[0::2])

        base = np.array(outputs(answers[1][0])["y"])
        for number, (reply, _) in enumerate(answers):
            np.testing.assert_allclose(outputs(reply)["y"], base * number, rtol=1e-3, atol=1e-3)
        assert server.get("/v2/health/ready").json() == {"ready": True}


async def test_different_shapes_at_one_time_never_mix(tmp_path):
    """Lesson 2."""
    path = onnx_models.identity(tmp_path / "same.onnx", TensorProto.FLOAT, ["batch", "n"])
    with serving(path) as server:
        url = server.url + "/v2/models/same/infer"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def caller(number):
                for turn in range(EACH):
                    length = 1 + (number + turn) % 3
                    data = [float(number)] * length
                    tensor = {
                        "name": "x",
                        "shape": [1, length],
                        "datatype": "FP32",
                        "data": data,
                    }
                    reply, _ = await call(session, url, {"inputs": [tensor]})
                    assert outputs(reply)["y"] == data

            await asyncio.gather(*(caller(number) for number in range(CALLERS)))
