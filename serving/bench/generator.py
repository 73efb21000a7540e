"""Sends each request when it is due, whether or not the server keeps up. One thread, one loop.

A closed loop waits for an answer before it asks again, so a slow server is asked less,
and what its callers would have waited is missing from the percentiles. Here all instants
are drawn before, and latency counts from the instant at which a request was due.

A request costs one send(), one receive, and its share of a wait: sockets that do not
block, no event loop, no object per request. While nothing is due the thread sleeps, so
its CPU time says how near it is to its limit.
"""

import gc
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf, nan

import numpy as np

from .connection import Address, CannotConnect, Connection
from .outcome import LOST, NO_CONNECTION, TIMED_OUT, Outcome
from .plan import Floats
from .poller import READ, WRITE, Poller, PunctualSleep, make_poller
from .reply import BadReply, Reply, whole_reply

BUFFER = 256 * 1024
TICK_S = 0.25
"""How often progress is told, and who waits too long is looked for."""

Tick = Callable[[float, int], None]
"""Called with the seconds since the beginning and the requests answered so far."""


class Generator:
    """Holds the connections, which outlive a run. Not to be shared between threads."""

    def __init__(
        self,
        address: Address,
        requests: Sequence[bytes],
        *,
        connections: int = 2000,
        timeout_s: float = 10.0,
        poller: Poller | None = None,
    ) -> None:
        """requests: whole HTTP/1.1 requests, sent in turn. timeout_s: how long a caller waits."""
        self._address = address
        self._requests = requests
        self._count = len(requests)
        self._bound = connections
        self._timeout_s = timeout_s
        self._poller = poller or make_poller()
        self._open: dict[int, Connection] = {}
        # The last one used is the next: it is warm, and no more are used than are needed.
        self._free: list[Connection] = []
        self._buffer = bytearray(BUFFER)
        self._waiting: deque[int] = deque()
        self._due: list[float] = []
        self._under_way = self._answered_count = self._sent_from = 0

    def open(self, count: int) -> None:
        """Have so many connections, as far as the bound lets. Raises CannotConnect."""
        try:
            for _ in range(min(count, self._bound) - len(self._open)):
                connection = Connection(self._address, wait=True)
                self._keep(connection, READ)
                self._free.append(connection)
        except OSError as error:
            if not self._open:
                raise CannotConnect(error.strerror or str(error)) from error

    def run(
        self, schedule: Floats, began: float, tick: Tick = lambda _, __: None, turn: int = 0
    ) -> Outcome:
        """Send a request at each instant, and wait for the last answer.

        schedule: seconds from `began`, an instant of time.perf_counter(), in order.
        turn: which of the requests is the first.
        """
        total = len(schedule)
        self._due = [*(schedule + began).tolist(), inf]
        self._latency = array("d", [nan]) * total
        self._lateness = array("d", [nan]) * total
        self._status = array("h", [0]) * total
        self._sent_from, self._answered_count, self._waited = turn, 0, 0
        self._most, self._exhausted = len(self._open), False
        with PunctualSleep(), _no_collection():
            cpu_share = self._drive(began, total, tick)
        return Outcome(
            np.asarray(schedule),
            np.array(self._latency),
            np.array(self._lateness),
            np.array(self._status),
            self._waited,
            cpu_share,
            self._most,
            self._exhausted,
        )

    def close(self) -> None:
        for connection in self._open.values():
            connection.close()
        self._open.clear()
        self._free.clear()
        self._poller.close()

    def _drive(self, began: float, total: int, tick: Tick) -> float:
        """The loop; the share of a core that it took until all was sent."""
        clock, due, lateness, wait = time.perf_counter, self._due, self._lateness, self._poller.wait
        following, next_tick = 0, began + TICK_S
        cpu_s, cpu_share = time.thread_time(), None
        while True:
            now = clock()
            while due[following] <= now:
                lateness[following] = clock() - due[following]
                if self._waiting or (connection := self._take()) is None:
                    self._waited += 1
                    self._waiting.append(following)
                    self._open_one()
                else:
                    self._send(connection, following)
                following += 1
            if following == total:
                if cpu_share is None:
                    cpu_share = (time.thread_time() - cpu_s) / max(1e-3, now - began)
                if not self._under_way and not self._waiting:
                    return cpu_share
            if now >= next_tick:
                self._give_up(now)
                tick(now - began, self._answered_count)
                next_tick += TICK_S * (1 + (now - next_tick) // TICK_S)
            for fd, event in wait(min(due[following], next_tick) - clock()):
                handled = self._open.get(fd)
                if handled is not None:
                    if event == READ:
                        self._read(handled)
                    else:
                        self._unusual(handled, event)

    # --- connections

    def _keep(self, connection: Connection, flags: int) -> None:
        self._poller.add(connection.fd, flags)
        self._open[connection.fd] = connection

    def _take(self) -> Connection | None:
        """A free connection. Those that the server has closed are found here, not searched for."""
        while self._free:
            connection = self._free.pop()
            if connection.open:
                return connection
        return None

    def _open_one(self) -> None:
        """One more, for who waits; who cannot have one is told so."""
        if len(self._open) >= self._bound:
            self._exhausted = True
            return
        try:
            self._keep(Connection(self._address, wait=False), WRITE)
        except OSError:
            if self._open:
                self._exhausted = True
            else:
                self._status[self._waiting.popleft()] = NO_CONNECTION
        self._most = max(self._most, len(self._open))

    def _refused(self, connection: Connection) -> None:
        """It could not be made. Who waits goes on waiting for the others, if there are any."""
        self._forget(connection)
        if self._waiting and not any(other.connected for other in self._open.values()):
            self._status[self._waiting.popleft()] = NO_CONNECTION
        while self._waiting and not self._open:
            self._open_one()

    def _forget(self, connection: Connection) -> None:
        self._poller.remove(connection.fd)
        del self._open[connection.fd]
        connection.close()

    def _end(self, connection: Connection, why: int = LOST) -> None:
        """Close it; its request, if it has one, came to nothing."""
        self._forget(connection)
        if connection.index >= 0:
            self._status[connection.index] = why
            self._under_way -= 1
        if self._waiting:
            self._open_one()

    def _free_again(self, connection: Connection) -> None:
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._free.append(connection)

    def _give_up(self, now: float) -> None:
        """Who has waited as long as a caller does, waits no longer."""
        before, due = now - self._timeout_s, self._due
        while self._waiting and due[self._waiting[0]] < before:
            self._status[self._waiting.popleft()] = TIMED_OUT
        late = [c for c in self._open.values() if c.index >= 0 and due[c.index] < before]
        for connection in late:
            self._end(connection, TIMED_OUT)

    # --- requests and replies

    def _send(self, connection: Connection, index: int) -> None:
        connection.index = index
        self._under_way += 1
        request = self._requests[(self._sent_from + index) % self._count]
        try:
            sent = connection.send(request)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end(connection)
            return
        if sent < len(request):
            connection.rest = memoryview(request)[sent:]
            self._poller.change(connection.fd, READ | WRITE)

    def _read(self, connection: Connection) -> None:
        try:
            size = connection.receive(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            self._end(connection)
            return
        if connection.index < 0:  # the server closes it, or speaks without being asked
            self._end(connection)
        elif connection.reading is None and (status := whole_reply(self._buffer, size)):
            self._answered(connection, status, True)
        else:
            self._read_on(connection, bytes(self._buffer[:size]))

    def _read_on(self, connection: Connection, data: bytes) -> None:
        """What is not one usual reply in one piece."""
        if connection.reading is None:
            connection.reading = Reply()
        reply = connection.reading
        try:
            done = reply.feed(data) if data else reply.at_end()
        except BadReply:
            self._end(connection)
            return
        if done:
            self._answered(connection, reply.status, reply.keep_alive)
        elif not data:
            self._end(connection)

    def _answered(self, connection: Connection, status: int, keep_alive: bool) -> None:
        index = connection.index
        self._latency[index] = time.perf_counter() - self._due[index]
        self._status[index] = status
        self._answered_count += 1
        self._under_way -= 1
        connection.index, connection.reading = -1, None
        # Who answers before the request is whole will not read the rest of it.
        if keep_alive and connection.rest is None:
            self._free_again(connection)
        else:
            self._end(connection)

    def _unusual(self, connection: Connection, event: int) -> None:
        if not connection.connected:
            if connection.fails_to_connect():
                self._refused(connection)
            else:
                self._poller.change(connection.fd, READ)
                self._free_again(connection)
            return
        if event & WRITE and connection.rest is not None:
            self._send_on(connection, connection.rest)
        if event & ~WRITE:
            self._read(connection)

    def _send_on(self, connection: Connection, rest: memoryview) -> None:
        try:
            rest = rest[connection.send(rest) :]
            connection.rest = rest or None
        except BlockingIOError:
            return
        except OSError:
            # Its answer may be there all the same: why it reads no more.
            rest = rest[:0]
        if not rest:
            self._poller.change(connection.fd, READ)


@contextmanager
def _no_collection() -> Iterator[None]:
    """A collection stops the clock for milliseconds, and the loop makes no circles."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
