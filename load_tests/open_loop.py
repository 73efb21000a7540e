"""Requests at a given rate, whether or not the server keeps up.

A closed loop (locust, wrk) waits for an answer before it asks again, so a slow
server is asked less: its queue never shows. Here the instants are drawn before
(Poisson), and latency is counted from the instant at which a request was due, not
from when it was sent. Run it on another core than the server's:

    taskset -c 1 python load_tests/open_loop.py http://127.0.0.1:8000/v2/models/perceptron/infer \
        --body body.json --rate 4000 --seconds 10 --slo-ms 100
"""

import argparse
import asyncio
import gc
import json
import random
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

MAX_CONNECTIONS = 4000


@dataclass
class Tally:
    """What came of the requests."""

    due: int = 0
    latencies_s: list[float] = field(default_factory=list)
    """Of the answers with status 200, from the instant each was due."""
    refusals_s: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    lost: int = 0
    """Connections that ended with a request under way."""
    behind_s: list[float] = field(default_factory=list)
    """How much later than due a request was sent: the generator's own fault."""


class Connection(asyncio.Protocol):
    """One request at a time over a connection that is kept."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._due = 0.0
        self._busy = False
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def send(self, due: float) -> None:
        self._due, self._busy = due, True
        self.transport.write(self._load.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        seen = self._seen + data if self._seen else data
        head = seen.find(b"\r\n\r\n")
        if head >= 0:
            at = seen.find(b"content-length: ", 0, head)
            end = seen.find(b"\r", at)
            if len(seen) >= head + 4 + int(seen[at + 16 : end]):
                self._seen, self._busy = b"", False
                self._load.answered(self, int(seen[9:12]), self._due)
                return
        self._seen = seen

    def connection_lost(self, error: Exception | None) -> None:
        self._load.gone(self, self._busy)


class Load:
    """A run at one rate."""

    def __init__(self, host: str, port: int, request: bytes) -> None:
        self.host, self.port, self.request = host, port, request
        self.tally = Tally()
        self._free: deque[Connection] = deque()
        self._connections = 0
        self._waiting: deque[float] = deque()
        self._under_way = 0

    async def connect(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(min(count, MAX_CONNECTIONS - self._connections)):
            self._connections += 1
            _, connection = await loop.create_connection(
                lambda: Connection(self), self.host, self.port
            )
            self._free.append(connection)

    def answered(self, connection: Connection, status: int, due: float) -> None:
        took_s = time.perf_counter() - due
        self.tally.statuses[status] = self.tally.statuses.get(status, 0) + 1
        (self.tally.latencies_s if status == 200 else self.tally.refusals_s).append(took_s)
        self._under_way -= 1
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._free.append(connection)

    def gone(self, connection: Connection, busy: bool) -> None:
        self._connections -= 1
        if busy:
            self.tally.lost += 1
            self._under_way -= 1
        elif connection in self._free:
            self._free.remove(connection)

    def _send(self, connection: Connection, due: float) -> None:
        self._under_way += 1
        connection.send(due)

    async def run(self, instants: Iterator[float]) -> Tally:
        """Send a request at each instant (seconds from now), and wait for the last answer."""
        # The event loop's own clock is too coarse, and stands still while callbacks run.
        clock = time.perf_counter
        began = clock() + 0.05
        for instant in instants:
            due = began + instant
            while (left_s := due - clock()) > 0:  # noqa: ASYNC110
                await asyncio.sleep(left_s if left_s > 0.002 else 0)
            self.tally.due += 1
            self.tally.behind_s.append(clock() - due)
            if self._free:
                self._send(self._free.popleft(), due)
            else:
                self._waiting.append(due)
                if self._connections < MAX_CONNECTIONS:
                    asyncio.get_running_loop().create_task(self._one_more())
        ends = clock() + 30
        while (self._under_way or self._waiting) and clock() < ends:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        self.tally.lost += self._under_way + len(self._waiting)
        return self.tally

    async def _one_more(self) -> None:
        await self.connect(1)
        while self._waiting and self._free:
            self._send(self._free.popleft(), self._waiting.popleft())


def poisson(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Instants of a Poisson process."""
    random_ = random.Random(seed)
    at = random_.expovariate(rate)
    while at < seconds:
        yield at
        at += random_.expovariate(rate)


def summary(tally: Tally, seconds: float, slo_s: float) -> dict[str, float]:
    """The figures that count, a second and in milliseconds."""
    latencies = sorted(tally.latencies_s)

    def percentile(values: list[float], share: float) -> float:
        return 1e3 * values[min(len(values) - 1, int(share * len(values)))] if values else 0.0

    in_time = sum(latency <= slo_s for latency in latencies)
    return {
        "offered": tally.due / seconds,
        "answered": len(latencies) / seconds,
        "goodput": in_time / seconds,
        "late": len(latencies) - in_time,
        "refused": len(tally.refusals_s) / seconds,
        "lost": tally.lost,
        "p50_ms": percentile(latencies, 0.5),
        "p99_ms": percentile(latencies, 0.99),
        "max_ms": percentile(latencies, 1.0),
        "refusal_p50_ms": percentile(sorted(tally.refusals_s), 0.5),
        "behind_p99_ms": percentile(sorted(tally.behind_s), 0.99),
    }


async def measure(url: str, body: bytes, rate: float, seconds: float, seed: int) -> Tally:
    """Offer one rate for so long."""
    parts = urlsplit(url)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    load = Load(parts.hostname or "127.0.0.1", parts.port or 80, head.encode() + body)
    await load.connect(256)
    gc.disable()
    try:
        return await load.run(poisson(rate, seconds, seed))
    finally:
        gc.enable()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--body", type=Path, required=True, help="file with the request's JSON")
    parser.add_argument("--rate", type=float, nargs="+", required=True, help="requests a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--slo-ms", type=float, default=100.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    body = arguments.body.read_bytes()
    for rate in arguments.rate:
        tally = uvloop.run(measure(arguments.url, body, rate, arguments.seconds, arguments.seed))
        figures = summary(tally, arguments.seconds, arguments.slo_ms / 1e3)
        print(json.dumps({name: round(value, 2) for name, value in figures.items()}), flush=True)
        print(json.dumps({"statuses": tally.statuses}), flush=True)


if __name__ == "__main__":
    main()
