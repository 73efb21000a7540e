"""The request that a server offers for each of its models."""

import pytest
from onnx import TensorProto

from tests.support import onnx_models
from tests.support.asgi import client, door, error_of, loaded


async def test_what_is_offered_is_answered():
    async with loaded() as engine, client(door(engine)) as session:
        for name in engine.models():
            for path in (f"/v2/models/{name}", f"/v2/models/{name}/versions/1"):
                offered = await session.get(path + "/example")
                reply = await session.post(path + "/infer", content=offered.content)
                assert (offered.status_code, reply.status_code) == (200, 200)


async def test_it_is_the_one_of_the_models_settings():
    async with loaded() as engine, client(door(engine)) as session:
        offered = (await session.get("/v2/models/iris/example")).json()

    assert offered == {
        "inputs": [
            {"name": "sepal_cm", "shape": [1, 2], "datatype": "FP32", "data": [5.5, 2.4]},
            {"name": "petal_cm", "shape": [1, 2], "datatype": "FP32", "data": [3.7, 1]},
        ]
    }


def casted(path, into):
    """x of FP32, y of `into`."""
    return onnx_models.write(
        path,
        [("CastLike", ["x", "like"], ["y"])],
        [("x", TensorProto.FLOAT, ["batch", 2])],
        [("y", into, ["batch", 2])],
        {"like": onnx_models.np.array(0, "f2")},
    )


async def test_outputs_without_a_form_in_json_are_asked_for_as_bytes(tmp_path):
    path = casted(tmp_path / "half.onnx", TensorProto.FLOAT16)
    async with loaded(path) as engine, client(door(engine)) as session:
        offered = (await session.get("/v2/models/half/example")).json()
        reply = await session.post("/v2/models/half/infer", json=offered)

    assert offered["outputs"] == [{"name": "y", "parameters": {"binary_data": True}}]
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("path", ["none/example", "iris/versions/2/example"])
async def test_of_a_model_that_is_not_there_there_is_none(path):
    async with loaded() as engine, client(door(engine)) as session:
        reply = await session.get(f"/v2/models/{path}")

    assert reply.status_code == 404
    assert "not found" in error_of(reply)
