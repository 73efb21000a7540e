"""An HTTP server that does as a script says, on a thread of its own, and writes down when.

A script is a coroutine that gets what it needs to answer one request, or not to.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field


@dataclass
class Asked:
    """One request, and the connection that it came on."""

    number: int
    """As its body says."""
    nth: int
    """How many came before it, on any connection."""
    writer: asyncio.StreamWriter
    server: "ScriptedServer"

    async def say(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        """Write the pieces, each in a packet of its own as far as that can be asked for."""
        for place, piece in enumerate(pieces):
            if place:
                await asyncio.sleep(pause_s)
            if place == len(pieces) - 1:
                self.server.answered_at[self.number] = time.perf_counter()
            self.writer.write(piece)
            await self.writer.drain()

    def hang_up(self) -> None:
        self.writer.close()


Script = Callable[[Asked], Awaitable[None]]


@dataclass
class ScriptedServer:
    """A running one. Instants are those of time.perf_counter(), by a request's number."""

    port: int = 0
    arrived_at: dict[int, float] = field(default_factory=dict)
    answered_at: dict[int, float] = field(default_factory=dict)
    connections: int = 0


def reply(status: int = 200, body: bytes = b"{}", *headers: bytes) -> bytes:
    """A reply with a length."""
    lines = (b"HTTP/1.1 %d Said so" % status, b"Content-Length: %d" % len(body), *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def request(number: int, padding: int = 0) -> bytes:
    """A request that the server knows by its number."""
    body = b"%d" % number + b" " * padding
    return b"POST /infer HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def at_once(asked: Asked) -> None:
    """The simplest script."""
    await asked.say(reply())


@contextlib.contextmanager
def scripted(script: Script = at_once) -> Iterator[ScriptedServer]:
    """Serve by the script while the block runs."""
    server = ScriptedServer()
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()
    writers: list[asyncio.StreamWriter] = []
    handlers: set[asyncio.Task[None] | None] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        handlers.add(asyncio.current_task())
        writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length:")[2].split()[0])
                number = int(await reader.readexactly(size))
                nth = len(server.arrived_at)
                server.arrived_at[number] = time.perf_counter()
                await script(Asked(number, nth, writer, server))
        writer.close()

    async def serve() -> None:
        listener = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=1000)
        server.port = listener.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        # A connection that is being accepted when the listener closes is never closed.
        while asyncio.all_tasks() - {asyncio.current_task()} - handlers:  # noqa: ASYNC110
            await asyncio.sleep(0)
        listener.close()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others & handlers:
                task.cancel()
            await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
        for writer in writers:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
