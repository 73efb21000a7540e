"""Threads for what goes before and after the models: whose turn it is, and how long the line is.

    before ─► line ─► thread ─► the model's queue … run ─► thread ─► after

A step is a plain function for one request, and may take as long as a run. So it has a
line like the model's own: bounded, in order of priority and deadline, and looked at before
anybody is let in. What goes after a run goes first, for most of its work is done. Of several
models each has its turn, so that one with more than it can do holds up only its own callers.

All on the event loop's thread, but for the steps themselves.
"""

import time
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import Any, Final

from batching import DeadlineExceeded, Executor
from batching.alarm import Alarm

BEST: Final = 0
"""A priority that is better than any."""

# More than one a thread, so that none waits for the event loop between two.
_AHEAD = 2

# How far one step moves what is expected of the next; and how much longer than expected
# it counts as at most, so that one odd step is not believed.
_BELIEF = 0.2
_LONGER_S = 1e-3

# A timer may ring a little before its time.
_AT_ONCE_S = 1e-4

Then = Callable[[Any], None]
"""Told, on the event loop, what a step returned or raised."""


class Line:
    """One model's steps before its queue: who waits, and what one takes."""

    def __init__(self) -> None:
        self.rows = 0
        """Of those who wait, and of those whose step is under way."""
        self.row_s = 0.0
        """Seconds that a thread takes for a row."""
        self.steps: list[tuple[int, float, int, Step]] = []
        """A heap: by priority, deadline, arrival."""
        self._waiting = Counter[int]()

    def ahead_s(self, priority: int) -> float:
        """The work of those who wait and go before one of such priority."""
        return self.row_s * sum(rows for one, rows in self._waiting.items() if one <= priority)

    def enter(self, step: "Step", number: int) -> None:
        """Let it wait."""
        heappush(self.steps, (step.priority, step.deadline, number, step))
        self._waiting[step.priority] += step.rows

    def leave(self, step: "Step") -> None:
        """It waits no more."""
        self._waiting[step.priority] -= step.rows

    def observe(self, rows: int, took_s: float) -> None:
        """Learn from a step."""
        seen_s = took_s / rows
        if self.row_s:
            seen_s = min(seen_s, 2 * self.row_s + _LONGER_S)
            self.row_s += _BELIEF * (seen_s - self.row_s)
        else:
            self.row_s = seen_s


class Step:
    """Something to be done for one request."""

    __slots__ = (
        "arrived",
        "deadline",
        "expected_s",
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
        line: Line | None,
        rows: int,
        priority: int,
        arrived: float,
        deadline: float,
    ) -> None:
        self.work, self.then, self.line, self.rows = work, then, line, rows
        self.priority, self.arrived, self.deadline = priority, arrived, deadline
        self.expected_s = 0.0
        self.took_s = 0.0
        self.state = _WAITS
        self.left = False


_WAITS, _RUNS, _OVER = range(3)


class Helpers:
    """Some threads, and the lines before them."""

    def __init__(
        self, executor: Executor, threads: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """executor: of so many threads; closed with this. clock: of deadlines, in seconds."""
        self._executor, self._threads, self._clock = executor, threads, clock
        self._most = _AHEAD * threads
        self._running = 0
        self._running_s = 0.0
        self._last: deque[Step] = deque()
        """Who waits for what goes after a run."""
        self._turns: deque[Line] = deque()
        """Where somebody waits; the first is the next."""
        self._number = count()
        self._alarm = Alarm(clock, self._on_deadline)

    def wait_s(self, line: Line, priority: int = BEST) -> float:
        """Seconds until a thread would take up a step that came now; 0 where nobody waits."""
        if not self._turns and self._running < self._most:
            return 0.0
        # A turn of ours is one of everybody's.
        turns = len(self._turns) + (not line.steps)
        return (self._running_s + turns * line.ahead_s(priority)) / self._threads

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

        deadline: an instant of the clock by which it must have begun.
        """
        step = Step(work, then, line, rows, priority, arrived, deadline)
        if self._running < self._most:
            self._begin(step)
        else:
            if not line.steps:
                self._turns.append(line)
            line.enter(step, next(self._number))
            if deadline < self._alarm.at:
                self._alarm.set(deadline)
        line.rows += rows
        return step

    def after(self, work: Callable[[], Any], then: Then) -> Step:
        """Do something after a run."""
        step = Step(work, then, None, 1, BEST, 0.0, inf)
        if self._running < self._most:
            self._begin(step)
        else:
            self._last.append(step)
        return step

    def discard(self, step: Step) -> None:
        """Its caller has gone: what has not begun never will, and `then` is not called."""
        step.left = True
        if step.state == _WAITS:
            self._over(step)

    def close(self) -> None:
        """Wait for what runs, and run no more; who still waits is never told."""
        self._alarm.set(inf)
        self._executor.close()

    # --- steps come and go

    def _begin(self, step: Step) -> None:
        self._executor.start(partial(self._run, step), partial(self._done, step))
        step.state = _RUNS
        step.expected_s = step.rows * step.line.row_s if step.line else 0.0
        self._running += 1
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
        self._running -= 1
        self._running_s = self._running_s - step.expected_s if self._running else 0.0
        then = step.then
        if step.line is not None and step.took_s:
            step.line.observe(step.rows, step.took_s)
        self._over(step)
        if self._turns or self._last:
            self._go_on()
        if not step.left:
            then(came)

    def _over(self, step: Step) -> None:
        """Let go of everything: what holds a step would hold its request's tensors."""
        if step.line is not None:
            step.line.rows -= step.rows
            if step.state == _WAITS:
                step.line.leave(step)
        step.state = _OVER
        del step.work, step.then

    def _go_on(self) -> None:
        while self._running < self._most and self._last:
            step = self._last.popleft()
            if step.state == _WAITS:
                self._begin(step)
        while self._running < self._most and self._turns:
            line = self._turns.popleft()
            step = heappop(line.steps)[-1]
            if line.steps:
                self._turns.append(line)
            if step.state == _OVER:
                continue
            if step.deadline <= self._clock():
                self._late(step)
                continue
            line.leave(step)
            self._begin(step)
        if not self._turns:
            self._alarm.set(inf)

    def _late(self, step: Step) -> None:
        then, waited_s = step.then, self._clock() - step.arrived
        self._over(step)
        then(DeadlineExceeded(waited_s=waited_s))

    def _on_deadline(self) -> None:
        """Somebody's time has run out: he is told so at once, wherever he stands."""
        now = self._clock() + _AT_ONCE_S
        late: list[Step] = []
        for line in list(self._turns):
            late += [one[-1] for one in line.steps if one[-1].state == _WAITS and one[1] <= now]
            line.steps = [one for one in line.steps if one[-1].state == _WAITS and one[1] > now]
            heapify(line.steps)
        self._turns = deque(line for line in self._turns if line.steps)
        self._alarm.set(min((one[1] for line in self._turns for one in line.steps), default=inf))
        for step in late:
            self._late(step)
