"""Many models, one machine: its cores as tokens, and whose turn it is.

A run takes as many tokens as it has threads. When tokens come free they go to
whoever has the least slack. But a model in overload, whose queue is as long as its
deadlines allow, always has little: beyond a share that it is sure of, it lets go first
who has a batch together, or has waited for some time already. So it refuses its own
callers, and the deadlines of others are kept. That they wait a little before is what lets
their batches grow: taken at once, one row at a time, they would leave nothing.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import exp, inf
from typing import Any

from .ticket import Ticket

# Of the cores, divided by those who use them: so much is everybody's, overload or not.
_SURE = 0.5
# Somebody has waited for long after a part of his patience, or so many seconds.
_LONG_S, _LONG = 0.05, 0.25
# What was used is forgotten in about so many seconds, and so is that somebody was refused.
_MEMORY_S = 1.0
# Who uses less than this is not counted among those who share.
_NOTHING = 0.005


class Share:
    """One batcher's part in the cores: when it must begin, what it used, what it refused."""

    def __init__(
        self,
        urgent: Callable[[], Ticket[Any, Any] | None],
        clock: Callable[[], float],
        filled: Callable[[], bool],
    ) -> None:
        """
        urgent: the most urgent ticket that waits. filled: whether those who wait fill a
            batch, so that more of them would make it no cheaper. Both are asked while we
            wait for tokens.
        """
        self.urgent = urgent
        self.clock = clock
        self.filled = filled
        self.refused_at = -inf
        """When somebody was told that there is no time for him."""
        self._used_s = 0.0
        self._used_at = -inf

    def used(self, now: float) -> float:
        """Cores in use, on average over the last second or so."""
        return self._used_s / _MEMORY_S * exp((self._used_at - now) / _MEMORY_S)

    def use(self, core_s: float) -> None:
        """Count what a run took."""
        now = self.clock()
        self._used_s = self._used_s * exp((self._used_at - now) / _MEMORY_S) + core_s
        self._used_at = now

    def slack(self) -> float:
        """The instant by which a run must have begun."""
        ticket = self.urgent()
        return ticket.latest_start if ticket else inf

    def has_waited(self, now: float) -> bool:
        """Whether there is nothing to wait for any more: a batch is filled, or time has passed."""
        if self.filled():
            return True
        ticket = self.urgent()
        if ticket is None:
            return False
        patience_s = ticket.deadline - ticket.arrived
        return now - ticket.arrived >= min(_LONG_S, _LONG * patience_s)

    def in_overload(self, now: float) -> bool:
        """Whether it has more callers than it can serve."""
        return now - self.refused_at < _MEMORY_S


@dataclass(slots=True, eq=False)
class _Waiter:
    need: int
    share: Share
    turn: asyncio.Future[None]


class Cores:
    """So many tokens, shared by all batchers of a machine."""

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count!r}")
        self.count = count
        self.free = count
        self._waiting: list[_Waiter] = []
        self._shares: list[Share] = []

    @property
    def wanted(self) -> bool:
        """Whether anybody waits for tokens."""
        return bool(self._waiting)

    def share(
        self,
        urgent: Callable[[], Ticket[Any, Any] | None],
        clock: Callable[[], float] = time.monotonic,
        filled: Callable[[], bool] = lambda: False,
    ) -> Share:
        """A part for one batcher, which gives it back with `leave`."""
        share = Share(urgent, clock, filled)
        self._shares.append(share)
        return share

    def leave(self, share: Share) -> None:
        """The batcher has ended."""
        if share in self._shares:
            self._shares.remove(share)

    @asynccontextmanager
    async def turn(self, need: int, share: Share) -> AsyncIterator[None]:
        """Hold `need` tokens, at most all there are, once it is our turn."""
        need = min(need, self.count)
        await self._take(need, share)
        began = share.clock()
        try:
            yield
        finally:
            share.use(need * (share.clock() - began))
            self.free += need
            self._hand_out()

    async def _take(self, need: int, share: Share) -> None:
        if not self._waiting and need <= self.free:
            self.free -= need
            return
        waiter = _Waiter(need, share, asyncio.get_running_loop().create_future())
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
            first = self._waiting[0] if len(self._waiting) == 1 else self._first()
            if first.need > self.free:
                # Smaller ones must not take what it waits for, or it would wait for ever.
                return
            self._waiting.remove(first)
            self.free -= first.need
            first.turn.set_result(None)

    def _first(self) -> _Waiter:
        now = self._waiting[0].share.clock()
        sharing = sum(share.used(now) > _NOTHING for share in self._shares)
        sure = _SURE * self.count / max(1, sharing)
        yielding = {
            waiter
            for waiter in self._waiting
            if waiter.share.in_overload(now) and waiter.share.used(now) > sure
        }
        first = [w for w in self._waiting if w not in yielding and w.share.has_waited(now)]
        return min(first or self._waiting, key=lambda waiter: waiter.share.slack())
