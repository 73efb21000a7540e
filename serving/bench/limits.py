"""`--require`: what the figures must be for exit code 0. Pure."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan

from .figures import SHARES, Figures

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_MS = (*SHARES, "mean", "max")
_COUNTS = ("answered", "late", "refused", "unavailable", "expired", "failed", "lost")
NAMES = (*_MS, "goodput", "good", "rate", *_COUNTS)
_LIMIT = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*([0-9.]+(?:e[0-9]+)?)\s*(%|ms|s)?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Limit:
    """One comparison."""

    text: str
    name: str
    sign: str
    bound: float
    share: bool
    """Of all requests, in percent."""

    def missed(self, figures: Figures) -> str:
        """What is so instead; empty if the limit is kept."""
        value = self._value(figures)
        if not isnan(value) and _OPERATORS[self.sign](value, self.bound):
            return ""
        unit = "%" if self.share else " ms" if self.name in _MS else ""
        found = "there was no answer" if isnan(value) else f"{value:,.6g}{unit}"
        return f"{self.text} was asked for, {found} found"

    def _value(self, figures: Figures) -> float:
        if self.name in SHARES:
            return figures.latencies[self.name].value * 1e3
        if self.name in ("mean", "max"):
            return (figures.mean_s if self.name == "mean" else figures.max_s) * 1e3
        if self.name == "goodput":
            return figures.goodput
        if self.name == "rate":
            return figures.plan.rate
        count: float = figures.in_time if self.name == "good" else getattr(figures, self.name)
        return 100 * count / max(1, figures.requests) if self.share else count


def limits(text: str) -> list[Limit]:
    """Those in a text such as "p99<=100, goodput>=4000, refused<=1%". Raises ValueError."""
    found = []
    for part in text.split(","):
        match = _LIMIT.fullmatch(part)
        try:
            if match is None:
                raise ValueError
            bound = float(match[3])
        except ValueError:
            raise ValueError(f"{part.strip()!r} is no limit; one is p99<=100") from None
        name, unit = match[1].lower(), (match[4] or "").lower()
        if name not in NAMES:
            raise ValueError(f"{match[1]!r} is none of {', '.join(NAMES)}")
        if unit in ("ms", "s") and name not in _MS:
            raise ValueError(f"{part.strip()!r}: {name} is no time")
        if unit == "%" and name not in (*_COUNTS, "good"):
            raise ValueError(f"{part.strip()!r}: {name} is no number of requests")
        bound *= 1000 if unit == "s" else 1
        found.append(Limit(part.strip(), name, match[2], bound, unit == "%"))
    return found


def missed(wanted: Sequence[Limit], runs: Sequence[Figures]) -> list[str]:
    """A sentence for each limit that a run misses."""
    return [
        f"{run.plan.rate:,.6g} a second: {said}"
        for run in runs
        for limit in wanted
        if (said := limit.missed(run))
    ]
