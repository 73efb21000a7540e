"""One bad request hurts nobody else.

If a batch fails, its members are run again in halves until the culprit stands
alone: two runs for each halving, so 12 for one culprit among 64. It blocks, and
is called where the run itself may block.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

from .errors import RunFailed, WrongResults
from .ticket import In, Out

Run = Callable[[Sequence[In]], Sequence[Out]]


@dataclass(slots=True, frozen=True)
class Report(Generic[Out]):
    """What came of a batch: for each payload, in order, its result or its failure."""

    results: Sequence[Out | RunFailed]
    runs: int
    run_s: float
    """How long the first run took, the whole batch together."""


def run_isolated(
    run: Run[In, Out], payloads: Sequence[In], clock: Callable[[], float] = time.monotonic
) -> Report[Out]:
    """Run the payloads together, and apart where that fails. Never raises an `Exception`."""
    started = clock()
    try:
        results = _run_checked(run, payloads)
    except Exception as error:
        run_s = clock() - started
        apart, runs = _run_halves(run, payloads, error)
        return Report(apart, runs + 1, run_s)
    return Report(results, 1, clock() - started)


def _run_checked(run: Run[In, Out], payloads: Sequence[In]) -> Sequence[Out]:
    results = run(payloads)
    if len(results) != len(payloads):
        raise WrongResults(expected=len(payloads), got=len(results))
    return results


def _run_halves(
    run: Run[In, Out], payloads: Sequence[In], error: Exception
) -> tuple[list[Out | RunFailed], int]:
    """What came of a batch that failed with `error`, and how many runs that took."""
    if len(payloads) == 1:
        if isinstance(error, RunFailed):
            return [error], 0
        failure = RunFailed(f"{type(error).__name__}: {error}")
        failure.__cause__ = error
        return [failure], 0
    middle = len(payloads) // 2
    results: list[Out | RunFailed] = []
    runs = 0
    for half in (payloads[:middle], payloads[middle:]):
        runs += 1
        try:
            results += _run_checked(run, half)
        except Exception as its_error:
            apart, more = _run_halves(run, half, its_error)
            results += apart
            runs += more
    return results, runs
