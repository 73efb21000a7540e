"""Many models, one machine: its cores as tokens, and whose turn it is.

A run takes as many tokens as it has threads. When tokens come free they go to
whoever has the least slack, so that a model in overload, which refuses its own
callers, leaves the others' deadlines alone.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class _Waiter:
    need: int
    slack: Callable[[], float]
    turn: asyncio.Future[None]


class Cores:
    """So many tokens, shared by all batchers of a machine."""

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count!r}")
        self.count = count
        self.free = count
        self._waiting: list[_Waiter] = []

    @property
    def wanted(self) -> bool:
        """Whether anybody waits for tokens."""
        return bool(self._waiting)

    @asynccontextmanager
    async def turn(self, need: int, slack: Callable[[], float]) -> AsyncIterator[None]:
        """Hold `need` tokens, at most all there are, once it is our turn.

        slack: asked whenever tokens come free; the instant by which we must have begun.
        """
        need = min(need, self.count)
        await self._take(need, slack)
        try:
            yield
        finally:
            self.free += need
            self._hand_out()

    async def _take(self, need: int, slack: Callable[[], float]) -> None:
        if not self._waiting and need <= self.free:
            self.free -= need
            return
        waiter = _Waiter(need, slack, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.cancelled():
                self.free += need  # it was our turn in the moment that we left
            else:
                self._waiting.remove(waiter)
            self._hand_out()
            raise

    def _hand_out(self) -> None:
        while self._waiting and self.free:
            first = min(self._waiting, key=lambda waiter: waiter.slack())
            if first.need > self.free:
                # Smaller ones must not take what it waits for, or it would wait for ever.
                return
            self._waiting.remove(first)
            self.free -= first.need
            first.turn.set_result(None)
