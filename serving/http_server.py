"""The HTTP port: uvicorn's server, started and stopped by our lifecycle.

uvicorn closes idle connections at once when it stops, and with them whatever their callers
are just sending. Here that race is made as small as a server alone can make it.
"""

import asyncio
import select
import socket
import time
from contextlib import suppress
from typing import Any

import uvicorn

from .door import Door

LINGER_S = 0.25
"""How long an idle connection is kept when no more are accepted: what is on its way arrives."""
HEAD_S = 5.0
"""How long a request may take to arrive from then on."""
LOOK_EVERY_S = 0.02
"""How late the end of the last connection may be noticed. Nobody looks before the end."""
FLUSH_S = 0.5
"""How long a caller may take to read its last answer, once time is up."""


class HttpServer(uvicorn.Server):
    """One listening socket and its connections. `config.http` must make a Door."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._listener = listener
        self._draining = False
        self._make = config.http
        config.http = self._connection  # type: ignore[assignment]

    def _connection(self, **of_uvicorn: Any) -> Door:
        door: Door = self._make(**of_uvicorn)  # type: ignore[operator, assignment]
        if self._draining:
            door.drain()
        return door

    async def start(self) -> None:
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup(sockets=[self._listener])
        self._clock = asyncio.create_task(self._tick(), name="date header")

    async def _tick(self) -> None:
        while True:
            await self.on_tick(0)  # makes the Date header, and nothing else of what we use
            await asyncio.sleep(1)

    def drain(self) -> None:
        """Every reply is the last on its connection, and says so: `Connection: close`."""
        self._draining = True
        for door in self._doors():
            door.drain()

    async def finish(self, until: float) -> bool:
        """Accept no more; say whether all requests are answered by that instant.

        until: an instant of time.monotonic().
        """
        if not self.started:
            return True
        self.drain()
        await self._close_listener()
        closed_at = time.monotonic()
        while self._doors() or self.server_state.tasks:
            # Twice round the event loop: what has arrived is read, and begun.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            now = time.monotonic()
            if now >= until:
                return False
            for door in self._doors():
                lingered = door.idle and now >= closed_at + LINGER_S and not _readable(door)
                if lingered or (door.reading and now >= closed_at + HEAD_S):
                    door.transport.close()
            await asyncio.sleep(LOOK_EVERY_S)
        return True

    async def _close_listener(self) -> None:
        """Take those whom the kernel has welcomed for us, and nobody after them.

        Closing would reset connections that are made and not yet accepted, though their
        callers may have sent their requests. So first the queue is shut behind them.
        """
        self._listener.listen(0)
        welcomed = select.poll()
        welcomed.register(self._listener, select.POLLIN)
        until = time.monotonic() + LINGER_S
        while welcomed.poll(0) and time.monotonic() < until:  # noqa: ASYNC110 - the loop accepts
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        self._listener.close()

    async def close(self) -> None:
        """Close every connection, after what was written to it if its caller reads that soon."""
        if not self.started:
            self._listener.close()
            return
        until = time.monotonic() + FLUSH_S
        for door in self._doors():
            door.transport.close()
        while self._doors() and time.monotonic() < until:  # noqa: ASYNC110 - uvicorn has no event
            await asyncio.sleep(LOOK_EVERY_S)
        for door in self._doors():
            door.transport.abort()
        left = [*self.server_state.tasks, self._clock]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _doors(self) -> list[Door]:
        return list(self.server_state.connections)  # type: ignore[arg-type]


def _readable(door: Door) -> bool:
    """Whether bytes have come that the event loop has not yet read."""
    look = select.poll()
    with suppress(OSError, ValueError):  # closed in this moment
        look.register(door.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(look.poll(0))
    return False
