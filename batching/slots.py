"""The slots of a batcher: each takes a batch when it is free, runs it, and answers its riders.

One coroutine a slot. There is no timer between a waiting ticket and a free slot:
batches grow because the slots are busy. All decisions are made elsewhere; what is
here only carries them out.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Generic

from .admission import Admission
from .cores import Cores, Turn
from .cost import CostModel
from .errors import RunFailed
from .executor import Executor
from .forecast import Forecast
from .isolate import Report, Run, run_isolated
from .queue import BatchQueue
from .scatter import scatter
from .ticket import Batch, In, Out, Ticket

# From a request's bytes to its ticket takes up to two turns of the event loop: behind an
# ASGI server one reads them and starts a task, and the next runs it.
QUIET_TURNS = 2

# Where a turn of the event loop takes longer than this, the slot would idle for as long
# between two batches: the next one is handed to the thread before the last one ends.
AHEAD_FROM_S = 1e-3
_AHEAD_TURNS = 3

_rows, _length, _payload = attrgetter("rows"), attrgetter("length"), attrgetter("payload")

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Ride(Generic[In, Out]):
    """A batch under way."""

    riders: Sequence[Ticket[In, Out]]
    batch: Batch
    report: Awaitable[Report[Out]]


class Slots(Generic[In, Out]):
    """Takes batches from the queue, and sees them through."""

    def __init__(
        self,
        runs: Sequence[Run[In, Out]],
        queue: BatchQueue[In, Out],
        *,
        max_rows: int,
        cost: CostModel | None,
        forecast: Forecast,
        admission: Admission,
        cores: Cores,
        threads: int,
        executor: Executor,
        ahead: bool,
        clock: Callable[[], float],
        tell: Callable[..., None],
        refuse: Callable[[Sequence[Ticket[In, Out]]], None],
        rest: Callable[[], None],
    ) -> None:
        """
        ahead: whether the executor may be given a batch while it runs one; it must then
            run them one after the other.
        tell: as an observer is told. refuse: for those whose time ran out.
        rest: called when nobody waits any more.
        """
        self._runs = runs
        self._queue = queue
        self._max_rows = max_rows
        self._cost = cost
        self._forecast = forecast
        self._admission = admission
        self._cores, self._threads = cores, threads
        self.share = cores.share(queue.urgent, clock, lambda: queue.rows >= self._enough())
        """What of the cores we have."""
        self._executor = executor
        self._ahead = ahead and len(runs) == 1 and cost is not None and not cost.by_length
        self._clock = clock
        self._tell, self._refuse, self._rest = tell, refuse, rest
        self._full = self._enough()
        """The same for as long as no batch has ended: it is looked at for every ticket."""
        self._idle: deque[asyncio.Future[None]] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._running: _Ride[In, Out] | None = None
        """What the only slot runs, where batches are sent ahead."""
        self._turn: Turn | None = None
        """What the tokens of the latest run are held by."""
        self._next: _Ride[In, Out] | None = None
        self.riding: list[Sequence[Ticket[In, Out]]] = []
        """The riders of every batch under way."""

    # --- life

    def start(self) -> None:
        """Begin to take batches."""
        self._tasks = [
            asyncio.create_task(self._work(slot), name=f"batch slot {slot}")
            for slot in range(len(self._runs))
        ]

    @property
    def tasks(self) -> Sequence[asyncio.Task[None]]:
        """A task for each slot, which ends only when it is cancelled or dies."""
        return self._tasks

    @property
    def alive(self) -> bool:
        """Whether every slot works."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    async def close(self) -> list[Ticket[In, Out]]:
        """Stop now; the tickets of the batches under way, which nobody sees through."""
        for task in self._tasks:
            task.cancel()
        riding = [ticket for riders in self.riding for ticket in riders]
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._cores.leave(self.share)
        return riding

    # --- the queue has changed

    def wake(self, tickets: int = 1) -> None:
        """Somebody has begun to wait, or several tickets at once."""
        if self._idle:
            for _ in range(min(tickets, len(self._idle))):
                idle = self._idle.popleft()
                if not idle.done():
                    idle.set_result(None)
        elif self._ahead and self._queue.rows >= self._full and not self._next:
            self._send_ahead(self._clock())

    def _enough(self) -> int:
        """Rows that fill a batch."""
        return self._cost.cheapest_rows(self._max_rows) if self._cost else self._max_rows

    def _send_ahead(self, now: float) -> None:
        """Hand the next batch to the thread, if it would otherwise wait for the event loop."""
        running, turn_s = self._running, self._admission.turn_s
        if running is None or self._next or turn_s < AHEAD_FROM_S or self._cores.wanted:
            return
        if self._turn is None or self._turn.lent:
            return
        begins = self._forecast.free_at(0)
        if now < begins - _AHEAD_TURNS * turn_s:
            return
        cut = self._queue.take(max(now, begins))
        self._refuse(cut.overdue)
        if cut.overdue:
            self._admission.observe_batch(missed=True)
        if cut.riders:
            self._next = self._set_off(0, cut.riders, max(now, begins))
            self._turn.goes_on()

    # --- one slot

    async def _work(self, slot: int) -> None:
        """Wait for somebody, take, run, scatter, for ever."""
        ended_at: float | None = None
        while True:
            if not self._queue.rows:
                ended_at = None
                await self._until_somebody_waits()
            await self._gather()
            asked = self._clock()
            self._forecast.asks(slot, asked)
            async with self._cores.turn(self._threads, self.share) as turn:
                now = self._clock()
                self._forecast.gets(slot, now, yields=self.share.in_overload(now))
                if ended_at is not None:
                    ended_at += now - asked  # what others have run is no part of our cycle
                cut = self._queue.take(now)
                self._refuse(cut.overdue)
                if cut.overdue:
                    self._admission.observe_batch(missed=True)
                ride = self._set_off(slot, cut.riders, now) if cut.riders else None
                del cut  # nothing of a batch is held while nobody waits
                while ride:
                    self._running, self._turn = ride, turn
                    rows, length = ride.batch.rows, ride.batch.length
                    turn.begins(rows, self._cost.predict(rows, length) if self._cost else 0.0)
                    if self._ahead and self._queue.rows >= self._enough():
                        self._send_ahead(self._clock())
                    ended_at = await self._see_through(slot, ride, ended_at)
                    ride, self._next, self._running = self._next, None, None

    async def _until_somebody_waits(self) -> None:
        self._rest()
        idle = asyncio.get_running_loop().create_future()
        self._idle.append(idle)
        await idle

    async def _gather(self) -> None:
        """Let those aboard who are at the door: requests whose bytes are here already.

        As long as turns of the event loop bring more tickets, more are taken, up to a
        well-filled batch. It waits for nobody who is not here; but on a busy core it
        makes two batches of 30 out of one of 4 and one of 56.
        """
        seen = quiet = 0
        enough = self._enough()
        while 0 < self._queue.rows < enough and quiet < QUIET_TURNS:
            quiet = quiet + 1 if self._queue.rows == seen else 0
            seen = self._queue.rows
            await asyncio.sleep(0)

    def _set_off(
        self, slot: int, riders: Sequence[Ticket[In, Out]], now: float
    ) -> _Ride[In, Out] | None:
        """Begin to run a batch, at an instant that may be a little ahead."""
        batch = Batch(
            rows=sum(map(_rows, riders)),
            length=max(map(_length, riders)),
            cut_at=now,
        )
        if batch.length:
            batch.work = sum(ticket.rows * ticket.length for ticket in riders)
        self.riding.append(riders)
        try:
            self._forecast.begins(slot, batch.rows, batch.length, now)
            for ticket in riders:
                ticket.batch = batch
            self._tell("batch_cut", batch, riders)
            payloads = list(map(_payload, riders))
            report = self._executor.run(partial(run_isolated, self._runs[slot], payloads))
            return _Ride(riders, batch, report)
        except Exception as error:
            self._fail(riders, error)
            return None

    async def _see_through(
        self, slot: int, ride: _Ride[In, Out], began: float | None
    ) -> float | None:
        """Answer a batch's riders whatever happens; when it ended, or None if nobody knows.

        began: when the slot's last batch ended, if it has not rested since.
        """
        try:
            report = await ride.report
            return self._arrived(slot, ride, report, began)
        except Exception as error:
            self._fail(ride.riders, error)
            return None
        finally:
            if ride.riders in self.riding:
                self.riding.remove(ride.riders)

    def _arrived(
        self, slot: int, ride: _Ride[In, Out], report: Report[Out], began: float | None
    ) -> float:
        batch = ride.batch
        batch.ended_at, batch.run_s, batch.runs = self._clock(), report.run_s, report.runs
        scatter(ride.riders, report.results, self._clock)
        # An answer is with its caller only after a turn of the event loop.
        answered_at = batch.ended_at + self._admission.turn_s
        self._admission.observe_batch(any(answered_at > one.deadline for one in ride.riders))
        # A lone rider that failed says nothing of what a run takes.
        failed = isinstance(report.results[0], RunFailed)
        if self._cost and batch.runs == 1 and not failed:
            self._cost.observe(batch.rows, batch.length, batch.run_s)
            if began is not None:
                self._cost.observe_cycle(batch.rows, batch.run_s, batch.ended_at - began)
            self._full = self._enough()
        self._forecast.ends(slot)
        if self._next:
            following = self._next.batch
            following.cut_at = batch.ended_at
            self._forecast.begins(slot, following.rows, following.length, batch.ended_at)
        asyncio.get_running_loop().call_soon(self._on_turn, batch.ended_at)
        self._tell("batch_done", batch, ride.riders)
        return batch.ended_at

    def _fail(self, riders: Sequence[Ticket[In, Out]], error: Exception) -> None:
        """Nothing that goes wrong with one batch may end the slot."""
        logger.error("a batch of %d failed outside its run", len(riders), exc_info=error)
        failure = RunFailed("it could not be carried out")
        failure.__cause__ = error
        for ticket in riders:
            ticket.fail(failure)
        if riders[0].batch:
            self._tell("batch_done", riders[0].batch, riders)
        if riders in self.riding:
            self.riding.remove(riders)

    def _on_turn(self, began: float) -> None:
        self._admission.observe_turn(self._clock() - began)
