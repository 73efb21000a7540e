"""The highest rate that is still good. Pure: it asks, somebody else measures.

One run near the limit says little: it goes well or not by chance. Both ends of what is
found were therefore decided by a majority of runs.
"""

from collections.abc import Callable
from dataclasses import dataclass

Good = Callable[[float], bool]
"""Whether a run at a rate went well. It may raise Enough to end the search."""

FACTOR = 2.0
LOWEST = 0.1
"""A second. What is not good there is not searched for further down."""
HIGHEST = 1e6


class Enough(Exception):
    """The search ends here, for the reason given."""


@dataclass(frozen=True)
class Found:
    """Where the search ended."""

    good: float
    """The highest rate that was good; 0 if none was."""
    bad: float | None
    """The lowest that was not; None if all were."""
    runs: int
    stopped: str = ""
    """Why it ended before the two were near enough; empty if it did not."""


class Search:
    """Doubles or halves until the limit is between two rates, then bisects."""

    def __init__(
        self, good: Good, *, precision: float = 0.03, repeats: int = 3, max_runs: int = 60
    ) -> None:
        """precision: how near the ends must be, 0.03 is 3%. repeats: runs that decide, odd."""
        if not 0 < precision < 1:
            raise ValueError(f"a precision is between 0 and 1, got {precision:g}")
        if repeats < 1 or repeats % 2 == 0:
            raise ValueError(f"a majority needs an odd number of runs, got {repeats}")
        self._ask = good
        self._precision, self._needed, self._max_runs = precision, repeats // 2 + 1, max_runs
        self._seen: dict[float, list[bool]] = {}
        self._runs = 0

    def run(self, start: float) -> Found:
        """Begin at a rate that is near, if one is known."""
        try:
            self._bracket(start)
            while not self._settled():
                pass
        except Enough as reason:
            return self._found(str(reason))
        return self._found()

    def _bracket(self, start: float) -> None:
        rate = start
        if self._once(rate):
            while self._once(rate):
                rate = self._within(rate * FACTOR)
        else:
            while not self._once(rate):
                rate = self._within(rate / FACTOR)

    @staticmethod
    def _within(rate: float) -> float:
        if rate > HIGHEST:
            raise Enough(f"{HIGHEST:,.0f} a second were not too much")
        if rate < LOWEST:
            raise Enough(f"not even {LOWEST * FACTOR:g} a second were good")
        return rate

    def _settled(self) -> bool:
        """One step; whether it was the last."""
        good, bad = self._ends()
        if good is None:
            assert bad is not None
            self._once(self._within(bad / FACTOR))
        elif bad is None:
            self._once(self._within(good * FACTOR))
        elif bad / good > 1 + self._precision:
            self._decide((good * bad) ** 0.5)
        else:
            # What only one run has decided may have been chance, and then moves the ends.
            self._decide(good)
            self._decide(bad)
            return self._ends() == (good, bad)
        return False

    def _ends(self) -> tuple[float | None, float | None]:
        """The lowest rate that is bad, and the highest good one below it."""
        bad = min((rate for rate in self._seen if not self._is_good(rate)), default=None)
        good = max(
            (r for r in self._seen if self._is_good(r) and (bad is None or r < bad)), default=None
        )
        return good, bad

    def _is_good(self, rate: float) -> bool:
        """As far as is known."""
        seen = self._seen[rate]
        return 2 * sum(seen) > len(seen)

    def _once(self, rate: float) -> bool:
        """What one run says, or those that were."""
        if rate not in self._seen:
            self._measure(rate)
        return self._is_good(rate)

    def _decide(self, rate: float) -> None:
        """Run until a majority of all repeats says the same."""
        seen = self._seen.get(rate, [])
        while max(sum(seen), len(seen) - sum(seen)) < self._needed:
            self._measure(rate)
            seen = self._seen[rate]

    def _measure(self, rate: float) -> None:
        if self._runs >= self._max_runs:
            raise Enough(f"{self._max_runs} runs were made, the most that may be")
        said = self._ask(rate)
        self._runs += 1
        self._seen.setdefault(rate, []).append(said)

    def _found(self, stopped: str = "") -> Found:
        good, bad = self._ends()
        return Found(good or 0.0, bad, self._runs, stopped)
