"""The highest rate that holds: pure, what a rate does is asked of a function."""

from collections.abc import Callable

UP, DOWN = 1.05, 0.93
HIGHEST = 1.25
"""Times where it begins; nothing beyond is tried."""


def highest(
    holds: Callable[[float], bool],
    begin: float,
    *,
    precision: float = 0.015,
    tries: int = 10,
) -> float | None:
    """The highest rate found that holds; None if none did.

    Goes up from `begin` while it holds, or down until it does, then halves what is between, until
    that is within `precision` of it or so many rates were tried.
    """
    best, worst, rate = None, None, begin
    for _ in range(tries):
        if holds(rate):
            best = rate
        else:
            worst = rate
        if best is None:
            rate *= DOWN
        elif worst is None:
            if best >= HIGHEST * begin:
                break
            rate *= UP
        elif worst / best - 1 <= precision:
            break
        else:
            rate = (best + worst) / 2
    return best
