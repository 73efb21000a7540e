"""Triton's own gRPC client against a real server process."""

import asyncio
import queue
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
        ("INVALID_ARGUMENT", "whole number", lambda: client.infer("digits", [image], "one")),
        ("INVALID_ARGUMENT", "whole number", lambda: client.is_model_ready("digits", "-1")),
        ("INVALID_ARGUMENT", "whole number", lambda: client.get_model_config("digits", "1.0")),
        ("PERMISSION_DENIED", "--admin", lambda: client.load_model("digits")),
        ("PERMISSION_DENIED", "--admin", lambda: client.unload_model("digits")),
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
    onnx_models.heavy(tmp_path / "slow" / "1" / "model.onnx", layers=480)
    # One request a run, and one run at a time however many cores there are: each run takes all.
    (tmp_path / "slow" / "model.toml").write_text("batching = false\nthreads = 1024\n")
    with serving(tmp_path, "--grpc-port", free_port(), "--max-queue-rows", "2") as server:
        async with triton_aio.InferenceServerClient(server.grpc) as client:
            row = tensor("x", np.ones((1, 1024), np.float32), module=triton_aio)
            got = await asyncio.gather(
                *(client.infer("slow", [row]) for _ in range(50)), return_exceptions=True
            )

    refused = [error.status() for error in got if isinstance(error, InferenceServerException)]
    assert 0 < len(refused) < len(got)
    assert set(refused) == {"StatusCode.RESOURCE_EXHAUSTED"}


# --- streams


def streamed(server, requests: list[dict], **more) -> list:
    """What a stream answers, in its order: a result or an error for each request."""
    answers: queue.Queue = queue.Queue()
    with triton.InferenceServerClient(server.grpc) as client:
        client.start_stream(lambda result, error: answers.put(error or result), **more)
        for request in requests:
            client.async_stream_infer(**request)
        got = [answers.get(timeout=30) for _ in requests]
        client.stop_stream()
    assert answers.empty()
    return got


def row(value: float, **more) -> dict:
    x = tensor("x", np.full((1, 2), value, np.float32))
    return {"model_name": "same", "inputs": [x], "request_id": str(value), **more}


def test_a_stream_answers_in_the_order_of_its_requests(server):
    slow = tensor("x", np.ones((1, 1024), np.float32))
    requests = [row(number) for number in range(300)]
    # Answered after all that follow it, were each given back as soon as it is there.
    requests[1] = {"model_name": "slow", "inputs": [slow], "request_id": "1"}

    got = streamed(server, requests)

    assert [answer.get_response().id for answer in got] == [str(n) for n in range(300)]
    for number in (0, 2, 299):
        assert (got[number].as_numpy("y") == number).all()


def test_a_wrong_request_ends_no_stream(server):
    got = streamed(server, [row(0), row(1, model_name="none"), row(2, model_version="x"), row(3)])

    assert (got[0].as_numpy("y") == 0).all()
    assert "not found" in got[1].message()
    assert "whole number" in got[2].message()
    assert (got[3].as_numpy("y") == 3).all()


def test_a_stream_says_which_answer_is_a_requests_last(server):
    (got,) = streamed(server, [row(1, enable_empty_final_response=True)])
    assert got.get_response().parameters["triton_final_response"].bool_param


def test_a_stream_may_be_compressed_and_have_a_deadline(server):
    (got,) = streamed(server, [row(1)], stream_timeout=30, compression_algorithm="gzip")
    assert (got.as_numpy("y") == 1).all()


def test_a_stream_may_be_cancelled(server):
    answers: queue.Queue = queue.Queue()
    slow = tensor("x", np.ones((64, 1024), np.float32))
    with triton.InferenceServerClient(server.grpc) as client:
        client.start_stream(lambda result, error: answers.put(error or result))
        for _ in range(20):
            client.async_stream_infer("slow", [slow])
        client.stop_stream(cancel_requests=True)
        assert client.is_server_ready()
    got = [answers.get(timeout=30) for _ in range(answers.qsize())]
    assert any("ancelled" in str(answer) for answer in got)
    # What was under way is given up: the next one waits for none of it.
    assert (streamed(server, [row(1)])[0].as_numpy("y") == 1).all()


async def test_streams_of_the_aio_client(server):
    async def requests():
        for number in range(20):
            x = tensor("x", np.full((1, 2), number, np.float32), module=triton_aio)
            yield {"model_name": "same", "inputs": [x], "request_id": str(number)}

    async with triton_aio.InferenceServerClient(server.grpc) as client:
        got = [each async for each in client.stream_infer(requests())]

    assert [error for _, error in got] == [None] * 20
    assert [result.as_numpy("y")[0, 0] for result, _ in got] == list(range(20))


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
