"""The asyncio shell: callers on one side, batches on the other.

    submit ─► admission ─► queue ─► take ─► executor ─► scatter ─► each caller's future

What is here is the callers' side, and the batcher's life; `slots.py` is the batches'
side. All decisions are made elsewhere; both only carry them out.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, Sequence
from math import inf
from typing import Any, Generic, Self, cast

from .admission import Admission
from .alarm import Alarm
from .cores import Cores
from .cost import CostModel
from .errors import DeadlineExceeded, Draining, QueueFull, Rejected
from .executor import Executor, ThreadExecutor
from .forecast import Forecast
from .isolate import Run
from .observer import BatchObserver
from .parts import Apart, Divide, Rejoin, divided, rows_apart
from .plan import Cheapest, FirstCome
from .queue import BatchQueue
from .slots import Slots
from .ticket import Alike, In, Out, Reply, Ticket

# Where the event loop and a run share a core, the loop goes first: callers who must be
# refused, and answers that are ready, wait for it. At three times the capacity a fifth as
# many answers came late so, and as many in time.
RUN_NICE = 1

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
        apart: Apart[In] | None = None,
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
        divide, rejoin: how to cut a payload of more rows than a batch should have into pieces,
            and how to make one result of theirs; without them it runs alone, uncut.
        apart: how to cut one whose rows have lengths of their own into its rows.
        executor: where it runs; a thread for each slot if not given. Not closed by `close`
            if given.
        clock: seconds, never going back; deadlines are instants of it.
        """
        runs = [run] if callable(run) else list(run)
        self._cost = cost
        self._queue: BatchQueue[In, Out] = BatchQueue(
            Cheapest(cost, max_rows) if cost else FirstCome(max_rows)
        )
        self._max_rows = max_rows
        self._slot_count = len(runs)
        self._forecast = Forecast(cost, self._queue, max_rows=max_rows, slots=len(runs))
        self.admission = Admission(max_rows=max_queue_rows)
        self._divide, self._apart, self._rejoin = divide, apart, rejoin
        self._owns_executor = executor is None
        self._executor: Executor = executor or ThreadExecutor(len(runs), nice=RUN_NICE)
        self._observer = observer
        self._clock = clock
        self._slots: Slots[In, Out] = Slots(
            runs,
            self._queue,
            max_rows=max_rows,
            cost=cost,
            forecast=self._forecast,
            admission=self.admission,
            cores=cores or Cores(len(runs)),
            threads=threads,
            executor=self._executor,
            ahead=self._owns_executor,
            clock=clock,
            tell=self._tell,
            refuse=self._refuse,
            rest=self._rest,
        )
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

    async def carry(self, ticket: Ticket[In, Out], *, lengths: Sequence[int] = ()) -> Out:
        """`submit` for who wants to look at the ticket afterwards. Its reply must be a future."""
        self.put(ticket, lengths=lengths)
        try:
            return await cast("asyncio.Future[Out]", ticket.reply)
        except asyncio.CancelledError:
            self.discard(ticket)
            raise

    def put(
        self, ticket: Ticket[In, Out], *, in_time: bool = False, lengths: Sequence[int] = ()
    ) -> None:
        """Let a ticket wait, or raise a `Rejected` and never touch its reply.

        For callers that have a reply of their own; on the event loop's thread only.
        in_time: the caller has just been told by `needed_s` that there is time for it.
        lengths: of each of its rows, if they are padded to the longest.
        """
        if not (in_time and self.admission.has_room(ticket.rows, self._queue.rows)):
            self._admit(ticket, inf if in_time else ticket.deadline, lengths)
        tickets = 1
        if ticket.rows > 1 and (parts := self._parts(ticket, lengths)):
            tickets = len(parts)
            for part in parts:
                self._queue.put(part)
        else:
            self._queue.put(ticket)
        if ticket.latest_start < self._alarm.at:
            self._alarm.set(ticket.latest_start)
        self._slots.wake(tickets)

    def put_alike(
        self, payload: In, reply: Reply[Out], arrived: float, alike: Alike, *, in_time: bool
    ) -> Ticket[In, Out]:
        """`ticket` and `put` in one, for a request that is like others before it."""
        rows, key, priority, timeout_s = alike
        alone_s, _, work_s, _ = self._forecast.shares(rows, 0)
        deadline = arrived + timeout_s
        ticket = Ticket(payload, reply, arrived, rows, 0, key, priority, deadline, alone_s, work_s)
        if rows > 1 or not (in_time and self.admission.has_room(1, self._queue.rows)):
            self.put(ticket, in_time=in_time)
            return ticket
        self._queue.put(ticket)
        if deadline - alone_s < self._alarm.at:
            self._alarm.set(deadline - alone_s)
        self._slots.wake()
        return ticket

    def _admit(self, ticket: Ticket[In, Out], deadline: float, lengths: Sequence[int]) -> None:
        now, length = self._clock(), ticket.length
        if self._apart and len(lengths) > 1:
            length = -(-sum(lengths) // len(lengths))  # what it takes, nearly: costs are near lines
        try:
            self.check(ticket.rows, length, ticket.priority, deadline, now)
        except Rejected as error:
            if isinstance(error, QueueFull):  # who is too late is counted where it is found out
                self._slots.share.lose(ticket.rows, now)
            self._tell("refused", ticket, error)
            raise

    def _parts(self, ticket: Ticket[In, Out], lengths: Sequence[int]) -> list[Ticket[In, Out]]:
        """What it is to be cut into; nothing if it rides as it is."""
        if self._rejoin is None:
            return []
        slots = self._slot_count
        if self._apart and len(lengths) > 1:
            costs = self._row_costs
            return rows_apart(ticket, lengths, self._apart, self._rejoin, costs, slots=slots)
        most = self._queue.plan.most_rows(ticket.length)
        if self._divide and ticket.rows > most:
            return divided(ticket, most, self._divide, self._rejoin, slots=slots)
        return []

    def _row_costs(self, length: int) -> tuple[float, float]:
        shares = self._forecast.shares(1, length)
        return shares.alone_s, shares.work_s

    def check(self, rows: int, length: int, priority: int, deadline: float, now: float) -> None:
        """Raise the `Rejected` that such a ticket would get now, if it would get one."""
        row_s = self._forecast.shares(1, length).work_s
        self.admission.check_room(rows, waiting=self._queue.rows, row_s=row_s)
        if deadline < inf:
            needed_s = self.needed_s(
                rows, length, priority=priority, deadline=deadline, enough_s=deadline - now
            )
            self.admission.check_time(needed_s=needed_s, allowed_s=deadline - now)

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
        at_most_s = self.admission.needed_s(self._forecast.at_most_s(rows, length))
        if at_most_s <= enough_s:
            return at_most_s
        now = self._clock()
        answer_s = self._forecast.answer_s(rows, length, now, priority=priority, deadline=deadline)
        if self._forecast.idle:
            return answer_s
        needed_s = self.admission.needed_s(answer_s)
        # Whoever asks tells him so; more cores would help him unless no run is that short.
        if needed_s > enough_s > self._forecast.shares(rows, length).alone_s:
            self._slots.share.lose(rows, now)
        return needed_s

    def at_most_s(self) -> float:
        """More than `needed_s` would say to a request of one row, in next to no time."""
        return self.admission.needed_s(self._forecast.beside_queue_s + self._queue.work_s)

    def discard(self, ticket: Ticket[In, Out]) -> None:
        """Forget a ticket whose caller has gone. What rides already goes on riding."""
        waited = self._queue.discard(ticket)
        if waited or not (ticket.batch and ticket.batch.ended_at):
            ticket.left = True
            self._tell("left", ticket)

    @property
    def waiting_rows(self) -> int:
        """Rows in the queue."""
        return self._queue.rows

    # --- deadlines

    def _on_deadline(self) -> None:
        self._refuse(self._queue.overdue(self._clock()))
        self._alarm.set(self._queue.next_late_at())

    def _refuse(self, overdue: Sequence[Ticket[In, Out]]) -> None:
        now = self._clock()
        for ticket in overdue:
            self._slots.share.lose(ticket.rows, now)
            error = DeadlineExceeded(waited_s=now - ticket.arrived)
            ticket.fail(error)
            self._tell("refused", ticket, error)

    def _rest(self) -> None:
        """Nobody waits: leave nothing behind that would wake us."""
        self._alarm.set(inf)
        if self._drained and not self._slots.riding and not self._drained.done():
            self._drained.set_result(None)

    # --- life

    def start(self) -> None:
        """Begin to take batches. On the event loop's thread, once."""
        self._slots.start()

    @property
    def alive(self) -> bool:
        """Whether a ticket that is put in now will be answered."""
        return self._slots.alive and self._executor.alive

    async def drain(self, timeout_s: float = inf) -> bool:
        """Refuse what comes, finish what is here; say whether that could be done in time."""
        self.admission.draining = True
        if not self._slots.tasks or not (len(self._queue) or self._slots.riding):
            return True
        self._drained = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait(
            [self._drained, *self._slots.tasks],
            timeout=None if timeout_s == inf else timeout_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        return self._drained in done

    async def close(self) -> None:
        """Stop now: whoever is still here gets `Draining`. Safe to call twice."""
        self.admission.draining = True
        for ticket in [*await self._slots.close(), *self._queue.clear()]:
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
