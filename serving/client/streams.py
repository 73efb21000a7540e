"""Kept connections of a client that awaits. They belong to one event loop."""

import asyncio
from collections.abc import Callable
from typing import cast

from .core import Core
from .effects import Ask, NoReply
from .http import BadReply, Reply, ReplyParser


class Connection(asyncio.Protocol):
    """One connection, with at most one request under way."""

    __slots__ = ("_asked", "_ends", "_parser", "_transport", "ended", "reused")

    def __init__(self, ends: "Callable[[Connection], None]") -> None:
        """ends: called when the connection is lost, or can no longer be used."""
        self._ends = ends
        self._transport: asyncio.Transport | None = None
        self._parser = ReplyParser()
        self._asked: asyncio.Future[Reply | NoReply] | None = None
        self.reused = False
        self.ended = asyncio.Event()

    def ask(self, data: bytes) -> "asyncio.Future[Reply | NoReply]":
        """Send a request. If the future is cancelled, the connection must be aborted."""
        asked = self._asked = asyncio.get_running_loop().create_future()
        if self._transport is None:  # lost in the meantime
            asked.set_result(NoReply("the server hung up", reused=self.reused))
            return asked
        self._parser = ReplyParser()
        self._transport.write(data)
        return asked

    def usable(self) -> bool:
        """Whether another request may follow the one that was answered."""
        # What of a refused request was not sent is not worth sending.
        return self._transport is not None and not self._transport.get_write_buffer_size()

    def abort(self) -> None:
        """Close it at once: whatever was asked, the server learns that nobody waits for it."""
        if self._transport is not None:
            self._transport.abort()

    # --- what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        if self._asked is None:  # nobody asked for it
            self.abort()
            return
        try:
            reply = self._parser.feed(data)
        except BadReply as error:
            self._done(NoReply(f"that is no HTTP: {error}", began=True))
            self.abort()
        else:
            if reply is not None:
                self._done(reply)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        result: Reply | NoReply | None = self._parser.end() if self._asked else None
        if result is None:
            why = getattr(error, "strerror", None) or str(error or "the server hung up")
            result = NoReply(why, began=self._parser.began, reused=self.reused)
        self._done(result)
        self._ends(self)
        self.ended.set()

    def _done(self, result: Reply | NoReply) -> None:
        asked, self._asked = self._asked, None
        if asked is not None and not asked.done():
            asked.set_result(result)


class Streams:
    """Connections to one server: the one used last is the first to be used again."""

    def __init__(self, core: Core) -> None:
        self._address = core.address
        self._head = core.head
        self._clock = core.clock
        self._tls = core.tls
        self._most = core.options.max_connections
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._room = asyncio.Semaphore(self._most)

    async def close(self) -> None:
        """Close all of them; calls under way fail."""
        self._closed = True
        if self._loop is not _running():
            return  # they went with their loop
        ends = list(self._open)
        for connection in ends:
            connection.abort()
        for connection in ends:
            await connection.ended.wait()

    async def ask(self, ask: Ask) -> Reply | NoReply:
        """Send, and wait for the reply. Cancelled, it closes the connection."""
        if self._closed:
            raise RuntimeError("this client is closed")
        if self._loop is not _running():
            self._begin()
        connection: Connection | None = None
        try:
            async with asyncio.timeout(ask.until - self._clock()), self._room:
                connection = self._kept() or await self._connected()
                result = await connection.ask(ask.wire(self._head, self._clock()))
        except OSError as error:  # nobody is there, or it is not who it says; or time is over
            late = isinstance(error, TimeoutError) and error.errno is None
            result = NoReply(error.strerror or str(error), late=late)
        except asyncio.CancelledError:
            if connection is not None:
                connection.abort()
            raise
        if connection is not None:
            if isinstance(result, Reply) and result.keep_alive and connection.usable():
                connection.reused = True
                self._idle.append(connection)
            else:
                connection.abort()
        return result

    def _begin(self) -> None:
        """This loop is another one than before: what belonged to that is gone with it."""
        self._loop = _running()
        self._idle, self._open = [], set()
        self._room = asyncio.Semaphore(self._most)

    def _kept(self) -> Connection | None:
        return self._idle.pop() if self._idle else None

    async def _connected(self) -> Connection:
        # One address after the other: racing them leaks sockets of those who are cancelled.
        _, connection = await _running().create_connection(
            lambda: Connection(self._ended),
            self._address.host,
            self._address.port,
            ssl=self._tls,
        )
        self._open.add(connection)
        return connection

    def _ended(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)


def _running() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()
