"""Outputs in a form of their own, and inputs without any: labels, classes, raw bodies, refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from tests.support import onnx_models, wire
from tests.support.asgi import Caller, client, door, error_of, loaded
from tests.support.held_model import INFER, ask, held

LENGTH = "Inference-Header-Content-Length"
SCORES = wire.tensor(shape=[2, 3], data=[0.1, 0.7, 0.2, 3, 2, 1])


def classes(most: int, name: str = "y") -> dict:
    return {"name": name, "parameters": {"classification": most}}


def folder(tmp_path: Path, labels: str) -> Path:
    """A model y = x of three elements a row, with a file of labels beside it."""
    onnx_models.identity(tmp_path / "m/1/model.onnx", TensorProto.FLOAT, ["n", 3])
    (tmp_path / "m/labels.txt").write_text(labels)
    return tmp_path


@pytest.mark.parametrize(
    ("labels", "texts"),
    [
        (
            "cat\ndog\nowl\n",
            ["0.700000:1:dog", "0.200000:2:owl", "3.000000:0:cat", "2.000000:1:dog"],
        ),
        # Two labels are not those of three elements.
        ("cat\ndog\n", ["0.700000:1", "0.200000:2", "3.000000:0", "2.000000:1"]),
    ],
)
async def test_the_largest_elements_with_the_labels_beside_the_model(tmp_path, labels, texts):
    body = wire.request(SCORES, outputs=[classes(2)])
    async with loaded(folder(tmp_path, labels)) as engine, client(door(engine)) as session:
        reply = await session.post("/v2/models/m/infer", content=body)

    (output,) = reply.json()["outputs"]
    assert output == {"name": "y", "datatype": "BYTES", "shape": [2, 2], "data": texts}


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        ([{"name": "y"}, {"name": "q"}], 'unexpected output "q"'),
        ([classes(1, "q")], 'unexpected output "q"'),
        ([classes(0)], "outputs[0].parameters.classification: expected a whole number of at "),
    ],
)
async def test_what_cannot_be_answered_costs_no_run(outputs, says):
    body = ask(1)[:-1] + b',"outputs":' + json.dumps(outputs).encode() + b"}"
    async with held() as (model, engine), client(door(engine)) as session:
        model.let_go()
        reply = await session.post(INFER, content=body)

    assert reply.status_code == 400
    assert error_of(reply).startswith(says)
    assert model.ran == []


async def test_a_raw_body_is_the_only_inputs_data():
    async with held() as (model, engine):
        model.let_go()
        async with Caller(door(engine), INFER, (LENGTH, "0")) as caller:
            caller.send(np.float32(2.5).tobytes())
            reply = await caller.reply()

    assert reply.headers["content-type"] == "application/octet-stream"
    length = int(reply.headers[LENGTH.lower()])
    (output,) = json.loads(reply.body[:length])["outputs"]
    assert (output["shape"], output["parameters"]) == ([1, 1], {"binary_data_size": 4})
    assert np.frombuffer(reply.body[length:], "<f4").tolist() == [2.5]
    assert model.ran == [2.5]


@pytest.mark.parametrize("shape", [["n"], ["n", 1], ["n", None], [1], []])
async def test_a_raw_body_is_the_one_text_that_a_model_takes(tmp_path, shape):
    path = onnx_models.identity(tmp_path / "t.onnx", TensorProto.STRING, shape)
    async with loaded(path) as engine, client(door(engine)) as session:
        reply = await session.post(
            "/v2/models/t/infer", content="ü".encode(), headers={LENGTH: "0"}
        )

    length = int(reply.headers[LENGTH])
    assert json.loads(reply.content[:length])["outputs"][0]["shape"] == [1] * len(shape)
    assert reply.content[length:] == b"\2\0\0\0" + "ü".encode()


# --- abuse


async def test_a_raw_body_that_does_not_fill_the_input():
    async with held() as (model, engine), client(door(engine)) as session:
        model.let_go()
        for body in (b"", b"abc", ask(1)):
            reply = await session.post(INFER, content=body, headers={LENGTH: "0"})

            assert reply.status_code == 400
            assert f"takes 4 bytes, got {len(body)}" in error_of(reply)
    assert model.ran == []


async def test_a_half_float_is_not_answered_as_json(tmp_path):
    path = onnx_models.identity(tmp_path / "half.onnx", TensorProto.FLOAT16, ["n", 1])
    body, length = wire.followed(
        wire.request(wire.binary_tensor("FP16", [1, 1], 2)), np.float16(1).tobytes()
    )
    async with loaded(path) as engine, client(door(engine)) as session:
        reply = await session.post(
            "/v2/models/half/infer", content=body, headers={LENGTH: str(length)}
        )

    assert reply.status_code == 400
    assert error_of(reply) == "output 'y' is FP16, which has no JSON form; ask for binary data"
