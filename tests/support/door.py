"""A real uvicorn server in this event loop, with our door in it, and raw connections to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import uvicorn

from serving.app import compose
from serving.door import Door
from serving.engine import Engine
from serving.gate import Inference
from serving.preface import Preface

WAIT_S = 30.0


class Connection:
    """Bytes out, replies in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    async def reply(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """The next reply: status, headers in lower case, body."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), WAIT_S)
        first, *lines = head[:-4].split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines)
        body = await asyncio.wait_for(
            self.reader.readexactly(int(headers.get(b"content-length", b"0"))), WAIT_S
        )
        return int(first.split()[1]), headers, body

    async def ended(self) -> bool:
        """Whether the server closes the connection."""
        return await asyncio.wait_for(self.reader.read(1), WAIT_S) == b""

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


class Listening:
    """The server, and how to reach it."""

    def __init__(self, server: uvicorn.Server, port: int) -> None:
        self.server, self.port = server, port
        self.connections: list[Connection] = []

    async def connect(self) -> Connection:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.port))
        self.connections.append(connection)
        return connection


@asynccontextmanager
async def listening(
    engine: Engine, *, access_log: bool = False, **options: object
) -> AsyncIterator[Listening]:
    """Serve the engine's deployments, which somebody else starts and stops."""
    inference = Inference(engine)
    config = uvicorn.Config(
        compose(engine, inference),
        host="127.0.0.1",
        port=0,
        http=partial(Door, inference, Preface()),  # type: ignore[arg-type]
        lifespan="off",
        log_config=None,
        access_log=access_log,
        timeout_graceful_shutdown=20,
        **options,  # type: ignore[arg-type]
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        served = Listening(server, server.servers[0].sockets[0].getsockname()[1])
        yield served
    finally:
        for connection in served.connections:
            await connection.close()
        server.should_exit = True
        await task


def post(body: bytes, *headers: bytes, path: str = "/v2/models/held/infer") -> bytes:
    """A request as it goes over the wire."""
    lines = [
        f"POST {path} HTTP/1.1".encode(),
        b"host: here",
        b"content-length: %d" % len(body),
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
