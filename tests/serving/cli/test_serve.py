"""`jitney serve` as a person meets it: a real process."""

import re
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto

from tests.support import onnx_models
from tests.support.server import serving


def mistake(*arguments) -> str:
    """What a start that cannot work prints; it ends with code 2, one line and no traceback."""
    ended = subprocess.run(
        [sys.executable, "-m", "serving.cli", "serve", "--port", "0", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    told = [line for line in ended.stderr.splitlines() if not line.startswith("Jitney ")]
    assert ended.returncode == 2, ended.stderr
    assert len(told) == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    return told[0]


def test_it_tells_where_what_how_soon_and_a_command_that_works():
    with serving() as server:
        assert f"listens on {server.url} " in server.output
        assert re.search(r"Ready in \d+\.\d s: 2 models", server.output)
        commands = re.findall(r"^  (curl .*)$", server.output, re.MULTILINE)
        assert len(commands) == 2
        for command in commands:
            answer = subprocess.run(
                command, shell=True, capture_output=True, text=True, timeout=60, check=True
            )
            assert '"outputs":[{' in answer.stdout


def test_the_command_for_a_model_with_many_inputs_works_too(tmp_path):
    path = onnx_models.doubler(tmp_path / "wide.onnx", width=50_000)
    with serving(path) as server:
        (command,) = re.findall(r"^  (python3 .*)$", server.output, re.MULTILINE)
        assert len(command) < 1000
        answer = subprocess.run(
            command, shell=True, capture_output=True, text=True, timeout=60, check=True
        )
        assert '"shape":[1,50000]' in answer.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(number):
    with serving() as server:
        server.process.send_signal(number)
        assert server.process.wait(timeout=30) == 0
    assert "Traceback" not in server.output


def test_a_path_that_does_not_exist(tmp_path):
    assert "does not exist" in mistake(tmp_path / "none.onnx")


def test_a_file_that_is_not_onnx(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_text("this is not a model")

    told = mistake(path)

    assert str(path) in told
    assert "complete ONNX file" in told


def test_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = mistake("--port", str(port))

    assert f"port {port} of 127.0.0.1 is in use" in told
    assert "--port" in told


def test_an_address_that_is_not_ours():
    assert "cannot listen on" in mistake("--host", "192.0.2.1")


def test_an_unknown_key_in_model_toml(tmp_path):
    """Lesson 24."""
    onnx_models.doubler(tmp_path / "m" / "1" / "model.onnx")
    (tmp_path / "m" / "model.toml").write_text("max_batch_row = 4\n")

    told = mistake(tmp_path)

    assert "unknown key 'max_batch_row'" in told
    assert "did you mean 'max_batch_rows'?" in told


@pytest.mark.parametrize("flag", ["--slo-ms=-1", "--max-queue-rows=0", "--port=70000"])
def test_a_setting_out_of_its_range(flag):
    assert flag.split("=")[0].strip("-").replace("-", "_") in mistake(flag)


def test_settings_come_from_the_environment(tmp_path):
    path = onnx_models.identity(tmp_path / "same.onnx", TensorProto.INT8, ["n", 2])
    environment = {"JITNEY_MODELS": str(path), "JITNEY_MAX_BODY_MIB": "0.001"}
    with serving(**environment) as server:
        assert server.get("/v2/models").json() == {"models": ["same"]}
        answer = server.post("/v2/models/same/infer", content=b"x" * 2000)
        assert answer.status_code == 413


def test_an_oversize_request_is_split_and_joined(tmp_path):
    """Lesson 8."""
    with serving(onnx_models.doubler(tmp_path / "twice.onnx")) as server:
        rows = np.arange(4000, dtype=np.float32).reshape(1000, 4)
        tensor = {"name": "x", "shape": [1000, 4], "datatype": "FP32", "data": rows.tolist()}
        reply = server.post("/v2/models/twice/infer", json={"inputs": [tensor]}).json()

    assert reply["outputs"][0]["shape"] == [1000, 4]
    assert reply["outputs"][0]["data"] == (2 * rows).ravel().tolist()
