"""Every model's own route in the documentation, made of what is loaded now."""

from typing import Any

import httpx
import pytest
from onnx import TensorProto

from tests.support import onnx_models
from tests.support.asgi import client, door, loaded


async def paths(session: httpx.AsyncClient) -> dict[str, Any]:
    document: dict[str, Any] = (await session.get("/openapi.json")).json()["paths"]
    return document


async def test_each_model_has_a_route_whose_example_is_answered():
    async with loaded() as engine, client(door(engine)) as session:
        documented = await paths(session)
        for name in engine.models():
            path = f"/v2/models/{name}/infer"
            content = documented[path]["post"]["requestBody"]["content"]["application/json"]
            reply = await session.post(path, json=content["example"])
            assert reply.status_code == 200


async def test_its_schema_has_the_models_own_names_types_and_shapes():
    async with loaded() as engine, client(door(engine)) as session:
        post = (await paths(session))["/v2/models/iris/infer"]["post"]

    schema = post["requestBody"]["content"]["application/json"]["schema"]
    inputs = schema["properties"]["inputs"]
    assert (inputs["minItems"], inputs["maxItems"]) == (2, 2)
    names = [one["properties"]["name"]["const"] for one in inputs["items"]["oneOf"]]
    assert names == ["sepal_cm", "petal_cm"]
    sepal = inputs["items"]["oneOf"][0]["properties"]
    assert sepal["datatype"] == {"const": "FP32"}
    assert sepal["shape"]["maxItems"] == 2
    assert sepal["data"]["items"] == {"type": "number"}
    assert post["description"].startswith("Tells the species of an iris")


@pytest.mark.parametrize(
    ("kind", "element"),
    [("BOOL", "boolean"), ("STRING", "string"), ("INT64", "integer"), ("DOUBLE", "number")],
)
async def test_elements_are_what_json_has_for_their_type(tmp_path, kind, element):
    path = onnx_models.identity(tmp_path / "m.onnx", getattr(TensorProto, kind), ["n", 2])
    async with loaded(path) as engine, client(door(engine)) as session:
        post = (await paths(session))["/v2/models/m/infer"]["post"]

    schema = post["requestBody"]["content"]["application/json"]["schema"]
    tensor = schema["properties"]["inputs"]["items"]
    assert tensor["properties"]["data"]["items"] == {"type": element}


async def test_what_has_no_form_in_json_has_no_example_in_it(tmp_path):
    path = onnx_models.identity(tmp_path / "m.onnx", TensorProto.FLOAT16, ["n", 2])
    async with loaded(path) as engine, client(door(engine)) as session:
        post = (await paths(session))["/v2/models/m/infer"]["post"]

    content = post["requestBody"]["content"]["application/json"]
    assert "example" not in content
    assert "Input x has no JSON form" in post["description"]
    # Commands that run: see test_example.py for the second one.
    commands = [line[4:] for line in post["description"].splitlines() if line.startswith("    ")]
    assert commands[0] == "jitney call m"
    assert commands[1].startswith("{ printf %s ")
    assert "| curl -s http://127.0.0.1:8000/v2/models/m/infer " in commands[1]


async def test_models_that_come_and_go_are_in_it_and_not(tmp_path):
    onnx_models.doubler(tmp_path / "a" / "1" / "model.onnx")
    async with loaded(tmp_path, admin=True) as engine, client(door(engine)) as session:
        assert "/v2/models/a/infer" in await paths(session)
        assert "/v2/models/b/infer" not in await paths(session)
        onnx_models.doubler(tmp_path / "b" / "1" / "model.onnx")
        await engine.reload("b")
        await engine.unload("a")
        documented = await paths(session)

    assert "/v2/models/b/infer" in documented
    assert "/v2/models/a/infer" not in documented
    assert "/v2/models/{name}/infer" in documented
