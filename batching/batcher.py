"""The asyncio shell: callers on one side, batches on the other.

    submit ─► admission ─► queue ─► take ─► executor ─► scatter ─► each caller's future

One coroutine a slot takes a batch when it is free and somebody waits, lets the
executor run it, and answers every rider. There is no timer between a waiting
ticket and a free slot: batches grow because the slots are busy. All decisions
are made elsewhere; what is here only carries them out.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from math import inf
from typing import Any, Generic, Self, cast

from .admission import Admission
from .alarm import Alarm
from .cores import Cores
from .cost import CostModel
from .errors import DeadlineExceeded, Draining, Rejected, RunFailed
from .executor import Executor, ThreadExecutor
from .forecast import Forecast
from .isolate import Report, Run, run_isolated
from .observer import BatchObserver
from .parts import Divide, Rejoin, divided
from .plan import Cheapest, FirstCome
from .queue import BatchQueue
from .scatter import scatter
from .ticket import Batch, In, Out, Reply, Ticket

# From a request's bytes to its ticket takes up to two turns of the event loop: behind an
# ASGI server one reads them and starts a task, and the next runs it.
QUIET_TURNS = 2

logger = logging.getLogger(__name__)


class Batcher(Generic[In, Out]):
    """Turns many small calls into few large ones.

    >>> import asyncio
    >>> async def main():
    ...     async with Batcher(lambda numbers: [n * n for n in numbers]) as batcher:
    ...         return await asyncio.gather(*(batcher.submit(n) for n in range(4)))
    >>> asyncio.run(main())
    [0, 1, 4, 9]

    The function gets a list of payloads and returns as many results, in the same
    order. It runs in a thread, so it may block.
    """

    def __init__(
        self,
        run: Run[In, Out] | Sequence[Run[In, Out]],
        *,
        max_rows: int = 64,
        max_queue_rows: int = 4096,
        cost: CostModel | None = None,
        cores: Cores | None = None,
        threads: int = 1,
        divide: Divide[In] | None = None,
        rejoin: Rejoin[Out] | None = None,
        executor: Executor | None = None,
        observer: BatchObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        run: the function; or one for each slot, if several batches may run at one time.
        max_rows: rows of the largest batch.
        max_queue_rows: rows that may wait; more are refused with `QueueFull`.
        cost: what batches cost. With it the riders are chosen for the least cost, and who
            would be late is refused; without, whoever comes first rides first.
        cores, threads: the machine's tokens, shared with other batchers, and how many a run takes.
        divide, rejoin: how to cut a payload of more than `max_rows` rows into pieces,
            and how to make one result of theirs; without them it runs alone, uncut.
        executor: where it runs; a thread for each slot if not given. Not closed by `close`
            if given.
        clock: seconds, never going back; deadlines are instants of it.
        """
        self._runs = [run] if callable(run) else list(run)
        self._cost = cost
        self._queue: BatchQueue[In, Out] = BatchQueue(
            Cheapest(cost, max_rows) if cost else FirstCome(max_rows)
        )
        self._max_rows = max_rows
        self._forecast = Forecast(cost, self._queue, max_rows=max_rows, slots=len(self._runs))
        self._admission = Admission(max_rows=max_queue_rows)
        self._cores, self._threads = cores or Cores(len(self._runs)), threads
        self._divide, self._rejoin = divide, rejoin
        self._owns_executor = executor is None
        self._executor: Executor = executor or ThreadExecutor(len(self._runs))
        self._observer = observer
        self._clock = clock
        self._idle: deque[asyncio.Future[None]] = deque()
        self._riding: list[Sequence[Ticket[In, Out]]] = []
        self._slots: list[asyncio.Task[None]] = []
        self._alarm = Alarm(clock, self._on_deadline)
        self._drained: asyncio.Future[None] | None = None

    # --- the caller's side

    async def submit(
        self,
        payload: In,
        *,
        rows: int = 1,
        length: int = 0,
        key: Hashable = None,
        priority: int = 0,
        timeout_s: float = inf,
    ) -> Out:
        """Wait for a place in a batch, and for the payload's own result.

        Raises `Rejected` if it was never queued, `DeadlineExceeded` if `timeout_s` passed
        before it could run, `RunFailed` if the run raised. Cancelling leaves the queue.
        """
        return await self.carry(
            self.ticket(
                payload,
                rows=rows,
                length=length,
                key=key,
                priority=priority,
                timeout_s=timeout_s,
            )
        )

    def ticket(
        self,
        payload: In,
        *,
        rows: int = 1,
        length: int = 0,
        key: Hashable = None,
        priority: int = 0,
        timeout_s: float = inf,
        arrived: float | None = None,
        reply: Reply[Out] | None = None,
    ) -> Ticket[In, Out]:
        """A ticket for `carry` or `put`, that arrives now or did so at an instant of the clock.

        Its reply is a future, unless the caller has one of its own for `put`.
        """
        now = self._clock() if arrived is None else arrived
        if reply is None:
            reply = asyncio.get_running_loop().create_future()
        alone_s, _, work_s, _ = self._forecast.shares(rows, length)
        return Ticket(
            payload, reply, now, rows, length, key, priority, now + timeout_s, alone_s, work_s
        )

    async def carry(self, ticket: Ticket[In, Out]) -> Out:
        """`submit` for who wants to look at the ticket afterwards. Its reply must be a future."""
        self.put(ticket)
        try:
            return await cast("asyncio.Future[Out]", ticket.reply)
        except asyncio.CancelledError:
            self.discard(ticket)
            raise

    def put(self, ticket: Ticket[In, Out]) -> None:
        """Let a ticket wait, or raise a `Rejected` and never touch its reply.

        For callers that have a reply of their own; on the event loop's thread only.
        """
        try:
            self.check(ticket.rows, ticket.length, ticket.priority, ticket.deadline)
        except Rejected as error:
            self._tell("refused", ticket, error)
            raise
        if ticket.rows > self._max_rows and self._divide and self._rejoin:
            for part in divided(ticket, self._max_rows, self._divide, self._rejoin):
                self._queue.put(part)
        else:
            self._queue.put(ticket)
        self._tell("queued", ticket)
        if ticket.latest_start < self._alarm.at:
            self._alarm.set(ticket.latest_start)
        if self._idle:
            idle = self._idle.popleft()
            if not idle.done():
                idle.set_result(None)

    def check(self, rows: int, length: int, priority: int, deadline: float) -> None:
        """Raise the `Rejected` that such a ticket would get now, if it would get one."""
        row_s = self._forecast.shares(1, length).work_s
        self._admission.check_room(rows, waiting=self._queue.rows, row_s=row_s)
        if deadline < inf:
            now = self._clock()
            needed_s = self.needed_s(
                rows, length, priority=priority, deadline=deadline, enough_s=deadline - now
            )
            self._admission.check_time(needed_s=needed_s, allowed_s=deadline - now)

    def needed_s(
        self,
        rows: int = 1,
        length: int = 0,
        *,
        priority: int = 0,
        deadline: float = inf,
        enough_s: float = 0.0,
    ) -> float:
        """What the caller of a request that comes now must allow; 0 without a cost model.

        enough_s: where it is surely less than this, that is said in a rough figure, for
        a fraction of the cost.
        """
        at_most_s = self._admission.needed_s(self._forecast.at_most_s(rows, length))
        if at_most_s <= enough_s:
            return at_most_s
        answer_s = self._forecast.answer_s(
            rows, length, self._clock(), priority=priority, deadline=deadline
        )
        return answer_s if self._forecast.idle else self._admission.needed_s(answer_s)

    def discard(self, ticket: Ticket[In, Out]) -> None:
        """Forget a ticket whose caller has gone. What rides already goes on riding."""
        self._queue.discard(ticket)

    @property
    def waiting_rows(self) -> int:
        """Rows in the queue."""
        return self._queue.rows

    # --- the batch's side

    async def _work(self, slot: int) -> None:
        """One slot: wait for somebody, take, run, scatter, for ever."""
        ended_at: float | None = None
        while True:
            if not self._queue.rows:
                ended_at = None
                await self._until_somebody_waits()
            await self._gather()
            async with self._cores.turn(self._threads, self._queue.least_slack):
                cut = self._queue.take(self._clock())
                self._refuse(cut.overdue)
                if cut.riders:
                    ended_at = await self._carry_out(slot, cut.riders, ended_at)

    async def _until_somebody_waits(self) -> None:
        self._rest()
        idle = asyncio.get_running_loop().create_future()
        self._idle.append(idle)
        await idle

    async def _gather(self) -> None:
        """Let those aboard who are at the door: requests whose bytes are here already.

        As long as turns of the event loop bring more tickets, more are taken, up to a
        full batch. It waits for nobody who is not here; but on a busy core it makes
        two batches of 30 out of one of 4 and one of 56.
        """
        seen = quiet = 0
        while 0 < self._queue.rows < self._max_rows and quiet < QUIET_TURNS:
            quiet = quiet + 1 if self._queue.rows == seen else 0
            seen = self._queue.rows
            await asyncio.sleep(0)

    async def _carry_out(
        self, slot: int, riders: Sequence[Ticket[In, Out]], began: float | None
    ) -> float | None:
        """Run a batch whatever happens; when it ended, or None if that teaches nothing."""
        self._riding.append(riders)
        try:
            return await self._ride(slot, riders, began)
        except Exception as error:
            # Nothing that goes wrong with one batch may end the slot.
            logger.exception("a batch of %d failed outside its run", len(riders))
            failure = RunFailed("it could not be carried out")
            failure.__cause__ = error
            for ticket in riders:
                ticket.fail(failure)
            return None
        finally:
            self._riding.remove(riders)

    async def _ride(
        self, slot: int, riders: Sequence[Ticket[In, Out]], began: float | None
    ) -> float:
        """Run a batch and answer its riders. `began`: when the slot's last batch ended."""
        batch = Batch(
            rows=sum(ticket.rows for ticket in riders),
            length=max(ticket.length for ticket in riders),
            cut_at=self._clock(),
        )
        self._forecast.begins(slot, batch.rows, batch.length, batch.cut_at)
        for ticket in riders:
            ticket.batch = batch
        self._tell("batch_cut", batch, riders)
        report: Report[Out] = await self._executor.run(
            partial(run_isolated, self._runs[slot], [ticket.payload for ticket in riders])
        )
        batch.ended_at, batch.run_s, batch.runs = self._clock(), report.run_s, report.runs
        scatter(riders, report.results, batch.ended_at)
        if self._cost and batch.runs == 1:
            self._cost.observe(batch.rows, batch.length, batch.run_s)
            if began is not None:
                self._cost.observe_cycle(batch.rows, batch.run_s, batch.ended_at - began)
        self._forecast.ends(slot)
        asyncio.get_running_loop().call_soon(self._on_turn, batch.ended_at)
        self._tell("batch_done", batch, riders)
        return batch.ended_at

    def _on_turn(self, began: float) -> None:
        self._admission.observe_turn(self._clock() - began)

    # --- deadlines

    def _on_deadline(self) -> None:
        self._refuse(self._queue.overdue(self._clock()))
        self._alarm.set(self._queue.next_late_at())

    def _refuse(self, overdue: Sequence[Ticket[In, Out]]) -> None:
        now = self._clock()
        for ticket in overdue:
            error = DeadlineExceeded(waited_s=now - ticket.arrived)
            ticket.fail(error)
            self._tell("refused", ticket, error)

    def _rest(self) -> None:
        """Nobody waits: leave nothing behind that would wake us."""
        self._alarm.set(inf)
        if self._drained and not self._riding and not self._drained.done():
            self._drained.set_result(None)

    # --- life

    def start(self) -> None:
        """Begin to take batches. On the event loop's thread, once."""
        self._slots = [
            asyncio.create_task(self._work(slot), name=f"batch slot {slot}")
            for slot in range(len(self._runs))
        ]

    @property
    def alive(self) -> bool:
        """Whether a ticket that is put in now will be answered."""
        running = bool(self._slots) and not any(slot.done() for slot in self._slots)
        return running and self._executor.alive

    async def drain(self, timeout_s: float = inf) -> bool:
        """Refuse what comes, finish what is here; say whether that could be done in time."""
        self._admission.draining = True
        if not self._slots or not (len(self._queue) or self._riding):
            return True
        self._drained = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait(
            [self._drained, *self._slots],
            timeout=None if timeout_s == inf else timeout_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        return self._drained in done

    async def close(self) -> None:
        """Stop now: whoever is still here gets `Draining`. Safe to call twice."""
        self._admission.draining = True
        for slot in self._slots:
            slot.cancel()
        riding = [ticket for riders in self._riding for ticket in riders]
        await asyncio.gather(*self._slots, return_exceptions=True)
        for ticket in [*riding, *self._queue.clear()]:
            ticket.fail(Draining())
        self._rest()
        if self._owns_executor:
            # A run cannot be interrupted; wait for it without stopping the event loop.
            await asyncio.to_thread(self._executor.close)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drain()
        await self.close()

    def _tell(self, moment: str, *facts: Any) -> None:
        if self._observer is None:
            return
        try:
            getattr(self._observer, moment)(*facts)
        except Exception:
            logger.exception("an observer failed at %r", moment)
