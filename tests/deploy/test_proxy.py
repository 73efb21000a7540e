"""The proxy's configuration as it is deployed, run for real in front of real servers.

One of two is killed, or stopped, or broken under load, and no caller notices.
"""

import asyncio
import json
import re
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.support import onnx_models
from tests.support.door import post
from tests.support.haproxy import CONFIG, Proxy, environment, haproxy, tool
from tests.support.server import Server, free_port, serving

CALLERS = 32
ROUNDS = 3
BODY = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
).encode()
REQUEST = post(BODY, path="/v2/models/m/infer")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_models.doubler(tmp_path_factory.mktemp("proxy") / "m.onnx")


class Replicas:
    """Two servers on ports that they keep, and one proxy."""

    def __init__(self, model: Path, *arguments: str) -> None:
        self._model, self._arguments = model, arguments
        self._ports = [free_port(), free_port()]
        self._stacks = [ExitStack(), ExitStack()]
        self.servers: list[Server] = [self._start(0), self._start(1)]
        self._proxying = ExitStack()
        addresses = [f"127.0.0.1:{port}" for port in self._ports]
        self.proxy: Proxy = self._proxying.enter_context(haproxy(*addresses))

    def _start(self, index: int) -> Server:
        port = str(self._ports[index])
        running = serving(self._model, "--port", port, *self._arguments)
        return self._stacks[index].enter_context(running)

    def replace(self, index: int) -> None:
        """Start another one in the place of one that has ended."""
        self._stacks[index].close()
        self._stacks[index] = ExitStack()
        self.servers[index] = self._start(index)

    def close(self) -> None:
        for stack in (self._proxying, *self._stacks):
            stack.close()


@asynccontextmanager
async def replicas(model: Path, *arguments: str) -> AsyncIterator[Replicas]:
    both = await asyncio.to_thread(Replicas, model, *arguments)
    try:
        yield both
    finally:
        await asyncio.to_thread(both.close)


class Load:
    """Callers on connections that are kept, each with the next request when one is answered."""

    def __init__(self, proxy: Proxy) -> None:
        self._port = int(proxy.url.rpartition(":")[2])
        self.counted: Counter[str] = Counter()
        self._enough = asyncio.Event()

    async def __aenter__(self) -> "Load":
        self._calling = [asyncio.create_task(self._call()) for _ in range(CALLERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._enough.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*self._calling)

    async def more(self, count: int) -> None:
        """Return when so many more are answered."""
        wanted = self.counted.total() + count
        async with asyncio.timeout(60):
            while self.counted.total() < wanted:  # noqa: ASYNC110 - counted by others
                await asyncio.sleep(0.01)

    async def _call(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while not self._enough.is_set():
            writer.write(REQUEST)
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await reader.readexactly(size)
            except (OSError, asyncio.IncompleteReadError):
                self.counted["broken"] += 1
                break
            status = head.split()[1].decode()
            if status == "200":
                assert json.loads(body)["outputs"][0]["data"] == [2, 4, 6, 8]
            self.counted[status] += 1
            if b"connection: close" in head.lower():
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.close()


async def up(proxy: Proxy, count: int) -> None:
    async with asyncio.timeout(30):
        while await asyncio.to_thread(proxy.up) != count:  # noqa: ASYNC110 - the proxy's own
            await asyncio.sleep(0.05)


def test_the_configuration_has_no_fault() -> None:
    names = environment(8000, 8405, ["127.0.0.1:1", "127.0.0.1:2"])
    checked = subprocess.run(
        [tool(), "-c", "-f", CONFIG], env=names, capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


async def test_a_replica_that_is_killed_takes_no_request_with_it(model: Path) -> None:
    """SIGKILL: what was under way there is asked of the other one."""
    async with replicas(model) as both, Load(both.proxy) as load:
        for round_ in range(ROUNDS):
            await load.more(50 * CALLERS)
            both.servers[round_ % 2].process.kill()
            await load.more(50 * CALLERS)
            await up(both.proxy, 1)
            await asyncio.to_thread(both.replace, round_ % 2)
            await up(both.proxy, 2)
        retried = await asyncio.to_thread(
            both.proxy.metric, "haproxy_backend_redispatch_warnings_total", proxy="jitney"
        )
    assert set(load.counted) == {"200"}, load.counted
    assert retried > 0  # some were under way each time


async def test_a_replica_that_is_stopped_is_left_before_it_stops(model: Path) -> None:
    """SIGTERM, lesson 20: the proxy has noticed before the server accepts no more."""
    async with replicas(model, "--lame-duck", "6") as both, Load(both.proxy) as load:
        for round_ in range(ROUNDS):
            await load.more(50 * CALLERS)
            stopped = both.servers[round_ % 2].process
            stopped.send_signal(signal.SIGTERM)
            await up(both.proxy, 1)
            assert stopped.poll() is None  # it still serves, and is not asked any more
            assert await asyncio.to_thread(stopped.wait, 60) == 0
            await load.more(50 * CALLERS)
            await asyncio.to_thread(both.replace, round_ % 2)
            await up(both.proxy, 2)
    assert set(load.counted) == {"200"}, load.counted


@asynccontextmanager
async def pretender(status: bytes, asked: Counter[str]) -> AsyncIterator[str]:
    """A server that says it is well and answers all else like this; b"" is no answer at all."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split()[1].decode()
            asked[path] += 1
            size = re.search(rb"content-length: (\d+)", head.lower())
            await reader.readexactly(int(size[1]) if size else 0)
            said = b"200" if path == "/v2/health/ready" else status
            if not said:
                break
            writer.write(b"HTTP/1.1 " + said + b" So\r\ncontent-length: 0\r\n\r\n")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await answer(reader, writer)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def test_no_caller_sees_that_a_replica_is_not_available(model: Path) -> None:
    """A 503 is asked again elsewhere, though the replica says that it is well."""
    asked = Counter[str]()
    async with pretender(b"503", asked) as address:
        with ExitStack() as held:
            good = await asyncio.to_thread(held.enter_context, serving(model))
            running = haproxy(good.url.removeprefix("http://"), address)
            proxy = await asyncio.to_thread(held.enter_context, running)
            async with Load(proxy) as load:
                await load.more(50 * CALLERS)
            await asyncio.to_thread(held.close)
    assert asked["/v2/models/m/infer"] > 0
    assert set(load.counted) == {"200"}, load.counted


async def test_a_replica_that_fails_again_and_again_is_put_out(model: Path) -> None:
    """It says that it is well, and every request fails there."""
    async with pretender(b"500", Counter()) as address:
        with ExitStack() as held:
            good = await asyncio.to_thread(held.enter_context, serving(model))
            running = haproxy(good.url.removeprefix("http://"), address)
            proxy = await asyncio.to_thread(held.enter_context, running)
            async with Load(proxy) as load:
                await load.more(20)
                await up(proxy, 1)
                failed = load.counted["500"]
                await load.more(20 * CALLERS)
            await asyncio.to_thread(held.close)
    # Ten, and those that were under way beside them: not half of all.
    assert failed <= 10 + 2 * CALLERS
    assert set(load.counted) == {"200", "500"}, load.counted


async def test_loading_a_model_is_never_asked_for_twice() -> None:
    """It changes something, so a proxy must not do it again by itself."""
    asked = Counter[str]()
    async with pretender(b"", asked) as address:
        with ExitStack() as held:
            proxy = await asyncio.to_thread(held.enter_context, haproxy(address, address))
            load, infer = "/v2/repository/models/m/load", "/v2/models/m/infer"
            for path in (load, infer):
                async with httpx.AsyncClient(base_url=proxy.url, timeout=30) as client:
                    assert (await client.post(path)).status_code in (502, 503)
            await asyncio.to_thread(held.close)
    assert asked[load] == 1
    assert asked[infer] > 1
