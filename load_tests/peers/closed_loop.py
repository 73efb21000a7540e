"""Callers who each wait for an answer before they ask again, over connections that are kept.

wrk is faster, but cannot say which answer belongs to which request. This is for models that
take milliseconds, where a client of Python's costs nothing that matters.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import count


class WrongAnswer(Exception):
    """A server answered with something else than was asked for."""


class ClosedLoop:
    """A run. The requests are sent in turn, each as often as the others."""

    def __init__(self, port: int, requests: Sequence[bytes], warm_up: int, counted: int) -> None:
        """After warm_up answers, as many as are counted are timed."""
        self._port, self._requests = port, requests
        self._warm_up, self._counted = warm_up, counted
        self._turn: Iterator[int] = count()
        self._finished: list[float] = []
        self._latencies_s: list[float] = []
        self.answers: list[tuple[int, bytes]] = []
        """Of every answer, which request it is for, and its body."""

    async def run(self, callers: int) -> None:
        """Raises WrongAnswer if any status is not 200, OSError if a connection breaks."""
        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(self._call())

    def a_second(self) -> float:
        """Answers a second while all callers were at work."""
        began, ended = self._finished[self._warm_up - 1], self._finished[self._ends - 1]
        return self._counted / (ended - began)

    def latencies_s(self) -> list[float]:
        """Of the timed answers, sorted."""
        return sorted(self._latencies_s[self._warm_up : self._ends])

    @property
    def _ends(self) -> int:
        return self._warm_up + self._counted

    async def _call(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            # The others stay at work until the last timed answer, so that no batch is the
            # smaller for the end being near.
            while len(self._finished) < self._ends:
                index = next(self._turn) % len(self._requests)
                began = time.perf_counter()
                writer.write(self._requests[index])
                status, body = await read_reply(reader)
                ended = time.perf_counter()
                if status != 200:
                    raise WrongAnswer(f"status {status}: {body[:300].decode(errors='replace')}")
                self._finished.append(ended)
                self._latencies_s.append(ended - began)
                self.answers.append((index, body))
        finally:
            writer.close()


def post(port: int, path: str, body: bytes, json_length: int | None = None) -> bytes:
    """A request as it goes over the wire. json_length: where tensors follow it as bytes."""
    kind = "Content-Type: application/json\r\n"
    if json_length is not None:
        kind = (
            "Content-Type: application/octet-stream\r\n"
            f"Inference-Header-Content-Length: {json_length}\r\n"
        )
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"{kind}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def read_reply(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body. Raises OSError if the server hangs up or does not say how long it is."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            raise ConnectionError("an answer has no Content-Length")
        length = int(head[at + 17 : head.index(b"\r", at + 2)])
        return int(head[9:12]), await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise ConnectionError("the server hung up") from error


async def ask_once(port: int, request: bytes, timeout_s: float = 30.0) -> tuple[int, bytes]:
    """Status and body of one request. Raises OSError, TimeoutError among them."""
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request)
            return await read_reply(reader)
        finally:
            writer.close()
