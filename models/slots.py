"""How many threads a run uses, and how many runs go on at one time: by measurement.

Some models keep all cores busy with one run; others are served faster by one thread
for each of several runs. Threads times runs is never more than the usable cores.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from .profile import MORE_SLOTS

MANY_CORES = 8


def candidates(cores: int) -> list[int]:
    """Threads a run that are worth comparing: all cores', one, and with many cores half of them."""
    halves = [cores // 2] if cores >= MANY_CORES else []
    return list(dict.fromkeys([cores, *halves, 1]))


def fastest(rates: Mapping[int, float], *, crowded: bool = False) -> int:
    """The slots to use, by the rows a second that each number of them gives.

    More must win clearly: a request that is alone is answered sooner by more threads.
    But where more models than cores are served (`crowded`), hardly a request is alone; and the
    threads of one run wait for each other whenever one of them loses its core to
    something else. There more slots must not lose clearly.
    """
    needed = 1 / MORE_SLOTS if crowded else MORE_SLOTS
    fewest, *others = sorted(rates)
    best = fewest
    for slots in others:
        if rates[slots] > needed * rates[best]:
            best = slots
    return best


def rate(
    run: Callable[[], object],
    *,
    slots: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Runs a second of so many threads that do nothing else, for so long and one run at least."""
    run()
    began = clock()
    ends = began + seconds

    def again_and_again(_: int) -> int:
        runs = 1
        run()
        while clock() < ends:
            run()
            runs += 1
        return runs

    with ThreadPoolExecutor(slots, thread_name_prefix="measure") as pool:
        runs = sum(pool.map(again_and_again, range(slots)))
        return runs / max(clock() - began, 1e-9)


def best_rates(
    runs: Sequence[tuple[int, Callable[[], object]]], *, seconds: float
) -> dict[int, float]:
    """Runs a second by slots, of (slots, run); each twice and in turn, the better counts."""
    rates = dict.fromkeys((slots for slots, _ in runs), 0.0)
    for _ in range(2):
        for slots, run in runs:
            rates[slots] = max(rates[slots], rate(run, slots=slots, seconds=seconds / 2))
    return rates
