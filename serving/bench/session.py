"""All runs of one `jitney bench`, one after the other, over the same connections."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from .figures import Figures, Judge, middle_runs
from .generator import Tick
from .plan import Plan
from .search import Enough, Found, Search
from .team import Team

AGAIN = 2
"""Times that a void run of a search is repeated. Other programs come and go; a limit stays."""

MOST_AHEAD = 1000
FEWEST_AHEAD = 16


class Beyond(NamedTuple):
    """A run at a multiple of a rate, between two at the rate itself."""

    times: float
    run: Figures
    beside: tuple[Figures, Figures]

    @property
    def share(self) -> float | None:
        """Of the goodput beside it. None if one of the three does not count, or nothing was."""
        if self.run.void or any(run.void for run in self.beside):
            return None
        beside = sum(run.goodput for run in self.beside) / 2
        return self.run.goodput / beside if beside else None


class Session:
    """Measures rates as it is asked to, and keeps what it found."""

    def __init__(
        self,
        team: Team,
        plan: Plan,
        judge: Judge,
        *,
        tick: Callable[[Plan], Tick] = lambda _: lambda _, __: None,
        done: Callable[[Figures], None] = lambda _: None,
        max_seconds: float = 600.0,
    ) -> None:
        """plan: of all runs, but for rate and seed. tick: what to call during a run, made for
        each. done: called after each. max_seconds: after which a search ends."""
        self._team, self._plan, self._judge = team, plan, judge
        self._tick, self._done = tick, done
        self._ends = time.monotonic() + max_seconds
        self._max_seconds = max_seconds
        self.runs: list[Figures] = []

    def measure(self, rate: float) -> Figures:
        """One run. Raises CannotConnect or TeamFailed; ValueError for a rate that cannot be."""
        plan = replace(self._plan, rate=rate, seed=self._plan.seed + len(self.runs))
        # By Little's law so many are under way when they take as long as they may.
        ahead = min(MOST_AHEAD, max(FEWEST_AHEAD, round(rate * self._judge.slo_s)))
        self._team.open(ahead)
        outcome = self._team.run(plan, self._tick(plan)).since(plan.warm_up_s)
        figures = Figures(outcome, plan, self._judge)
        self.runs.append(figures)
        self._done(figures)
        return figures

    def search(self, start: float, *, precision: float, repeats: int) -> Found:
        """The highest rate of which 99% are answered within the SLO."""
        return Search(self._good, precision=precision, repeats=repeats).run(start)

    def beyond(self, rate: float, multiples: Sequence[float]) -> list[Beyond]:
        """Runs at multiples of a rate, and one at the rate before, between and after them.

        What a machine does that others use too changes while a search goes on, by more than
        what is to be found here: only runs side by side can be compared.
        """
        found: list[Beyond] = []
        before = self.measure(rate) if multiples else None
        for times in multiples:
            assert before is not None
            run, after = self.measure(rate * times), self.measure(rate)
            found.append(Beyond(times, run, (before, after)))
            before = after
        return found

    def of(self, rate: float) -> Figures | None:
        """Of the runs at a rate that count, the one in the middle."""
        return next((run for run in middle_runs(self.runs) if run.plan.rate == rate), None)

    def _good(self, rate: float) -> bool:
        if time.monotonic() > self._ends:
            raise Enough(f"{self._max_seconds:g} s have passed")
        for _ in range(1 + AGAIN):
            run = self.measure(rate)
            if not run.void:
                return run.meets_slo
        raise Enough(f"at {rate:,.6g} a second {run.void}; its limit comes before the server's")
