"""Threads for what goes before and after the models: whose turn it is, and how long the line is.

    before ─► line ─► thread ─► the model's queue … run ─► thread ─► after

A step is a plain function for one request, and may take as long as a run. So it has a
line like the model's own: bounded, in order of priority and deadline, and looked at before
anybody is let in. What goes after a run goes first, for most of its work is done. Of several
models each has its turn, so that one with more than it can do holds up only its own callers.

All on the event loop's thread, but for the steps themselves.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import Any, Final

from batching import DeadlineExceeded, Draining, Executor
from batching.alarm import Alarm

from .step_cost import StepCost

BEST: Final = 0
"""A priority that is better than any."""
WORST: Final = 1 << 30

# More than one a thread, so that none waits for the event loop between two.
_AHEAD = 2

# A timer may ring a little before its time.
_AT_ONCE_S = 1e-4

# One in which a step is told of, and one in which whoever awaits it goes on.
_TURNS_TO_TELL = 3

# So many entries of those who wait no more may stay where others wait.
_SPARE_ENTRIES = 64

Then = Callable[[Any], None]
"""Told, on the event loop, what a step returned or raised."""


class Line:
    """One model's steps before its queue: who waits, and what one takes."""

    def __init__(self) -> None:
        self.rows = 0
        """Of those who wait, and of those whose step is under way."""
        self.before = StepCost()
        """What a thread takes for a request before the model."""
        self.after = StepCost()
        """And after it; its rows are not counted."""
        self.steps: list[tuple[int, float, int, Step]] = []
        """A heap: by priority, deadline, arrival. Who has left or was late is still in it."""
        self._over = 0
        self._waiting, self._waiting_rows = Counter[int](), Counter[int]()

    def ahead(self, priority: int = WORST) -> tuple[int, float]:
        """Of those who wait and go before one of such priority: how many, and their seconds."""
        count = sum(count for one, count in self._waiting.items() if one <= priority)
        rows = sum(rows for one, rows in self._waiting_rows.items() if one <= priority)
        before = self.before
        return count, rows * before.row_s + count * (before.each_s + self.after.predict(1))

    def enter(self, step: "Step", number: int) -> None:
        """Let it wait."""
        heappush(self.steps, (step.priority, step.deadline, number, step))
        self._waiting[step.priority] += 1
        self._waiting_rows[step.priority] += step.rows

    def take(self) -> "Step | None":
        """Who is first, and waits no more; None if he had left before."""
        step = heappop(self.steps)[-1]
        if step.state == _OVER:
            self._over -= 1
            return None
        self._waits_no_more(step)
        return step

    def leave(self, step: "Step") -> None:
        """It is over before its turn came."""
        self._waits_no_more(step)
        self._over += 1
        if self._over > len(self.steps) // 2 + _SPARE_ENTRIES:
            self.steps = [one for one in self.steps if one[-1].state == _WAITS]
            heapify(self.steps)
            self._over = 0

    def _waits_no_more(self, step: "Step") -> None:
        self._waiting[step.priority] -= 1
        self._waiting_rows[step.priority] -= step.rows

    def observe(self, step: "Step") -> None:
        """Learn from a step that was done."""
        cost = self.after if step.is_after else self.before
        cost.observe(step.rows, step.took_s)


_WAITS, _RUNS, _OVER = range(3)


class Step:
    """Something to be done for one request."""

    __slots__ = (
        "arrived",
        "deadline",
        "expected_s",
        "is_after",
        "left",
        "line",
        "priority",
        "rows",
        "state",
        "then",
        "took_s",
        "work",
    )

    def __init__(
        self,
        work: Callable[[], Any],
        then: Then,
        line: Line,
        rows: int = 1,
        priority: int = BEST,
        arrived: float = 0.0,
        deadline: float = inf,
        *,
        is_after: bool = False,
    ) -> None:
        self.work, self.then, self.line, self.rows = work, then, line, rows
        self.priority, self.arrived, self.deadline = priority, arrived, deadline
        self.is_after = is_after
        self.expected_s = (line.after if is_after else line.before).predict(rows)
        self.took_s = 0.0
        self.state = _WAITS
        self.left = False


class Helpers:
    """Some threads, and the lines before them."""

    def __init__(
        self, executor: Executor, threads: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """executor: of so many threads; closed with this. clock: of deadlines, in seconds."""
        self._executor, self._threads, self._clock = executor, threads, clock
        self._most = _AHEAD * threads
        self._running: set[Step] = set()
        """Handed to the threads."""
        self._running_s = 0.0
        self._last: deque[Step] = deque()
        """Who waits for what goes after a run."""
        self._last_s = 0.0
        self._turns: deque[Line] = deque()
        """Where somebody waits; the first is the next."""
        self._by_deadline: list[tuple[float, int, Step]] = []
        """A heap of all who wait before a run, and of some who do no more."""
        self._waiting = 0
        """Before a run."""
        self._number = count()
        self._alarm = Alarm(clock, self._on_deadline)
        self._closed = False

    def wait_s(self, line: Line, priority: int = BEST) -> float:
        """Seconds until a thread would take up a step that came now; 0 where nobody waits."""
        if not self._turns and len(self._running) < self._most:
            return 0.0
        steps, work_s = line.ahead(priority)
        for other in self._turns:
            if other is not line:
                # As many turns as we wait for, each for one of its steps, until it has no more.
                its_steps, its_work_s = other.ahead()
                work_s += its_work_s * min(1.0, (steps + 1) / max(1, its_steps))
        return (self._running_s + self._last_s + work_s) / self._threads

    def before(
        self,
        line: Line,
        work: Callable[[], Any],
        then: Then,
        *,
        rows: int,
        priority: int,
        arrived: float,
        deadline: float,
    ) -> Step:
        """Do something before a model's queue; `then` gets a DeadlineExceeded if it is too late.

        deadline: an instant of the clock by which it must have begun. Raises Draining once this
        is closed; `then` gets one if that happens while it waits.
        """
        self._refuse_when_closed()
        step = Step(work, then, line, rows, priority, arrived, deadline)
        if len(self._running) < self._most:
            self._begin(step)
        else:
            number = next(self._number)
            if not line.steps:
                self._turns.append(line)
            line.enter(step, number)
            self._waiting += 1
            if deadline < inf:
                heappush(self._by_deadline, (deadline, number, step))
            if deadline < self._alarm.at:
                self._alarm.set(deadline)
        line.rows += rows
        return step

    def after(self, line: Line, work: Callable[[], Any], then: Then) -> Step:
        """Do something after a run."""
        self._refuse_when_closed()
        step = Step(work, then, line, is_after=True)
        if len(self._running) < self._most:
            self._begin(step)
        else:
            self._last.append(step)
            self._last_s += step.expected_s
        return step

    def discard(self, step: Step) -> None:
        """Its caller has gone: what has not begun never will, and `then` is not called."""
        step.left = True
        if step.state == _WAITS:
            self._leave(step)

    async def close(self) -> None:
        """Wait for what runs, and run no more: who waits is told a Draining before it ends."""
        self._closed = True
        self._alarm.set(inf)
        for step in [*self._last, *(one[-1] for line in self._turns for one in line.steps)]:
            if step.state == _WAITS:
                self._tell_over(step, Draining())
        self._last.clear()
        self._last_s = 0.0
        self._turns.clear()
        self._by_deadline.clear()
        # A step cannot be interrupted; wait for it without stopping the event loop.
        await asyncio.to_thread(self._executor.close)
        # Those that have ended are told by now. The others the threads had, and did not begin.
        dropped, self._running = self._running, set()
        for step in dropped:
            asyncio.get_running_loop().call_soon(self._done, step, Draining())
        for _ in range(_TURNS_TO_TELL):
            await asyncio.sleep(0)

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise Draining

    # --- steps come and go

    def _begin(self, step: Step) -> None:
        self._executor.start(partial(self._run, step), partial(self._done, step))
        step.state = _RUNS
        self._running.add(step)
        self._running_s += step.expected_s

    def _run(self, step: Step) -> Any:
        """On a thread, perhaps a while after it was handed over."""
        began = self._clock()
        if step.left:
            return None
        if step.deadline <= began:
            raise DeadlineExceeded(waited_s=began - step.arrived)
        try:
            return step.work()
        finally:
            step.took_s = self._clock() - began

    def _done(self, step: Step, came: Any) -> None:
        self._running.discard(step)
        self._running_s = self._running_s - step.expected_s if self._running else 0.0
        then = step.then
        if step.took_s:
            step.line.observe(step)
        self._over(step)
        if (self._turns or self._last) and not self._closed:
            self._go_on()
        if not step.left:
            then(came)

    def _over(self, step: Step) -> None:
        """Let go of everything: what holds a step would hold its request's tensors."""
        if not step.is_after:
            step.line.rows -= step.rows
        step.state = _OVER
        del step.work, step.then

    def _leave(self, step: Step) -> None:
        """It is over, and was never begun."""
        self._over(step)
        if step.is_after:
            return  # as many as rode, at most, and the next turn is theirs
        step.line.leave(step)
        if not step.line.steps and step.line in self._turns:
            self._turns.remove(step.line)
        self._waiting -= 1
        self._tidy()

    def _tidy(self) -> None:
        """Nobody's entry stays for as long as his deadline is away."""
        if len(self._by_deadline) > 2 * self._waiting + _SPARE_ENTRIES:
            self._by_deadline = [one for one in self._by_deadline if one[-1].state == _WAITS]
            heapify(self._by_deadline)

    def _tell_over(self, step: Step, error: Exception) -> None:
        then = step.then
        self._leave(step)
        # By a turn of the loop: whatever it does, it does not disturb us.
        asyncio.get_running_loop().call_soon(_tell, step, then, error)

    def _go_on(self) -> None:
        while len(self._running) < self._most and self._last:
            step = self._last.popleft()
            self._last_s = self._last_s - step.expected_s if self._last else 0.0
            if step.state == _WAITS:
                self._begin(step)
        while len(self._running) < self._most and self._turns:
            line = self._turns[0]
            next_ = line.take()
            if next_ is not None:
                self._waiting -= 1
                self._begin(next_)
                self._turns.rotate(-1)
            if not line.steps:
                self._turns.remove(line)
        if not self._turns:
            self._by_deadline.clear()
            self._alarm.set(inf)
        self._tidy()

    def _on_deadline(self) -> None:
        """Somebody's time has run out: he is told so at once, wherever he stands."""
        now = self._clock()
        waiting = self._by_deadline
        while waiting and (waiting[0][-1].state != _WAITS or waiting[0][0] <= now + _AT_ONCE_S):
            step = heappop(waiting)[-1]
            if step.state == _WAITS:
                self._tell_over(step, DeadlineExceeded(waited_s=now - step.arrived))
                waiting = self._by_deadline  # it may have been tidied
        self._alarm.set(waiting[0][0] if waiting else inf)


def _tell(step: Step, then: Then, error: Exception) -> None:
    if not step.left:
        then(error)
