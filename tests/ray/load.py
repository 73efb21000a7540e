"""Callers who ask again as soon as they are answered, each on a connection of its own."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import httpx

LOST = 0
"""The status of who lost the connection."""


class Asked(NamedTuple):
    """One request."""

    began: float
    ended: float
    status: int


@dataclass
class Load:
    """What came of all of them."""

    asked: list[Asked] = field(default_factory=list)

    def failed(self) -> list[Asked]:
        return [one for one in self.asked if one.status != 200]


@contextmanager
def load(
    url: str, body: bytes, *, callers: int, headers: dict[str, str] | None = None
) -> Iterator[Load]:
    """So many callers, until the block ends."""
    found, stop = Load(), threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=60) as client:
            while not stop.is_set():
                began = time.monotonic()
                try:
                    status = client.post(url, content=body, headers=headers).status_code
                except httpx.TransportError:
                    status = LOST
                found.asked.append(Asked(began, time.monotonic(), status))

    threads = [threading.Thread(target=ask) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join()
