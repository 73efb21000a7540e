"""Quantiles of what was measured, and how far chance alone may have moved them.

Between which two of the sorted values the true quantile lies is a question of coins: each
value is below it with probability p, so the number of values below is binomial, whatever
the distribution of latencies is. That takes the requests for independent of each other.
Those in one queue are not, so the true interval is wider; what several runs say counts more.
"""

from math import isfinite, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95


class Quantile(NamedTuple):
    """A quantile with its interval, in the unit of the values. NaN if there are no values."""

    value: float
    low: float
    """-inf where there are too few values to say."""
    high: float
    """inf where there are too few values to say: another one might be any size."""


def quantile(ordered: NDArray[np.float64], share: float) -> Quantile:
    """The smallest value that at least `share` of all do not exceed.

    ordered: sorted values. share: between 0 and 1.
    """
    count = len(ordered)
    if not count:
        return Quantile(np.nan, np.nan, np.nan)
    # So that 0.99 of 100 is the 99th, not, by a rounding error, the 100th.
    rank = max(1, int(np.ceil(share * count - 1e-9)))
    low, high = ranks(count, share)
    return Quantile(
        float(ordered[rank - 1]),
        float(ordered[low - 1]) if low >= 1 else -np.inf,
        float(ordered[high - 1]) if high <= count else np.inf,
    )


def ranks(count: int, share: float, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """The ranks, from 1, of the two sorted values between which the quantile lies.

    Their order statistics hold it with at least this confidence, as much of the doubt on
    either side. 0 or count + 1 where no value of so many would do.
    """
    if not 0 < share < 1:
        raise ValueError(f"a quantile is between 0 and 1, got {share}")
    doubt = (1 - confidence) / 2
    numbers, below = _binomial(count, share)
    # Value k is above the quantile if fewer than k are below it: B <= k - 1.
    # The low one may be above it with probability `doubt` at most, the high one below it.
    low = int(numbers[np.searchsorted(below, doubt, side="right")])
    high = int(numbers[np.searchsorted(below, 1 - doubt, side="left")]) + 1
    return low, high


def _binomial(count: int, share: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers of successes that matter, and the probability of at most as many.

    Those further from the mean have less than 1e-12 together.
    """
    mean, deviation = count * share, (count * share * (1 - share)) ** 0.5
    first = max(0, int(mean - 9 * deviation) - 40)
    last = min(count, int(mean + 9 * deviation) + 40)
    numbers = np.arange(first, last + 1)
    # Ratios of neighbours, summed as logarithms: no factorials.
    ratios = np.log((count - numbers[:-1]) / (numbers[:-1] + 1)) + log(share) - log(1 - share)
    logs = np.concatenate(([0.0], np.cumsum(ratios)))
    weights = np.exp(logs - logs.max())
    below = np.cumsum(weights) / weights.sum()
    below[-1] = 1.0
    return numbers, below


def share_within(good: int, count: int) -> tuple[float, float]:
    """The interval of a share of which `good` of `count` are good (Wilson's)."""
    if not count:
        return 0.0, 1.0
    z = 1.959964
    share = good / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * (share * (1 - share) / count + (z / (2 * count)) ** 2) ** 0.5
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def finite(value: float) -> float | None:
    """For JSON, which has neither infinity nor NaN."""
    return value if isfinite(value) else None
