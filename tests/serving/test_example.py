"""A request that works, for every model."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from models import find_models, load
from serving.example import MAX_PASTE, curl, example_request
from serving.protocol import decode
from tests.support import onnx_models, wire
from tests.support.asgi import client, door, loaded

URL = "http://127.0.0.1:8000"


async def test_the_examples_of_the_shipped_models_are_answered():
    async with loaded() as engine, client(door(engine)) as session:
        for name in engine.deployments:
            example = example_request(engine.registry.get(name).example())
            reply = await session.post(f"/v2/models/{name}/infer", json=example)
            assert reply.status_code == 200


@pytest.mark.parametrize(
    "kind",
    ["BOOL", "STRING", "FLOAT", "DOUBLE", *(f"{u}INT{n}" for u in ("", "U") for n in (8, 64))],
)
async def test_a_model_without_an_example_gets_one_that_is_answered(tmp_path, kind):
    path = onnx_models.identity(tmp_path / "m.onnx", getattr(TensorProto, kind), ["n", 2, None])
    async with loaded(path) as engine, client(door(engine)) as session:
        example = example_request(engine.registry.get("m").example())
        reply = await session.post("/v2/models/m/infer", json=example)

    assert reply.status_code == 200
    assert example["inputs"][0]["shape"] == [1, 2, 1]
    assert reply.json()["outputs"][0]["data"] == example["inputs"][0]["data"]


def test_numbers_are_written_as_a_person_would():
    inputs = {"x": np.array([[2.4, 1.0, -0.5]], "f4"), "t": np.array([b"a"], object)}

    example = example_request(inputs)

    assert json.dumps([tensor["data"] for tensor in example["inputs"]]) == '[[2.4, 1, -0.5], ["a"]]'


def written_by(command: str) -> bytes:
    """The body that a command for a shell sends."""
    words = shlex.split(command)
    if words[0] == "curl":
        return words[words.index("-d") + 1].encode()
    assert words[0] == "python3"
    assert command.endswith("-d @-")
    script = [sys.executable, "-c", words[2]]
    return subprocess.run(script, capture_output=True, check=True).stdout


@pytest.mark.parametrize("kind", ["FLOAT", "BOOL", "STRING", "INT8"])
@pytest.mark.parametrize("width", [3, 50_000])
def test_the_command_can_be_pasted_and_sends_a_request_of_the_models_shape(tmp_path, kind, width):
    path = onnx_models.identity(tmp_path / "m.onnx", getattr(TensorProto, kind), ["n", width])
    (source,) = find_models([path])
    model = load(source, cores=1)

    command = curl(model, URL)

    assert len(command) < MAX_PASTE + 200
    assert "\n" not in command
    assert f"curl -s {URL}/v2/models/m/infer -d " in command
    wire.assert_same(decode(written_by(command)).inputs["x"], model.example()["x"])


def test_quotes_in_a_name_survive_the_shell(tmp_path: Path):
    name = 'it\'s "x" $HOME `ls` \\ ü'
    for width in (3, 50_000):
        path = onnx_models.write(
            tmp_path / f"m{width}.onnx",
            [("Identity", [name], ["y"])],
            [(name, TensorProto.FLOAT, ["n", width])],
            [("y", TensorProto.FLOAT, ["n", width])],
        )
        (source,) = find_models([path])
        command = curl(load(source, cores=1), URL)

        assert list(decode(written_by(command)).inputs) == [name]
