"""The client against servers that answer as ours does not, or only under load."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import pytest

from serving.cli.client import Client, ServerFailed
from serving.cli.errors import Mistake
from serving.cli.spec import Spec
from serving.cli.wire import Target

Answer = tuple[int, Mapping[str, str], bytes]
"""Status, headers, body."""

METADATA = {
    "name": "m",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": ["-1", "2"]}],
}
X, Y = Spec("x", "FP32", (-1, 2)), Spec("y", "FP32", (-1, 2))
TARGET = Target("/v2/models/m", [X], [Y])
ROW = {"x": np.array([[1, 2]], np.float32)}


@contextmanager
def answering(answer: Callable[[str], Answer]) -> Iterator[str]:
    """A server's address; `answer` makes its replies from the paths."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, body = answer(self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def ok(document: Any) -> Answer:
    return 200, {}, json.dumps(document).encode()


@contextmanager
def client_of(url: str, timeout_s: float | None = None) -> Iterator[Client]:
    client = Client(url, timeout_s)
    try:
        yield client
    finally:
        client.close()


def refused(status: int, headers: Mapping[str, str], body: bytes) -> Mistake:
    """What is raised where a server answers a request so."""
    with (
        answering(lambda _: (status, headers, body)) as url,
        client_of(url) as client,
        pytest.raises(Mistake) as raised,
    ):
        client.infer(TARGET, ROW)
    return raised.value


def test_a_model_as_the_server_describes_it() -> None:
    paths = []

    def answer(path: str) -> Answer:
        paths.append(path)
        return ok(METADATA)

    with answering(answer) as url, client_of(url + "/base/") as client:
        assert client.target("a b/c", "2") == Target("/v2/models/a%20b%2Fc/versions/2", [X], [Y])
    assert paths == ["/base/v2/models/a%20b%2Fc/versions/2"]


def test_an_example_where_the_server_offers_one() -> None:
    example = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
    with (
        answering(lambda path: ok(example if path == "/v2/models/m/example" else {})) as url,
        client_of(url) as client,
    ):
        assert client.example(TARGET) == example
        assert client.example(TARGET._replace(path="/v2/models/other")) is None


@pytest.mark.parametrize("reply", [(404, {}, b"no"), (200, {}, b"no"), (200, {}, b"[]")])
def test_and_none_where_it_does_not(reply: Answer) -> None:
    with answering(lambda _: reply) as url, client_of(url) as client:
        assert client.example(TARGET) is None


def test_a_reply_in_json_is_as_good() -> None:
    """Not every server of the protocol sends bytes, though asked to."""
    output = {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [3, 4.5]}
    reply = ok({"model_name": "m", "outputs": [output]})
    with answering(lambda _: reply) as url, client_of(url) as client:
        answer = client.infer(TARGET, ROW)

    assert [array.tolist() for _, array in answer.outputs] == [[[3, 4.5]]]
    assert answer.server_timing == ""
    assert 0 < answer.round_trip_s < 30


@pytest.mark.parametrize(
    ("status", "headers", "error", "words", "code"),
    [
        (400, {}, "x: wrong", "the server refused (400): x: wrong.", 2),
        (413, {}, "too large.", "the server refused (413): too large.", 2),
        (
            429,
            {"Retry-After": "3"},
            "8 rows wait",
            "the server refused (429): 8 rows wait. It asks to try again in 3 s.",
            1,
        ),
        (500, {}, "it failed", "the server refused (500): it failed.", 1),
        (503, {}, "stopping", "the server refused (503): stopping.", 1),
        (504, {}, "no time", "the server refused (504): no time.", 1),
    ],
)
def test_a_refusal_is_told_in_the_servers_words(
    status: int, headers: dict[str, str], error: str, words: str, code: int
) -> None:
    told = refused(status, headers, json.dumps({"error": error}).encode())

    assert (told.message, told.exit_code) == (words, code)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"detail": 1}', b'{"error": null}'])
def test_a_refusal_without_words_has_the_statuss_own(body: bytes) -> None:
    assert refused(502, {}, body).message == "the server refused (502): Bad Gateway."


def test_a_refusal_does_not_command_the_terminal() -> None:
    assert "\x1b" not in refused(400, {}, b'{"error": "\\u001b[2J"}').message


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"no JSON"),
        ({}, b"[]"),
        ({}, b'{"outputs": 1}'),
        ({}, b'{"outputs": [{"name": "y"}]}'),
        ({}, b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [1]}]}'),
        ({}, b'{"outputs": [{"name": "y", "datatype": "FP8", "shape": [1], "data": [1]}]}'),
        ({"Inference-Header-Content-Length": "x"}, b'{"outputs": []}'),
        (
            {},
            b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1],'
            b' "parameters": {"binary_data_size": 4}}]}',
        ),
    ],
)
def test_a_reply_that_is_none_is_the_servers_failure(headers: dict[str, str], body: bytes) -> None:
    told = refused(200, headers, body)

    assert isinstance(told, ServerFailed), told.message
    assert told.exit_code == 1


@pytest.mark.parametrize("metadata", [[], {}, {"inputs": [], "outputs": [{}]}, {"inputs": 1}])
def test_and_so_is_metadata_that_is_none(metadata: object) -> None:
    with (
        answering(lambda _: ok(metadata)) as url,
        client_of(url) as client,
        pytest.raises(ServerFailed, match="Open Inference Protocol"),
    ):
        client.target("m", None)


def test_an_unknown_model_where_the_server_has_no_list() -> None:
    """As with Triton."""
    reply = (404, {}, b'{"error": "unknown model"}')
    with (
        answering(lambda _: reply) as url,
        client_of(url) as client,
        pytest.raises(Mistake, match=r"refused \(404\): unknown model"),
    ):
        client.target("m", None)


def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"127.0.0.1:{silent.getsockname()[1]}"
        with client_of(url, timeout_s=-0.9) as client, pytest.raises(ServerFailed) as raised:
            client.target("m", None)  # it waits a grace of one second longer, so 0.1 s

    assert "gave no answer within 0.1 s; --timeout SECONDS waits longer" in raised.value.message


def test_a_server_that_hangs_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        with (
            client_of(f"127.0.0.1:{server.getsockname()[1]}") as client,
            pytest.raises(ServerFailed, match="hung up without an answer"),
        ):
            client.target("m", None)
        thread.join()


def test_a_server_that_speaks_something_else() -> None:
    def greet(server: socket.socket) -> None:
        with server.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(b"220 mail ready\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=greet, args=(server,))
        thread.start()
        with (
            client_of(f"127.0.0.1:{server.getsockname()[1]}") as client,
            pytest.raises(ServerFailed, match="does not speak HTTP"),
        ):
            client.target("m", None)
        thread.join()


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x:port", "http://a b", "http://[x"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(Mistake, match="--url takes http://HOST:PORT"):
        Client(url)


@pytest.mark.parametrize("url", ["http://no.such.host.invalid", "http://x..y"])
def test_an_address_where_nobody_is(url: str) -> None:
    with client_of(url) as client, pytest.raises(Mistake) as raised:
        client.target("m", None)

    assert "Start one with `jitney serve`" in raised.value.message
    assert raised.value.exit_code == 2
