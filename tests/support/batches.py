"""Tickets and executors that a test drives by hand."""

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any, TypeVar

from batching import Ticket

T = TypeVar("T")


class Slip:
    """A reply that somebody may read, without an event loop."""

    def __init__(self) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self.gone = False
        self.answered = 0

    def done(self) -> bool:
        return self.gone or self.answered > 0

    def set_result(self, result: Any, /) -> None:
        self.result, self.answered = result, self.answered + 1

    def set_exception(self, exception: BaseException, /) -> None:
        self.error, self.answered = exception, self.answered + 1


def ticket(
    payload: Any = None,
    *,
    rows: int = 1,
    length: int = 0,
    key: Any = None,
    priority: int = 0,
    arrived: float = 0.0,
    deadline: float = inf,
) -> Ticket[Any, Any]:
    """A ticket with a Slip for a reply."""
    return Ticket(payload, Slip(), arrived, rows, length, key, priority, deadline)


def payloads(tickets: list[Ticket[Any, Any]]) -> list[Any]:
    return [one.payload for one in tickets]


class HeldRun:
    """One run that waits for the test to let it go."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self.outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def let_go(self) -> None:
        """Run it now, on the event loop's own thread."""
        try:
            self.outcome.set_result(self._function())
        except BaseException as error:
            self.outcome.set_exception(error)


class HandExecutor:
    """Holds every run until the test lets it go."""

    def __init__(self) -> None:
        self.held: deque[HeldRun] = deque()
        self.alive = True
        self.closed = False

    async def run(self, function: Callable[[], T]) -> T:
        run = HeldRun(function)
        self.held.append(run)
        result: T = await run.outcome
        return result

    async def next(self) -> HeldRun:
        """The oldest run that is held; turns the event loop until there is one."""
        await settle()
        assert self.held, "nothing is being run"
        return self.held.popleft()

    def close(self) -> None:
        self.closed = True


async def settle() -> None:
    """Let everything that can go on without waiting go on."""
    for _ in range(20):
        await asyncio.sleep(0)
