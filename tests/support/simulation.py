"""A real batcher in virtual time: callers who come by themselves, and a model of hidden cost.

    callers ─► Batcher (its real queue, plan, admission, cost model) ─► Machine ─► outcomes

Nobody sleeps and everything is seeded, so a simulation gives the same outcome each
time, and a minute of traffic takes a second or so. What the event loop does for a row
that rides takes its time, on the same core; what it does for one that is refused is free.
"""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

from batching import Batcher, Cores, CostModel, DeadlineExceeded, Rejected, Sample, Ticket
from batching.cost import LOOP_S

from . import virtual_time

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What batches really take, in seconds: a batch, a row, a token, and a squared one."""

    batch_s: float
    row_s: float
    token_s: float = 0.0
    token2_s: float = 0.0

    def run_s(self, rows: int, length: int = 0) -> float:
        per_row_s = self.row_s + length * (self.token_s + length * self.token2_s)
        return self.batch_s + rows * per_row_s

    def cycle_s(self, rows: int, length: int = 0) -> float:
        """The run, and the event loop's work for its rows."""
        return self.run_s(rows, length) + rows * LOOP_S

    def measured(self, times: float = 1.0) -> CostModel:
        """A model fitted to what was measured at load, on a machine so many times slower."""
        lengths = (8, 32, 128, 256) if self.token_s or self.token2_s else (0,)
        return CostModel(
            Sample(rows, length, times * self.run_s(rows, length))
            for rows in (1, 2, 8, 32, 64)
            for length in lengths
        )

    def capacity(self, rows: int = 64) -> float:
        """Rows a second of a model of fixed shape that does nothing but full batches."""
        return rows / self.cycle_s(rows)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Somebody who comes at an instant and waits for so long."""

    at: float
    slo_s: float = 0.1
    rows: int = 1
    length: int = 0
    priority: int = 0
    model: int = 0


@dataclass(eq=False)
class Outcome:
    """What became of a caller. It is the reply of its own ticket."""

    caller: Caller
    clock: Callable[[], float]
    came_at: float = 0.0
    told_at: float = math.nan
    error: BaseException | None = None
    ticket: Ticket[Any, Any] | None = None
    times_told: int = 0

    def done(self) -> bool:
        return self.times_told > 0

    def set_result(self, result: Any, /) -> None:
        assert result is self.caller, "somebody else's answer"
        self.times_told, self.told_at = self.times_told + 1, self.clock()

    def set_exception(self, exception: BaseException, /) -> None:
        self.error = exception
        self.times_told, self.told_at = self.times_told + 1, self.clock()

    @property
    def waited_s(self) -> float:
        return self.told_at - self.came_at

    @property
    def answered(self) -> bool:
        return self.done() and self.error is None

    @property
    def refused(self) -> bool:
        """Never queued."""
        return isinstance(self.error, Rejected)

    @property
    def expired(self) -> bool:
        """Queued, and told later that its time ran out."""
        return isinstance(self.error, DeadlineExceeded)

    @property
    def ran(self) -> bool:
        """Whether the model did anything for it."""
        return self.ticket is not None and self.ticket.batch is not None

    @property
    def wasted(self) -> bool:
        """The model worked for it, and not in time."""
        return self.ran and not self.answered

    @property
    def late(self) -> bool:
        """Told anything, be it yes or no, after its deadline."""
        return self.waited_s > self.caller.slo_s + 1e-6


class Ran(NamedTuple):
    """One run: when it began, rows, padded length, and seconds."""

    at: float
    rows: int
    length: int
    run_s: float


@dataclass(repr=False)
class Outcomes:
    """What became of all of them."""

    all: list[Outcome]
    runs: list["Ran"] = field(default_factory=list)
    """What ran, one model after another."""
    began: float = 0.0
    """The instant from which arrivals count."""
    timers_left: int = 0
    """How many the event loop had when everybody had been told."""

    def of(self, which: Callable[[Caller], bool]) -> "Outcomes":
        """Those of some of the callers."""
        return Outcomes([one for one in self.all if which(one.caller)])

    def count(self, what: str) -> int:
        """How many are `answered`, `refused`, `expired`, `late`, `ran` or `wasted`."""
        return sum(getattr(one, what) for one in self.all)

    @property
    def goodput(self) -> float:
        """Answers in time a second, from the first arrival to the last answer."""
        in_time = [one for one in self.all if one.answered and not one.late]
        ended_at = max(one.told_at for one in in_time)
        return len(in_time) / (ended_at - min(one.came_at for one in self.all))

    def share(self, what: str) -> float:
        """The same, of all."""
        return self.count(what) / len(self.all)

    @property
    def busy_s(self) -> float:
        """What all runs took together."""
        return sum(run.run_s for run in self.runs)

    @property
    def unanswered(self) -> int:
        """Told nothing, or told twice."""
        return sum(one.times_told != 1 for one in self.all)

    def __repr__(self) -> str:  # for the reader of a failure
        answers = Counter(type(one.error).__name__ if one.error else "Answer" for one in self.all)
        return f"Outcomes({len(self.all)} callers, {dict(answers)}, {self.count('late')} late)"


class Machine:
    """What runs: an executor whose runs take virtual time, by a cost that it keeps to itself."""

    alive = True

    def __init__(
        self,
        cost: Cost,
        rng: random.Random,
        clock: Callable[[], float],
        *,
        noise: float = 0.0,
        slowdown: Callable[[float], float] = lambda _: 1.0,
    ) -> None:
        """`noise`: the standard deviation of a run's logarithm; `slowdown`: a factor, by time."""
        self._cost, self._rng, self._clock = cost, rng, clock
        self._noise, self._slowdown = noise, slowdown
        self.runs: list[Ran] = []

    def answer(self, callers: Sequence[Caller]) -> Sequence[Caller]:
        """The function that is batched: to each caller itself, so that a mix-up shows."""
        rows, length = sum(c.rows for c in callers), max(c.length for c in callers)
        noise = math.exp(self._rng.gauss(0.0, self._noise)) if self._noise else 1.0
        run_s = self._cost.run_s(rows, length) * noise * self._slowdown(self._clock())
        self.runs.append(Ran(self._clock(), rows, length, run_s))
        return callers

    async def run(self, function: Callable[[], T]) -> T:
        report: Any = function()  # calls `answer`, in no time
        ran = self.runs[-1]
        await asyncio.sleep(ran.run_s + ran.rows * LOOP_S)
        return replace(report, run_s=ran.run_s)  # type: ignore[no-any-return]

    def close(self) -> None:
        pass


@dataclass(kw_only=True)
class Model:
    """A batcher to be, and the machine under it."""

    cost: Cost
    believed: CostModel | None = field(default=None)
    """What was measured at load; None: first come, first served, whatever it costs."""
    max_rows: int = 64
    slots: int = 1
    threads: int = 1
    noise: float = 0.0
    slowdown: Callable[[float], float] = lambda _: 1.0
    max_queue_rows: int = 8192


def simulate(
    models: Model | Sequence[Model], callers: Sequence[Caller], *, cores: int = 1, seed: int = 0
) -> Outcomes:
    """Let the callers come at their instants; return when everybody has been told something."""
    models = [models] if isinstance(models, Model) else models
    return virtual_time.run(_play(models, sorted(callers, key=lambda c: c.at), cores, seed))


async def _play(
    models: Sequence[Model], callers: Sequence[Caller], cores: int, seed: int
) -> Outcomes:
    loop = asyncio.get_running_loop()
    # Between two runs nothing is to be done here that would take a core's time.
    rng, shared = random.Random(seed), Cores(cores, clock=loop.time, lend_s=0.0)
    began = loop.time()
    outcomes = Outcomes([Outcome(caller, loop.time) for caller in callers], began=began)
    machines, batchers = [], []
    async with AsyncExitStack() as stack:
        for model in models:
            slowdown = model.slowdown
            machine = Machine(
                model.cost,
                rng,
                loop.time,
                noise=model.noise,
                slowdown=lambda now, slowdown=slowdown: slowdown(now - began),  # type: ignore[misc]
            )
            batcher: Batcher[Caller, Caller] = Batcher(
                [machine.answer] * model.slots,
                max_rows=model.max_rows,
                max_queue_rows=model.max_queue_rows,
                cost=model.believed,
                cores=shared,
                threads=model.threads,
                executor=machine,
                clock=loop.time,
            )
            machines.append(machine)
            batchers.append(await stack.enter_async_context(batcher))
        for outcome in outcomes.all:
            wait_s = began + outcome.caller.at - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            _submit(batchers[outcome.caller.model], outcome)
        for batcher in batchers:
            await batcher.drain()
        timers = loop._scheduled  # type: ignore[attr-defined]
        outcomes.timers_left = sum(not timer.cancelled() for timer in timers)
    outcomes.runs = [run for machine in machines for run in machine.runs]
    return outcomes


def _submit(batcher: Batcher[Caller, Caller], outcome: Outcome) -> None:
    caller, outcome.came_at = outcome.caller, outcome.clock()
    outcome.ticket = batcher.ticket(
        caller,
        rows=caller.rows,
        length=caller.length,
        priority=caller.priority,
        timeout_s=caller.slo_s,
        reply=outcome,
    )
    try:
        batcher.put(outcome.ticket)
    except Rejected as error:
        outcome.set_exception(error)


# --- when they come


def poisson(rng: random.Random, rate: float, seconds: float, start: float = 0.0) -> Iterator[float]:
    """Instants of callers who know nothing of each other, so many a second on average."""
    at = start + rng.expovariate(rate)
    while at < start + seconds:
        yield at
        at += rng.expovariate(rate)


def bursts(
    rng: random.Random, rate: float, *, on_s: float, off_s: float, times: int
) -> Iterator[float]:
    """Such callers for a while, then none for a while, and so on."""
    for n in range(times):
        yield from poisson(rng, rate, on_s, start=n * (on_s + off_s))


def steps(rng: random.Random, rates: Sequence[float], seconds: float) -> Iterator[float]:
    """A day of callers: each rate for so many seconds, one after another."""
    for n, rate in enumerate(rates):
        yield from poisson(rng, rate, seconds, start=n * seconds)


def natural_length(rng: random.Random, *, median: float = 21, longest: int = 256) -> int:
    """Tokens of a sentence: log-normal, of mean 28 where the median is 21."""
    return max(1, min(longest, round(rng.lognormvariate(math.log(median), 0.76))))
