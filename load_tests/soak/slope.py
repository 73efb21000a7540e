"""Whether what was sampled during a long run grew. Pure, and with nothing but Python.

Memory goes up and down by itself, and what it does one second it is likely to do the next. A
line through single samples would therefore seem far more certain than it is. The line here
goes through the means of blocks of samples, long beside what ties one to the next; from how
far those lie off the line comes the interval in which the true slope is with 95%.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

BLOCKS = 20
WARM_UP = 0.5
"""Share of the run that is not judged. What a batch takes, the engine keeps for the next: memory
goes up, in steps, until the largest batch of each model has come. Pools and caches fill up once."""

GRAIN_MB = 1.0
"""Growth over the whole judged time that is no growth: allocators take as much in one step."""

# Of Student's distribution, two-sided 95%, by degrees of freedom.
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262),
    *(2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101),
)


@dataclass(frozen=True)
class Slope:
    """Change a second, and the interval in which the true one is with 95%."""

    value: float
    low: float
    high: float


def slope(times_s: Sequence[float], values: Sequence[float]) -> Slope:
    """The line of least squares through the means of blocks. Raises ValueError below 6 samples."""
    if len(times_s) != len(values):
        raise ValueError(f"{len(times_s)} times and {len(values)} values do not go together")
    count = min(BLOCKS, len(values) // 2)
    if count < 3:
        raise ValueError(f"a slope needs at least 6 samples, got {len(values)}")
    ends = [len(values) * number // count for number in range(count + 1)]
    blocks = [slice(begin, end) for begin, end in pairwise(ends)]
    x = [fmean(times_s[block]) for block in blocks]
    y = [fmean(values[block]) for block in blocks]
    x_mean, y_mean = fmean(x), fmean(y)
    spread = sum((each - x_mean) ** 2 for each in x)
    if spread <= 0:
        raise ValueError("all samples are of one instant")
    found = sum((a - x_mean) * (b - y_mean) for a, b in zip(x, y, strict=True)) / spread
    off = sum((b - y_mean - found * (a - x_mean)) ** 2 for a, b in zip(x, y, strict=True))
    half = _T[count - 3] * (off / (count - 2) / spread) ** 0.5
    return Slope(found, found - half, found + half)


def judged(samples: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Without the warm-up. samples: a list each, of which at_s is the seconds since the start."""
    at_s = samples["at_s"]
    begin = next((n for n, at in enumerate(at_s) if at >= WARM_UP * at_s[-1]), 0)
    return {name: values[begin:] for name, values in samples.items()}


def memory_grew(times_s: Sequence[float], resident_mb: Sequence[float]) -> str:
    """In words, if it did; else empty."""
    found = slope(times_s, resident_mb)
    growth = found.value * (times_s[-1] - times_s[0])
    if found.low <= 0 or growth <= GRAIN_MB:
        return ""
    return (
        f"resident memory grew by {growth:.1f} MB: {found.value * 60:.3f} MB a minute, "
        f"with 95% between {found.low * 60:.3f} and {found.high * 60:.3f}"
    )


def count_grew(what: str, counts: Sequence[int]) -> str:
    """In words, if the least of the last quarter is above the most of the first; else empty.

    They come and go with the load; what leaks never comes back to where it was.
    """
    quarter = max(1, len(counts) // 4)
    before, after = max(counts[:quarter]), min(counts[-quarter:])
    return f"{what} grew from {before} to {after}" if after > before else ""
