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
from tests.support.server import serving

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


# --- numbers that JSON has no form for


@pytest.mark.parametrize("kind", ["FLOAT16", "BFLOAT16"])
@pytest.mark.parametrize("width", [3, 50_000])
def test_halves_are_sent_as_bytes(tmp_path, kind, width):
    path = onnx_models.identity(tmp_path / "m.onnx", getattr(TensorProto, kind), ["n", width])
    (source,) = find_models([path])
    model = load(source, cores=1)
    example = model.example()["x"]

    command = curl(model, URL)

    assert len(command) < MAX_PASTE + 300
    written, sent = command.rsplit(" | ", 1)
    body = subprocess.run(["sh", "-c", written], capture_output=True, check=True).stdout
    words = shlex.split(sent)
    header, _, length = words[words.index("-H") + 1].partition(": ")
    assert (header, words[-2:]) == ("Inference-Header-Content-Length", ["--data-binary", "@-"])
    assert "--output" in words
    wire.assert_same(decode(body, int(length)).inputs["x"], example)


def test_the_commands_of_all_kinds_of_models_run(tmp_path):
    """As they are printed, against a server."""
    for kind in ("FLOAT", "FLOAT16", "BFLOAT16"):
        for width in (2, 2000):
            path = tmp_path / f"{kind}_{width}" / "1" / "model.onnx"
            onnx_models.identity(path, getattr(TensorProto, kind), ["n", width])
    onnx_models.write(
        tmp_path / "mixed" / "1" / "model.onnx",
        [("CastLike", ["x", "h"], ["c"]), ("Add", ["c", "h"], ["y"]), ("Identity", ["x"], ["z"])],
        [("x", TensorProto.FLOAT, ["n", 2]), ("h", TensorProto.FLOAT16, ["n", 2])],
        [("y", TensorProto.FLOAT16, ["n", 2]), ("z", TensorProto.FLOAT, ["n", 2])],
    )
    with serving(tmp_path, "--profile-budget", "0.1") as server:
        commands = [line for line in server.output.splitlines() if " curl -s" in line]
        assert len(commands) == 7
        for command in commands:
            ran = subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout
            assert ran.startswith(b'{"model_name":'), (command, ran)


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
