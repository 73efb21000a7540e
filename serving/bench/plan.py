"""When requests are due. Decided before the first is sent, so that no answer can change it."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Arrivals = Literal["poisson", "bursts", "steady"]
ARRIVALS: tuple[str, ...] = get_args(Arrivals)

MAX_REQUESTS = 20_000_000
"""Of one run. What is kept of each is 26 bytes, and some more while it runs."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run: a rate for so long, after a warm-up at the same rate that does not count."""

    rate: float
    """Requests a second."""
    seconds: float
    warm_up_s: float = 0.0
    arrivals: Arrivals = "poisson"
    """Independent callers; the same of whom each brings `burst` requests at once; a clock."""
    burst: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1e7:
            raise ValueError(f"a rate must be above 0 and below 10 million, got {self.rate:g}")
        if not self.seconds > 0:
            raise ValueError(f"a run must take more than 0 seconds, got {self.seconds:g}")
        if not self.warm_up_s >= 0:
            raise ValueError(f"a warm-up must take 0 seconds or more, got {self.warm_up_s:g}")
        if self.burst < 1:
            raise ValueError(f"a burst must have at least 1 request, got {self.burst}")
        if self.rate * self.whole_s > MAX_REQUESTS:
            raise ValueError(
                f"{self.rate:g} requests a second for {self.whole_s:g} s are more than "
                f"{MAX_REQUESTS:,} requests, the most that one run may have"
            )

    @property
    def whole_s(self) -> float:
        """Warm-up and what counts."""
        return self.warm_up_s + self.seconds

    def schedule(self) -> Floats:
        """The instants in seconds from the beginning of the warm-up, in order."""
        if self.arrivals == "steady":
            return np.arange(int(np.ceil(self.rate * self.whole_s))) / self.rate
        if self.arrivals == "bursts":
            return np.repeat(self._poisson(self.rate / self.burst), self.burst)
        return self._poisson(self.rate)

    def _poisson(self, rate: float) -> Floats:
        # Given their number, the instants of a Poisson process are independent and uniform.
        random = np.random.default_rng(self.seed)
        count = random.poisson(rate * self.whole_s)
        return np.sort(random.uniform(0.0, self.whole_s, count))
