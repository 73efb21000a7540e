"""Models of bfloat16, from bytes to bytes: half the bytes, and numbers that are exact."""

import json

import numpy as np
import pytest
from onnx import TensorProto, helper

from models.bfloat16 import to_bfloat16, to_float32
from tests.support import wire
from tests.support.asgi import client, door, loaded
from tests.support.onnx_models import _save


def twice(path):
    """y = x + x; bfloat16 outside, float32 within, as the engine computes on a CPU."""
    half, full = TensorProto.BFLOAT16, TensorProto.FLOAT
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=full),
        helper.make_node("Add", ["a", "a"], ["b"]),
        helper.make_node("Cast", ["b"], ["y"], to=half),
    ]
    tensors = [[helper.make_tensor_value_info(n, half, ["batch", 3])] for n in "xy"]
    return _save(path, helper.make_graph(nodes, "test", *tensors))


@pytest.mark.parametrize("rows", [0, 1, 3])
async def test_bfloat16_in_and_out(tmp_path, rows):
    numbers = np.arange(rows * 3, dtype="f4").reshape(rows, 3) - 2.5
    sent = to_bfloat16(numbers)
    outputs = [{"name": "y", "parameters": {"binary_data": True}}]
    text = wire.request(wire.binary_tensor("BF16", [rows, 3], sent.nbytes), outputs=outputs)
    body, length = wire.followed(text, sent.tobytes())
    async with loaded(twice(tmp_path / "m.onnx")) as engine, client(door(engine)) as session:
        assert engine.deployment("m", None).batching
        headers = {"inference-header-content-length": str(length)}
        reply = await session.post("/v2/models/m/infer", content=body, headers=headers)
        meta = (await session.get("/v2/models/m")).json()

    assert meta["inputs"] == [{"name": "x", "datatype": "BF16", "shape": [-1, 3]}]
    assert reply.status_code == 200, reply.text
    length = int(reply.headers.get("inference-header-content-length", len(reply.content)))
    (output,) = json.loads(reply.content[:length])["outputs"]
    assert output["datatype"] == "BF16"
    got = np.frombuffer(reply.content[length:], sent.dtype).reshape(rows, 3)
    np.testing.assert_array_equal(to_float32(got), numbers * 2)
