"""Samples that somebody issues, sent to a server over HTTP. Knows nothing of LoadGen.

    issue ─► waiting ─► a free connection ─► reply ─► completed, all of one turn together
    any thread          the event loop's thread

A request is one sample. Connections are opened ahead and kept; the one that was used last is
used next, one request at a time on each. One that the server closes because it was idle is
opened again when it is needed. Every sample is completed, for whoever issued it waits for all:

answered    at once
refused     (429, 503, 504) `late_s` later, so that it is over whatever latency is allowed and
            no server gains by refusing; or, with `retry`, asked again after Retry-After
failed      any other status, or a broken connection: `late_s` later, and counted
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

REFUSED = (429, 503, 504)
LEAST_RETRY_S = 0.01
START_S = 30.0

Completed = Callable[[list[tuple[int, bytes]]], None]
"""Told ids and the bodies of their replies, empty for those that have none."""


@dataclass
class Counts:
    """How the samples went."""

    answered: int = 0
    refused: int = 0
    """Refusals; with `retry` a sample may have several before its answer."""
    failed: int = 0
    why: str = ""
    """Of the first that failed."""


class Client:
    """Connections to one server, on an event loop in a thread of their own."""

    def __init__(
        self,
        port: int,
        requests: Sequence[bytes],
        completed: Completed,
        *,
        connections: int,
        late_s: float,
        retry: bool,
        new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
    ) -> None:
        """requests: as they go over the wire, by sample."""
        self._port, self._requests, self._completed = port, requests, completed
        self._connections, self._late_s, self._retry = connections, late_s, retry
        self._waiting: deque[tuple[int, int]] = deque()
        self._free: list[Connection] = []
        self._open: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._done: list[tuple[int, bytes]] = []
        self._woken = self._turning = False
        self._loop = new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="client", daemon=True)
        self.counts = Counts()

    def start(self) -> None:
        """Open all connections. Raises OSError if that fails."""
        self._thread.start()
        opened = asyncio.run_coroutine_threadsafe(self._open_all(), self._loop)
        opened.result(START_S)

    def issue(self, samples: Iterable[tuple[int, int]]) -> None:
        """Ask for these, of (id, sample). Returns at once; may be called by any thread."""
        self._waiting.extend(samples)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """Close all connections, and end the thread."""
        asyncio.run_coroutine_threadsafe(self._close_all(), self._loop).result(START_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- on the loop

    async def _open_all(self) -> None:
        for _ in range(self._connections):
            await self._open_one()

    async def _open_one(self) -> None:
        await self._loop.create_connection(lambda: Connection(self), "127.0.0.1", self._port)

    async def _close_all(self) -> None:
        self._connections = 0  # none is opened any more
        for task in self._opening:
            task.cancel()
        for connection in list(self._open):
            connection.close()
        await asyncio.sleep(0)

    def _wake(self) -> None:
        # Before the look at what waits: who comes later wakes us again.
        self._woken = False
        self._send()

    def _send(self) -> None:
        waiting, free = self._waiting, self._free
        while waiting and free:
            id_, sample = waiting.popleft()
            free.pop().ask(id_, self._requests[sample], sample)
        for _ in range(min(len(waiting), self._connections - len(self._open)) - len(self._opening)):
            task = self._loop.create_task(self._reopen())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _turn(self) -> None:
        """Once for all replies that came in one turn of the loop."""
        self._turning = False
        done, self._done = self._done, []
        if done:
            self._completed(done)
        self._send()

    def _turn_soon(self) -> None:
        if not self._turning:
            self._turning = True
            self._loop.call_soon(self._turn)

    def _finish(self, id_: int, body: bytes = b"") -> None:
        self._done.append((id_, body))
        self._turn_soon()

    def _again(self, id_: int, sample: int) -> None:
        self._waiting.append((id_, sample))
        self._turn_soon()

    def _failed(self, id_: int, why: str) -> None:
        self.counts.failed += 1
        self.counts.why = self.counts.why or why
        self._loop.call_later(self._late_s, self._finish, id_)

    def opened(self, connection: "Connection") -> None:
        self._open.add(connection)
        self._free.append(connection)
        self._turn_soon()

    def replied(
        self, connection: "Connection", id_: int, sample: int, status: int, reply: "Reply"
    ) -> None:
        """The connection is free again."""
        self._free.append(connection)
        if status == 200:
            self.counts.answered += 1
            self._finish(id_, reply.body)
            return
        if status not in REFUSED:
            self._failed(id_, f"status {status}: {reply.body[:200].decode(errors='replace')}")
        elif self._retry:
            self.counts.refused += 1
            wait_s = max(LEAST_RETRY_S, reply.retry_after_s)
            self._loop.call_later(wait_s, self._again, id_, sample)
        else:
            self.counts.refused += 1
            self._loop.call_later(self._late_s, self._finish, id_)
        self._turn_soon()

    def lost(self, connection: "Connection", id_: int | None) -> None:
        """A connection is gone; id_: of the sample that it owes an answer."""
        self._open.discard(connection)
        if id_ is not None and connection.went_stale:
            # The server closed it for being idle just when it was used again.
            self._waiting.appendleft((id_, connection.sample))
        elif id_ is not None:
            self._failed(id_, "the server hung up")
        elif connection in self._free:
            self._free.remove(connection)
        self._turn_soon()

    async def _reopen(self) -> None:
        try:
            await self._open_one()
        except OSError as error:
            if not self._open:  # nobody is left who could ask
                while self._waiting:
                    self._failed(self._waiting.popleft()[0], f"cannot connect: {error}")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said, without its status."""

    head: bytes
    body: bytes

    @property
    def retry_after_s(self) -> float:
        """0 if it does not say."""
        try:
            return float(_header(self.head, b"retry-after") or 0)
        except ValueError:
            return 0.0


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._id: int | None = None
        self.sample = 0
        self._received = b""
        self._replies = 0

    @property
    def went_stale(self) -> bool:
        """Whether it has given answers, but nothing of the one that it owes."""
        return self._replies > 0 and not self._received

    def ask(self, id_: int, request: bytes, sample: int) -> None:
        self._id, self.sample = id_, sample
        self._transport.write(request)

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Of uvloop it is none by its class.
        self._transport = cast(asyncio.Transport, transport)
        self._client.opened(self)

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            self._received = received
            return
        head = received[:end].lower()
        length = _header(head, b"content-length")
        if self._id is None or length is None:
            self._transport.close()  # nothing that we asked for, or can read
            return
        if len(received) < end + 4 + int(length):
            self._received = received
            return
        self._received = b""
        id_, self._id = self._id, None
        self._replies += 1
        reply = Reply(head, received[end + 4 :])
        self._client.replied(self, id_, self.sample, int(head[9:12]), reply)

    def connection_lost(self, error: Exception | None) -> None:
        self._client.lost(self, self._id)


def _header(head: bytes, name: bytes) -> bytes | None:
    """The value of a header. head: in small letters."""
    at = head.find(b"\r\n" + name + b":")
    if at < 0:
        return None
    begin = at + len(name) + 3
    end = head.find(b"\r\n", begin)
    return head[begin : end if end >= 0 else None].strip()
