"""Counting durations into buckets, many at a time. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

SECONDS: Final = tuple(
    float(f"{digit}e{power}") for power in range(-4, 2) for digit in (1, 2, 3, 5, 7)
)[:-1]
"""From 100 µs to 50 s, five to a decade: fine enough to read percentiles from."""

ROWS: Final = tuple(float(2**power) for power in range(13))
"""1 to 4096."""


class Histogram:
    """How many values fell up to each bound, and what they are together."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        """`bounds`: rising; a bucket holds what is above the one before and up to its own."""
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        """For each bucket, not added up; the last is for what is above every bound."""
        self.sum = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def add_since(self, now: float, instants: Sequence[float], together: float) -> None:
        """Count `now - instant` for many instants that never fall; `together`: their sum.

        What the callers of one batch have waited differs little, so few bounds lie
        among them, and one search for each of those is all that it takes: the cost is
        by the batch, not by the caller.
        """
        counts, bounds = self.counts, self.bounds
        bucket = bisect_left(bounds, now - instants[-1])  # the latest has waited least
        rest = len(instants)
        most = now - instants[0]
        while bucket < len(bounds) and bounds[bucket] < most:
            # Those that came before `now - bound` have waited longer than the bound.
            longer = bisect_left(instants, now - bounds[bucket], 0, rest)
            counts[bucket] += rest - longer
            rest = longer
            bucket += 1
        counts[bucket] += rest
        self.sum += now * len(instants) - together

    @property
    def count(self) -> int:
        """How many values there are."""
        return sum(self.counts)


def quantile(q: float, bounds: Sequence[float], counts: Sequence[int]) -> float | None:
    """The value that a share `q` of what was counted does not exceed; None if nothing was.

    Inside a bucket values are taken to lie evenly; above the last bound it is that bound.
    """
    wanted = q * sum(counts)
    if not wanted:
        return None
    below = 0.0
    for index, count in enumerate(counts[:-1]):
        if count and below + count >= wanted:
            low = bounds[index - 1] if index else 0.0
            return low + (bounds[index] - low) * (wanted - below) / count
        below += count
    return bounds[-1]
