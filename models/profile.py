"""What a batch of so many rows takes on this machine, measured at load."""

import statistics
import time
from collections.abc import Callable

from .signature import Tensors

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
REPEATS = 5


def measure(
    run: Callable[[Tensors], object],
    sample: Callable[[int], Tensors],
    *,
    max_rows: int = SIZES[-1],
    budget_s: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[int, float]:
    """Seconds a run for batch sizes 1, 2, 4 … up to `max_rows`, as far as the budget goes.

    Each size is run once to warm up and then timed a few times; the median counts.
    At least one row is always measured. Raises what `run` raises.
    """
    ends = clock() + budget_s
    measured: dict[int, float] = {}
    for rows in SIZES:
        if rows > max_rows or (measured and clock() >= ends):
            break
        inputs = sample(rows)
        run(inputs)
        times: list[float] = []
        while not times or (len(times) < REPEATS and clock() < ends):
            started = clock()
            run(inputs)
            times.append(clock() - started)
        measured[rows] = max(statistics.median(times), 1e-9)
    return measured
