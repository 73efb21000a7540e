"""Triton's own gRPC client against a real server process."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from onnx import TensorProto
from sklearn.datasets import load_digits
from tritonclient.utils import InferenceServerException

from tests.support import onnx_models
from tests.support.server import Server, free_port, serving

IMAGES = load_digits().data.astype(np.float32)
LABELS = load_digits().target


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("models")
    zoo = [onnx_models.identity(folder / "same.onnx", TensorProto.FLOAT, ["n", "m"])]
    # Tens of milliseconds a run, so that others wait.
    zoo.append(onnx_models.heavy(folder / "slow.onnx"))
    with serving("models/zoo", *zoo, "--grpc-port", free_port()) as server:
        yield server


@pytest.fixture
def client(server) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.grpc) as client:
        yield client


def tensor(name: str, array: np.ndarray, datatype: str = "FP32", module=triton):
    made = module.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def failure(call, *args, **more) -> tuple[str, str]:
    with pytest.raises(InferenceServerException) as caught:
        call(*args, **more)
    return caught.value.status(), caught.value.message()


def test_it_is_there(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", "1")
    assert client.get_server_metadata().name == "jitney"
    metadata = client.get_model_metadata("digits", as_json=True)
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": ["-1", "64"]}]


def test_digits(client):
    answer = client.infer("digits", [tensor("image", IMAGES[:50])], request_id="42")

    assert answer.get_response().id == "42"
    assert answer.get_response().model_version == "1"
    assert (answer.as_numpy("digit") == LABELS[:50]).mean() > 0.9
    assert answer.as_numpy("probabilities").shape == (50, 10)


def test_iris_answers_with_texts_and_only_with_what_was_asked_for(client):
    answer = client.infer(
        "iris",
        [
            tensor("sepal_cm", np.array([[5.1, 3.5]], np.float32)),
            tensor("petal_cm", np.array([[1.4, 0.2]], np.float32)),
        ],
        outputs=[triton.InferRequestedOutput("species")],
    )

    assert answer.as_numpy("species").tolist() == [b"setosa"]
    assert answer.as_numpy("probabilities") is None


def test_what_is_wrong_has_the_code_for_it(client):
    image = tensor("image", IMAGES[:1])
    for code, says, call in [
        ("NOT_FOUND", "is not found", lambda: client.infer("none", [image])),
        ("NOT_FOUND", "is not found", lambda: client.infer("digits", [image], "7")),
        ("NOT_FOUND", "is not found", lambda: client.is_model_ready("none")),
        (
            "INVALID_ARGUMENT",
            "expected shape [-1, 64], got [1, 3]",
            lambda: client.infer("digits", [tensor("image", IMAGES[:1, :3])]),
        ),
        (
            "INVALID_ARGUMENT",
            "expected float32, got int64",
            lambda: client.infer("digits", [tensor("image", np.ones((1, 64), int), "INT64")]),
        ),
        (
            "INVALID_ARGUMENT",
            "unexpected output",
            lambda: client.infer(
                "digits", [image], outputs=[triton.InferRequestedOutput("nothing")]
            ),
        ),
        ("UNIMPLEMENTED", "", lambda: client.get_inference_statistics()),
        ("UNIMPLEMENTED", "", lambda: client.get_model_repository_index()),
    ]:
        status, message = failure(call)
        assert status == f"StatusCode.{code}"
        assert says in message


def test_priority_and_timeout_are_parameters(client):
    image = tensor("image", IMAGES[:1])
    # A minute, in microseconds.
    assert client.infer("digits", [image], priority=1, timeout=60_000_000).as_numpy("digit") == 0
    status, message = failure(client.infer, "digits", [image], timeout=1)
    assert status == "StatusCode.RESOURCE_EXHAUSTED"
    assert "are allowed" in message


def test_a_client_whose_time_runs_out(client):
    status, _ = failure(
        client.infer, "slow", [tensor("x", np.ones((64, 1024), np.float32))], client_timeout=0.002
    )
    # Whoever sees it first: the client, or the server, which refuses what would be late.
    assert status in ("StatusCode.DEADLINE_EXCEEDED", "StatusCode.RESOURCE_EXHAUSTED")


def test_a_call_may_be_cancelled(client):
    ended = threading.Event()
    errors = []

    def callback(result, error):
        errors.append(error)
        ended.set()

    slow = tensor("x", np.ones((256, 1024), np.float32))
    call = client.async_infer("slow", [slow], callback)
    call.cancel()

    assert ended.wait(30)
    assert "cancelled" in str(errors[0]).lower()
    assert client.is_server_ready()


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_a_request_may_be_compressed(client, algorithm):
    answer = client.infer("digits", [tensor("image", IMAGES[:50])], compression_algorithm=algorithm)
    assert answer.as_numpy("digit").shape == (50,)


def test_a_message_far_beyond_grpcs_own_limit(client):
    rows = np.arange(5_000_000, dtype=np.float32).reshape(5, -1)
    assert rows.nbytes > 4 * 2**20

    answer = client.infer("same", [tensor("x", rows)])

    np.testing.assert_array_equal(answer.as_numpy("y"), rows)


async def test_many_at_one_time_each_get_their_own(server):
    async with triton_aio.InferenceServerClient(server.grpc) as client:
        assert await client.is_server_ready()
        values = np.arange(200, dtype=np.float32).reshape(-1, 1, 1)
        answers = await asyncio.gather(
            *(client.infer("same", [tensor("x", value, module=triton_aio)]) for value in values)
        )

    assert [answer.as_numpy("y").tolist() for answer in answers] == values.tolist()


async def test_beyond_what_may_wait_callers_are_told_to_come_back(tmp_path):
    """Lesson 16."""
    path = onnx_models.heavy(tmp_path / "slow.onnx")
    with serving(path, "--grpc-port", free_port(), "--max-queue-rows", "2") as server:
        async with triton_aio.InferenceServerClient(server.grpc) as client:
            row = tensor("x", np.ones((1, 1024), np.float32), module=triton_aio)
            got = await asyncio.gather(
                *(client.infer("slow", [row]) for _ in range(50)), return_exceptions=True
            )

    refused = [error.status() for error in got if isinstance(error, InferenceServerException)]
    assert 0 < len(refused) < len(got)
    assert set(refused) == {"StatusCode.RESOURCE_EXHAUSTED"}


# --- starting


def test_a_port_in_use_is_told_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, told = started("--port", "0", "--grpc-port", str(port))

    assert code == 2
    assert told == [
        f"jitney: port {port} of 127.0.0.1 is in use; "
        f"stop what listens there or choose another: --grpc-port {port + 1}"
    ]


def test_without_its_packages_it_says_how_to_get_them():
    code, told = started("--port", "0", "--grpc-port", "1", prelude="sys.modules['grpc'] = None; ")

    assert code == 2
    (line,) = told
    assert "pip install 'jitney[grpc]'" in line


def test_who_does_not_ask_for_it_does_not_import_it():
    check = (
        "import sys, serving.server; from serving.app import create_app; create_app(); "
        "assert 'grpc' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def started(*arguments: str, prelude: str = "") -> tuple[int, list[str]]:
    """The exit code of a start that cannot work, and the lines that it prints."""
    program = f"import sys; {prelude}from serving.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ended.returncode, ended.stderr.splitlines()
