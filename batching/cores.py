"""Many models, one machine: its cores as tokens, and whose turn it is.

A run takes as many tokens as it has threads. When tokens come free they go to
whoever has the least slack. But a model in overload, whose queue is as long as its
deadlines allow, always has little: beyond a share that it is sure of, it lets go first
who has a batch together, or has waited for some time already. So it refuses its own
callers, and the deadlines of others are kept. That they wait a little before is what lets
their batches grow: taken at once, one row at a time, they would leave nothing. In overload
is who loses callers and would, with all of them, use much more than what is left for him;
not whoever loses some: giving way he would lose more, and so for ever.

Between the end of a run and the next one's beginning the event loop answers the riders of
the first. So that no core is idle meanwhile, tokens are lent a moment before they come free.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import exp, inf
from operator import attrgetter
from typing import Any

from .alarm import Alarm
from .ticket import Ticket

# Of the cores, divided by those who use them: so much is everybody's, overload or not; and so
# much while others lose callers.
_SURE, _SURE_AT_LEAST = 0.5, 0.1
# Somebody has waited for long after a part of his patience, or so many seconds.
_LONG_S, _LONG = 0.05, 0.25
# What was used is forgotten in about so many seconds, and so is that somebody was lost.
_MEMORY_S = 1.0
# Who wants more than his part by less than so much of all cores is not in overload: what is
# wanted is known from one second only.
_MARGIN = 0.1
# Nor is who wants less than this part of what somebody else wants, unless it is so many times
# an equal part.
_SMALL, _LARGE = 0.5, 2.0
# Who uses less than this is not counted among those who share.
_NOTHING = 0.005
# So long before its expected end a run's tokens are lent, if it is longer than so many times
# that: what two runs are on one core at one time for must be little of either.
_LEND_S, _LEND_FROM = 0.002, 2.5
# Of all tokens, so many at most: a run that takes a hundred times what was expected goes on
# beside the one that was lent its tokens.
_LENT = 0.5
# The loop's timers are no finer: to wait for less is to spin.
_AT_ONCE_S = 5e-4


class Share:
    """One batcher's part in the cores: when it must begin, what it used, whom it lost."""

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
        self.part: Callable[[float], float] = lambda now: inf
        """Cores that one may want without being in overload."""
        self._lost_at = -inf
        # Of the last second or so: core seconds, and the rows that were run and were lost.
        self._used_s = self._run_rows = self._lost_rows = 0.0
        self._used_at = -inf

    def used(self, now: float) -> float:
        """Cores in use, on average over the last second or so."""
        return self._used_s / _MEMORY_S * exp((self._used_at - now) / _MEMORY_S)

    def wanted(self, now: float) -> float:
        """Cores that would be in use if nobody were lost."""
        return self.used(now) * (1.0 + self._lost_rows / max(1.0, self._run_rows))

    def use(self, core_s: float, rows: int) -> None:
        """Count what a turn took, and the rows that were run."""
        now = self.clock()
        fades = exp((self._used_at - now) / _MEMORY_S)
        self._used_s = self._used_s * fades + core_s
        self._run_rows = self._run_rows * fades + rows
        self._lost_rows *= fades
        self._used_at = now

    def lose(self, rows: int, now: float) -> None:
        """Somebody is told that there is no time or no room for him, before he waits or after."""
        self._lost_at = now
        self._lost_rows += rows

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
        """Whether it loses callers and would use more than what is there for it."""
        return now - self._lost_at < _MEMORY_S and self.wanted(now) > self.part(now)

    def is_hurt(self, now: float) -> bool:
        """Whether it loses callers though it would use no more than what is there for it."""
        return now - self._lost_at < _MEMORY_S and not self.in_overload(now)


class Turn:
    """Tokens that somebody holds, for one run after the other."""

    def __init__(self, cores: "Cores", need: int) -> None:
        self._cores = cores
        self.need = need
        self.rows = 0
        """That were run."""
        self.lends_at = inf
        """The instant from which another may have the tokens."""
        self.lent = False
        """Whether another has them: the run that goes on is the last."""

    def begins(self, rows: int, run_s: float) -> None:
        """A run of so many rows begins, that will take so many seconds."""
        self.rows += rows
        lend_s = self._cores.lend_s
        lends = 0.0 < _LEND_FROM * lend_s <= run_s
        self.lends_at = self._cores.clock() + run_s - lend_s if lends else inf
        self._cores.look()

    def goes_on(self) -> None:
        """Another run follows the one that is under way."""
        self.lends_at = inf


@dataclass(slots=True, eq=False)
class _Waiter:
    need: int
    share: Share
    turn: asyncio.Future[None]


class Cores:
    """So many tokens, shared by all batchers of a machine."""

    def __init__(
        self, count: int, *, clock: Callable[[], float] = time.monotonic, lend_s: float = _LEND_S
    ) -> None:
        """
        clock: the one of all who share them.
        lend_s: how long before its expected end a run's tokens are lent.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count!r}")
        self.count = count
        self.free = count
        self._waiting: list[_Waiter] = []
        self._shares: list[Share] = []
        self._turns: list[Turn] = []
        self._found_at, self._found = -inf, inf
        self.clock = clock
        self.lend_s = lend_s
        self._alarm = Alarm(clock, self.look)

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
        share.part = self._part
        self._shares.append(share)
        return share

    def leave(self, share: Share) -> None:
        """The batcher has ended."""
        if share in self._shares:
            self._shares.remove(share)

    @asynccontextmanager
    async def turn(self, need: int, share: Share) -> AsyncIterator[Turn]:
        """Hold `need` tokens, at most all there are, once it is our turn."""
        need = min(need, self.count)
        await self._take(need, share)
        began = share.clock()
        turn = Turn(self, need)
        self._turns.append(turn)
        try:
            yield turn
        finally:
            share.use(need * (share.clock() - began), turn.rows)
            self._turns.remove(turn)
            if not turn.lent:
                self.free += need
            self._hand_out()

    async def _take(self, need: int, share: Share) -> None:
        if not self._waiting and need <= self.free:
            self.free -= need
            return
        waiter = _Waiter(need, share, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self.look()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.cancelled():
                self.free += need  # it was our turn in the moment that we left
            else:
                self._waiting.remove(waiter)
            self._hand_out()
            raise

    def look(self) -> None:
        """Let those who wait have what may be lent by now, and look again when there is more."""
        at = inf
        if self._waiting:
            left = int(_LENT * self.count) - sum(turn.need for turn in self._turns if turn.lent)
            may = [turn for turn in self._turns if turn.need <= left and not turn.lent]
            if may:
                first = min(may, key=attrgetter("lends_at"))
                at = first.lends_at
                if at <= self.clock() + _AT_ONCE_S:
                    first.lent = True
                    self.free += first.need
                    self._hand_out()
                    return
        if at != self._alarm.at:
            self._alarm.set(at)

    def _hand_out(self) -> None:
        while self._waiting and self.free:
            first = self._waiting[0] if len(self._waiting) == 1 else self._first()
            if first.need > self.free:
                # Smaller ones must not take what it waits for, or it would wait for ever.
                break
            self._waiting.remove(first)
            self.free -= first.need
            first.turn.set_result(None)
        self.look()

    def _part(self, now: float) -> float:
        """Cores that one may want without being in overload. Once for each instant: many ask.

        Who wants less than his part leaves the rest to the others, in equal parts (max-min
        fairness). What there is, is what was used of late: the same for a moment of overload
        as for an hour of it.
        """
        if now != self._found_at:
            used = [share.used(now) for share in self._shares]
            wanted = sorted(share.wanted(now) for share in self._shares)
            had = sum(used)
            equal = had / max(1, sum(one > _NOTHING for one in used))
            self._found_at, self._found = (
                now,
                max(
                    water_level(wanted, had) + _MARGIN * had,
                    min(_SMALL * max(wanted, default=0.0), _LARGE * equal),
                ),
            )
        return self._found

    def _first(self) -> _Waiter:
        now = self._waiting[0].share.clock()
        hurt = any(share.is_hurt(now) for share in self._shares)
        sharing = sum(share.used(now) > _NOTHING for share in self._shares)
        sure = (_SURE_AT_LEAST if hurt else _SURE) * self.count / max(1, sharing)
        yielding = [
            waiter
            for waiter in self._waiting
            if waiter.share.in_overload(now) and waiter.share.used(now) > sure
        ]
        ready = [
            waiter
            for waiter in self._waiting
            if yielding and waiter not in yielding and (hurt or waiter.share.has_waited(now))
        ]
        if ready:
            return min(ready, key=_slack)
        first = min(self._waiting, key=_slack)
        if first in yielding:
            # Of those in overload who has had least, or all is for the one who asks for most.
            return min(yielding, key=lambda waiter: waiter.share.used(now))
        return first


def water_level(wanted: Sequence[float], count: float) -> float:
    """What each may have at most so that no more than `count` is had; inf if all have theirs.

    wanted: in ascending order.
    """
    left = float(count)
    for n, one in enumerate(wanted):
        if one * (len(wanted) - n) > left:
            return left / (len(wanted) - n)
        left -= one
    return inf


def _slack(waiter: _Waiter) -> float:
    return waiter.share.slack()
