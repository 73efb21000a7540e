"""A server that does to a client's requests what a script says; and both clients, called alike."""

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from serving.client import Answer, AsyncClient, Client, ModelMetadata
from serving.protocol import InferRequest, encode

METADATA = {
    "name": "m",
    "versions": ["1"],
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
}
WAIT_S = 30.0
"""Only what hangs takes so long."""


@dataclass
class Asked:
    """One request to infer."""

    head: bytes
    nth: int
    """How many came before it, on any connection."""
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: "Scripted"

    @property
    def length(self) -> int:
        return _length(self.head)

    async def body(self) -> bytes:
        return await self.reader.readexactly(self.length)

    async def say(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(pause_s)

    async def answer(self) -> None:
        """As a server does whose model doubles."""
        body = await self.body()
        (length,) = (
            int(line.split(b":")[1])
            for line in self.head.lower().splitlines()
            if line.startswith(b"inference-header")
        )
        request = orjson.loads(body[:length])
        await self.say(doubled(np.frombuffer(body[length:], "f4"), request.get("id", "")))

    async def until_it_leaves(self) -> None:
        """Wait until the caller has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while await asyncio.wait_for(self.reader.read(65536), WAIT_S):
                pass
        self.server.left.release()


Script = Callable[[Asked], Awaitable[None]]


@dataclass
class Scripted:
    """A running one."""

    url: str = ""
    heads: list[bytes] = field(default_factory=list)
    """Of the requests to infer."""
    arrived: list[float] = field(default_factory=list)
    """When; of time.monotonic()."""
    connections: int = 0
    described: int = 0
    """How often it was asked for metadata."""
    left: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released for each caller that was waited for until it left."""

    def saw_it_leave(self) -> bool:
        return self.left.acquire(timeout=WAIT_S)


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"\r\ncontent-length:")[2].split()[0])


def reply(body: bytes, *headers: bytes, status: int = 200) -> bytes:
    lines = (b"HTTP/1.1 %d So" % status, b"Content-Length: %d" % len(body), *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def doubled(x: Any, id_: str = "", *headers: bytes) -> bytes:
    encoded = encode("m", "1", InferRequest({}, id=id_, binary_outputs=True), {"y": x * 2})
    length = b"Inference-Header-Content-Length: %d" % (encoded.json_length or len(encoded.body))
    return reply(encoded.body, length, *headers)


def refusal(status: int, *headers: bytes) -> bytes:
    return reply(b'{"error": "no"}', *headers, status=status)


async def answering(asked: Asked) -> None:
    await asked.answer()


@contextlib.contextmanager
def scripted(script: Script = answering, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """Serve while the block runs: metadata as it should be, inference by the script."""
    server = Scripted()
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    tasks: set[asyncio.Task[None] | None] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        tasks.add(asyncio.current_task())
        try:
            await converse(reader, writer)
        finally:
            writer.transport.abort() if stop.is_set() else writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    await reader.readexactly(_length(head))
                    server.described += 1
                    writer.write(reply(orjson.dumps(METADATA)))
                    continue
                server.arrived.append(time.monotonic())
                server.heads.append(head)
                await script(Asked(head, len(server.heads) - 1, reader, writer, server))

    async def serve() -> None:
        listener = await asyncio.start_server(connection, "127.0.0.1", 0, ssl=tls)
        port = listener.sockets[0].getsockname()[1]
        server.url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
        ready.set()
        await stop.wait()
        # A connection that is being accepted when the listener closes is never closed.
        while asyncio.all_tasks() - {asyncio.current_task()} - tasks:  # noqa: ASYNC110
            await asyncio.sleep(0)
        listener.close()
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(WAIT_S)
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


class Awaited:
    """AsyncClient, called as Client is."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self.client = AsyncClient(*arguments, **options)

    def __enter__(self) -> "Awaited":
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self.client.aclose())
        self._runner.close()

    def close(self) -> None:
        self._runner.run(self.client.aclose())

    def infer(self, *arguments: Any, **options: Any) -> Answer:
        return self._runner.run(self.client.infer(*arguments, **options))

    def metadata(self, *arguments: Any, **options: Any) -> ModelMetadata:
        return self._runner.run(self.client.metadata(*arguments, **options))

    def ready(self, *arguments: Any) -> bool:
        return self._runner.run(self.client.ready(*arguments))

    def wait_ready(self, *arguments: Any) -> None:
        self._runner.run(self.client.wait_ready(*arguments))

    def models(self) -> Any:
        return self._runner.run(self.client.models())

    def map(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        stream = self.client.stream(*arguments, **options)
        try:
            while True:
                try:
                    yield self._runner.run(_next(stream))
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(stream.aclose())


async def _next(stream: Any) -> Any:
    return await anext(stream)


BOTH: list[Any] = [Client, Awaited]
