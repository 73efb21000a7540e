"""Start and stop as balancers, callers and whoever presses Ctrl-C see them: real processes."""

import asyncio
import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import onnx_models
from tests.support.server import Server, free_port, serving

SLOW_PIPELINE = """
import time
def before(inputs):
    if inputs["x"][0, 0] >= 1:
        open(__file__ + ".begun", "w").close()
    time.sleep(float(inputs["x"][0, 0]))
    return inputs
"""
"""A request takes as many seconds as its first number says; a file tells that a long one began."""


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    onnx_models.doubler(tmp_path / "m" / "1" / "model.onnx")
    (tmp_path / "m" / "pipeline.py").write_text(SLOW_PIPELINE)
    (tmp_path / "m" / "model.toml").write_text("example.x = [0, 0, 0, 0]")
    return tmp_path


def ask(server: Server, seconds: float) -> httpx.Response:
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [seconds, 0, 0, 0]}
    return server.post("/v2/models/m/infer", json={"inputs": [tensor]})


async def begun(slow: Path) -> None:
    """Wait until a request of a second or more is in the server."""
    async with asyncio.timeout(30):
        while not (slow / "m" / "pipeline.py.begun").exists():  # noqa: ASYNC110 - by a process
            await asyncio.sleep(0.01)


@pytest.fixture
def kept() -> Iterator[list[http.client.HTTPConnection]]:
    """Connections that are closed after the test."""
    connections: list[http.client.HTTPConnection] = []
    yield connections
    for connection in connections:
        connection.close()


def test_balancers_hear_of_the_end_before_it_comes(
    kept: list[http.client.HTTPConnection], slow: Path
) -> None:
    """Lesson 20: not ready at once; live, and serving everybody, until the lame duck is gone."""
    with serving(slow, "--lame-duck", "8") as server:
        port = int(server.url.rpartition(":")[2])
        old = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        kept.append(old)
        old.request("GET", "/v2/health/live")
        first = old.getresponse()
        first.read()
        assert first.getheader("connection") is None
        server.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        while (ready := server.get("/v2/health/ready")).status_code == 200:
            assert time.monotonic() - began < 7
        assert ready.status_code == 503
        assert ready.json() == {"ready": False, "error": "the server is stopping"}
        model = server.get("/v2/models/m/ready")
        assert model.status_code == 503
        assert model.json()["error"] == "the server is stopping"
        assert server.get("/v2/health/live").status_code == 200
        answer = ask(server, 0.1)  # on a new connection
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close"
        old.request("GET", "/v2/health/live")
        last = old.getresponse()
        last.read()
        assert (last.status, last.getheader("connection")) == (200, "close")
        assert server.process.wait(timeout=30) == 0
        assert time.monotonic() - began >= 8


async def test_http_and_grpc_share_one_deadline(slow: Path) -> None:
    arguments = ["--grpc-port", str(free_port()), "--drain", "5"]
    with serving(slow, *arguments) as server:
        asking = asyncio.create_task(asyncio.to_thread(ask, server, 60))
        await begun(slow)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(server.process.wait, 30)
        # Two deadlines, one after the other, would be 5 s more.
        assert time.monotonic() - began < 5 + 2 + 3
        # Somebody was not answered: whoever runs it should know.
        assert code == 1
        assert isinstance(
            (await asyncio.gather(asking, return_exceptions=True))[0], httpx.HTTPError
        )


async def test_what_was_accepted_is_answered_however_idle_others_are(
    kept: list[http.client.HTTPConnection], slow: Path
) -> None:
    with serving(slow, "--drain", "20") as server:
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)):  # never says a word
            asking = asyncio.create_task(asyncio.to_thread(ask, server, 2))
            await begun(slow)
            server.process.send_signal(signal.SIGINT)
            began = time.monotonic()
            reply = await asking
            assert reply.status_code == 200
            assert reply.headers["connection"] == "close"
            assert await asyncio.to_thread(server.process.wait, 30) == 0
            assert time.monotonic() - began < 10


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_second_signal_ends_it_at_once(slow: Path, number: signal.Signals) -> None:
    with serving(slow) as server:
        asking = asyncio.create_task(asyncio.to_thread(ask, server, 20))
        await begun(slow)
        server.process.send_signal(number)
        async with asyncio.timeout(10):
            while server.process.poll() is None:
                server.process.send_signal(number)
                await asyncio.sleep(0.05)
        assert server.process.returncode == -number
        await asyncio.gather(asking, return_exceptions=True)


def test_a_signal_while_it_loads_ends_it_soon_and_well(slow: Path) -> None:
    code = slow / "m" / "pipeline.py"
    code.write_text("import time\ntime.sleep(20)\n" + SLOW_PIPELINE)
    command = [sys.executable, "-m", "serving.cli", "serve", "--port", "0", str(slow)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "listens on" in line
        url = line.split("listens on ")[1].split()[0]
        deadline = time.monotonic() + 15
        while True:
            try:
                assert httpx.get(f"{url}/v2/health/live").status_code == 200
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline
        assert httpx.get(f"{url}/v2/health/ready").status_code == 503
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15) == 0
        assert time.monotonic() - began < 8
