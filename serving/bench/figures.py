"""A run in numbers, and whether it may be believed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .outcome import LOST, NO_CONNECTION, TIMED_OUT, Outcome
from .plan import Floats, Plan
from .quantiles import Quantile, finite, quantile, share_within

SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}

SATURATED = 0.95
"""Of a core. Above it, the generator has no time left to be on time."""

CURVE = np.concatenate([np.linspace(0, 0.9, 46), 1 - np.logspace(-1, -5, 81)[1:]])
"""The shares of which JSON and the picture of one run have the latency."""


@dataclass(frozen=True)
class Judge:
    """What is asked of every run."""

    slo_s: float = 0.1
    """Who is answered within it is answered in time."""
    max_lateness_s: float | None = None
    """The 99th percentile of lateness above which a run is void; None is 2% of the SLO, or 1 ms."""

    @property
    def lateness_s(self) -> float:
        return max(1e-3, 0.02 * self.slo_s) if self.max_lateness_s is None else self.max_lateness_s


class Figures:
    """What an outcome says. All times are seconds, all rates a second of the planned time."""

    def __init__(self, outcome: Outcome, plan: Plan, judge: Judge) -> None:
        """outcome: without the warm-up."""
        self.plan, self.judge, self.outcome = plan, judge, outcome
        status = outcome.status
        self.statuses: Mapping[int, int] = dict(sorted(Counter(status.tolist()).items()))
        answered = np.sort(outcome.latency_s[status == 200])
        self._answered: Floats = answered
        self.requests = len(outcome)
        self.in_time = int(np.searchsorted(answered, judge.slo_s, side="right"))

    # --- counts

    @property
    def answered(self) -> int:
        return len(self._answered)

    @property
    def late(self) -> int:
        """Answered, but not within the SLO."""
        return self.answered - self.in_time

    @property
    def refused(self) -> int:
        return self.statuses.get(429, 0)

    @property
    def unavailable(self) -> int:
        return self.statuses.get(503, 0)

    @property
    def expired(self) -> int:
        """Its time ran out in the server's queue (504)."""
        return self.statuses.get(504, 0)

    @property
    def lost(self) -> int:
        """No reply: the connection ended or could not be made, or the caller's patience ended."""
        return sum(self.statuses.get(code, 0) for code in (LOST, TIMED_OUT, NO_CONNECTION))

    @property
    def failed(self) -> int:
        """Any other status."""
        said = self.answered + self.refused + self.unavailable + self.expired + self.lost
        return self.requests - said

    # --- rates and latencies

    @property
    def offered(self) -> float:
        return self.requests / self.plan.seconds

    @property
    def goodput(self) -> float:
        return self.in_time / self.plan.seconds

    @property
    def good(self) -> float:
        """The share of all requests that was answered in time."""
        return self.in_time / max(1, self.requests)

    @property
    def meets_slo(self) -> bool:
        """Whether the 99th percentile is within the SLO, if who got no answer waits for ever."""
        return self.requests > 0 and self.good >= 0.99

    @cached_property
    def latencies(self) -> dict[str, Quantile]:
        """Of the answers with status 200."""
        return {name: quantile(self._answered, share) for name, share in SHARES.items()}

    @property
    def mean_s(self) -> float:
        return float(self._answered.mean()) if self.answered else np.nan

    @property
    def max_s(self) -> float:
        return float(self._answered[-1]) if self.answered else np.nan

    @cached_property
    def refusal(self) -> Quantile:
        """How long a no takes: the median of the replies with 429."""
        return quantile(np.sort(self.outcome.latency_s[self.outcome.status == 429]), 0.5)

    @cached_property
    def lateness(self) -> Quantile:
        """The generator's own, 99th percentile."""
        return quantile(np.sort(self.outcome.lateness_s), 0.99)

    @cached_property
    def curve(self) -> list[tuple[float, float]]:
        """Shares of the answers, and the latency that they do not exceed."""
        if not self.answered:
            return []
        shares = CURVE[CURVE * self.answered <= self.answered - 1]
        return [(float(share), quantile(self._answered, share).value) for share in shares[1:]]

    # --- whether it counts

    @property
    def void(self) -> str:
        """Why the run does not count; empty if it does."""
        late_s, bound_s = self.lateness.value, self.judge.lateness_s
        if late_s > bound_s:
            return (
                f"the generator was behind: 1% of the requests were sent {late_s * 1e3:.3g} ms "
                f"late or later, more than {bound_s * 1e3:.3g} ms"
            )
        if self.outcome.cpu_share > SATURATED:
            return f"the generator used {self.outcome.cpu_share:.0%} of its core"
        return ""

    def as_values(self) -> dict[str, Any]:
        """For JSON. Times in milliseconds; null where there is no such number."""
        share_low, share_high = share_within(self.in_time, self.requests)
        return {
            "rate": self.plan.rate,
            "arrivals": self.plan.arrivals,
            "seconds": self.plan.seconds,
            "seed": self.plan.seed,
            "requests": self.requests,
            "offered": self.offered,
            "answered": self.answered,
            "in_time": self.in_time,
            "goodput": self.goodput,
            "good": {"share": self.good, "low": share_low, "high": share_high},
            "late": self.late,
            "refused": self.refused,
            "unavailable": self.unavailable,
            "expired": self.expired,
            "failed": self.failed,
            "lost": self.lost,
            "statuses": {str(code): count for code, count in self.statuses.items()},
            "latency_ms": {
                **{
                    name: dict(zip(("value", "low", "high"), map(_ms, found), strict=True))
                    for name, found in self.latencies.items()
                },
                "mean": _ms(self.mean_s),
                "max": _ms(self.max_s),
            },
            "refusal_p50_ms": _ms(self.refusal.value),
            "curve": [[share, _ms(value)] for share, value in self.curve],
            "generator": {
                "lateness_p99_ms": _ms(self.lateness.value),
                "core_used": self.outcome.cpu_share,
                "waited_for_a_connection": self.outcome.waited,
                "connections": self.outcome.connections,
                "out_of_connections": self.outcome.exhausted,
            },
            "meets_slo": self.meets_slo,
            "void": self.void,
        }


def middle_runs(runs: Sequence[Figures]) -> list[Figures]:
    """By rate, the one in the middle of those that count: neither the luckiest nor the other."""
    rates: dict[float, list[Figures]] = {}
    for run in runs:
        if not run.void:
            rates.setdefault(run.plan.rate, []).append(run)
    for same in rates.values():
        same.sort(key=lambda run: run.good)
    return [rates[rate][len(rates[rate]) // 2] for rate in sorted(rates)]


def _ms(seconds: float) -> float | None:
    found = finite(seconds * 1e3)
    return None if found is None else round(found, 4)
