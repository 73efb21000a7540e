"""The habits of Triton's C++ client, and so of perf_analyzer: requests as it writes them."""

import http.client
import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

X = [1.0, 2.0, 3.0, 4.0]
RAW = struct.pack("<4f", *X)
INFER = "/v2/models/twice/infer"


@contextmanager
def connected(server) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    try:
        yield connection
    finally:
        connection.close()


def asked(server, text: dict[str, Any], blob: bytes = b"", path: str = INFER) -> tuple[Any, bytes]:
    """The reply's JSON, which the client expects in every reply, and what follows it."""
    head = json.dumps(text).encode()
    with connected(server) as connection:
        connection.request(
            "POST",
            path,
            head + blob,
            {
                "Inference-Header-Content-Length": str(len(head)),
                "Content-Type": "application/octet-stream" if blob else "application/json",
                "Accept": "*/*",
            },
        )
        reply = connection.getresponse()
        body = reply.read()
        length = reply.headers.get("Inference-Header-Content-Length")
    told = body if length is None else body[: int(length)]
    return json.loads(told), body[len(told) :]


def x(**more: Any) -> dict[str, Any]:
    return {"name": "x", "datatype": "FP32", "shape": [1, 4], **more}


def test_an_empty_id_is_none_and_the_header_on_all_json_is_harmless(server):
    told, rest = asked(server, {"id": "", "inputs": [x(data=X)]})

    assert "id" not in told
    assert rest == b""
    (y,) = told["outputs"]
    assert y["data"] == [2 * value for value in X]
    # Lesson 25: with `parameters` it would look for `binary_data_size`, and fail.
    assert "parameters" not in y


@pytest.mark.parametrize("binary", [True, False])
def test_every_output_is_named_with_a_flag_of_its_own(server, binary):
    told, rest = asked(
        server,
        {
            "id": "",
            "inputs": [x(parameters={"binary_data_size": len(RAW)})],
            "outputs": [{"name": "y", "parameters": {"binary_data": binary}}],
        },
        RAW,
    )

    (y,) = told["outputs"]
    if binary:
        assert y["parameters"]["binary_data_size"] == len(rest) == len(RAW)
        assert struct.unpack("<4f", rest) == tuple(2 * value for value in X)
    else:
        assert y["data"] == [2 * value for value in X]
        assert "parameters" not in y


def test_what_perf_analyzer_reads_before_it_begins(server):
    """It indexes without a check: each of these must be there."""
    with connected(server) as connection:

        def got(path: str) -> Any:
            connection.request("GET", path)
            reply = connection.getresponse()
            assert reply.status == 200
            return json.loads(reply.read())

        assert isinstance(got("/v2")["extensions"], list)
        metadata = got("/v2/models/twice")
        config = got("/v2/models/twice/config")
        assert isinstance(config["max_batch_size"], int)
        assert {each["name"] for each in config["input"]} <= {i["name"] for i in metadata["inputs"]}
        assert {each["name"] for each in config["output"]} <= {
            o["name"] for o in metadata["outputs"]
        }
        for each, told in zip(config["input"], metadata["inputs"], strict=True):
            assert each["dims"] == told["shape"][1:]
            assert each["is_shape_tensor"] is False
            assert each["optional"] is False
        assert config["model_transaction_policy"]["decoupled"] is False
        assert config["response_cache"]["enable"] is False
        (stats,) = got("/v2/models/twice/stats")["model_stats"]
        assert isinstance(stats["version"], str)
        for key in (
            "success",
            "fail",
            "queue",
            "compute_input",
            "compute_infer",
            "compute_output",
            "cache_hit",
            "cache_miss",
        ):
            duration = stats["inference_stats"][key]
            assert isinstance(duration["count"], int)
            assert isinstance(duration["ns"], int)


@pytest.mark.parametrize(
    ("path", "text", "status"),
    [
        ("/v2/models/none/infer", {"inputs": [x(data=X)]}, 404),
        (INFER, {"inputs": [x(data=X[:3])]}, 400),
        (INFER, {"inputs": []}, 400),
        ("/v2/nothing", {}, 404),
        ("/v2/models/twice", {}, 405),
    ],
)
def test_every_error_is_json(server, path, text, status):
    """Lessons 25 and 26."""
    with connected(server) as connection:
        connection.request("POST", path, json.dumps(text))
        reply = connection.getresponse()
        assert reply.status == status
        assert reply.headers["Content-Type"] == "application/json"
        assert list(json.loads(reply.read())) == ["error"]


def test_a_body_is_sent_when_the_server_says_that_it_may_go_on(server):
    """libcurl asks so before a large body."""
    text = json.dumps({"inputs": [x(parameters={"binary_data_size": len(RAW)})]}).encode()
    host, _, port = urlsplit(server.url).netloc.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(
            b"POST %b HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: 100-continue\r\n"
            b"Inference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n"
            % (INFER.encode(), len(text), len(text) + len(RAW))
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
        connection.sendall(text + RAW)
        reply = b""
        while chunk := connection.recv(4096):
            reply += chunk

    assert reply.startswith(b"HTTP/1.1 200 ")
    assert b"[2.0,4.0,6.0,8.0]" in reply


def test_a_request_in_chunks(server):
    body = json.dumps({"inputs": [x(data=X)]}).encode()
    with connected(server) as connection:
        connection.request("POST", INFER, iter([body[:10], body[10:]]), {}, encode_chunked=True)
        assert json.loads(connection.getresponse().read())["outputs"][0]["data"] == [2, 4, 6, 8]
