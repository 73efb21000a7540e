"""What changes while the server serves: numbers of the last seconds, for whoever looks.

Everything that is counted only grows. So all that it takes are the counts of a few moments,
which are kept while somebody looks and at no other time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import orjson

from ..observe.histogram import SECONDS, quantile
from ..observe.report import Values

EVERY_S: Final = 1.0
WINDOW_S: Final = 10.0
MAX_VIEWERS: Final = 32

Key = tuple[str, str]


class Moment(NamedTuple):
    """The counts of all models at one instant."""

    at: float
    totals: dict[Key, Values]


class Live:
    """The numbers, made once a moment for all who look."""

    def __init__(
        self,
        report: Callable[[], Awaitable[Values]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """report: see observe.report; its models may say more than is counted."""
        self._report, self._clock = report, clock
        self._moments: deque[Moment] = deque()
        self._text = b""
        self._turn = asyncio.Lock()
        self.viewers = 0

    @property
    def full(self) -> bool:
        """Whether there is no room for one more who looks."""
        return self.viewers >= MAX_VIEWERS

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Somebody looks. With the last one all is forgotten."""
        self.viewers += 1
        try:
            yield
        finally:
            self.viewers -= 1
            if not self.viewers:
                self._moments.clear()

    async def text(self) -> bytes:
        """The numbers as JSON. Younger than a moment, they are those of who asked before."""
        async with self._turn:
            # A little less than a moment: nobody who comes once a moment gets a stale one.
            if not self._moments or self._clock() - self._moments[-1].at >= 0.9 * EVERY_S:
                report = await self._report()
                self._text = orjson.dumps(self._made(report, self._clock()))
        return self._text

    def _made(self, report: Values, now: float) -> Values:
        totals = {
            (one["name"], one["version"]): one["totals"]
            for one in report["models"]
            if one["totals"] is not None
        }
        self._moments.append(Moment(now, totals))
        while len(self._moments) > 2 and now - self._moments[1].at >= WINDOW_S:
            self._moments.popleft()
        models = [
            {
                **{name: value for name, value in one.items() if name not in ("totals", "gauges")},
                "now": {
                    name: one["gauges"].get(name, 0.0)
                    for name in ("queue_rows", "riding_rows", "predicted_wait_s")
                },
                **moving(self._moments, (one["name"], one["version"])),
            }
            for one in report["models"]
        ]
        return {**report, "models": models, "window_s": WINDOW_S}


def moving(moments: Sequence[Moment], key: Key) -> Values:
    """What one model has done in all (`total`), and lately (`lately`, `a_second`)."""
    *_, last = moments
    if key not in last.totals:
        return {"total": None, "lately": None, "a_second": None}
    totals = last.totals[key]
    first = _start(moments, key)
    step = _start(list(moments)[-2:], key)
    return {
        "total": {**_counts(totals, None), **_spread(totals, None)},
        "lately": {**_counts(totals, first.totals[key]), **_spread(totals, first.totals[key])},
        "a_second": _rates(totals, step.totals[key], last.at - step.at),
    }


def _start(moments: Sequence[Moment], key: Key) -> Moment:
    """The earliest moment since which the counts have only grown: not before a reload."""
    start = moments[-1]
    for moment in reversed(moments):
        before = moment.totals.get(key)
        if before is None or before["runs"] > start.totals[key]["runs"]:
            break
        start = moment
    return start


def _counts(totals: Mapping[str, Any], before: Mapping[str, Any] | None) -> Values:
    counted = ("success", "good_rows", "run_failed", "left")
    was = before["refused"] if before else {}
    refused = {
        reason: count - was.get(reason, 0)
        for reason, count in totals["refused"].items()
        if count > was.get(reason, 0)
    }
    return {
        **{name: totals[name] - (before[name] if before else 0) for name in counted},
        "refused": refused,
    }


def _spread(totals: Mapping[str, Any], before: Mapping[str, Any] | None) -> Values:
    """How long answers took, and how large batches were."""
    counts = totals["latency"]["counts"]
    if before:
        was = before["latency"]["counts"]
        counts = [now - then for now, then in zip(counts, was, strict=True)]
    sizes: dict[int, int] = {}
    for rows, (count, *_) in totals["sizes"].items():
        batches = int(count - (before["sizes"].get(rows, [0])[0] if before else 0))
        if batches:
            # Up to a power of two: 1, 2, 3 to 4, 5 to 8, …
            up_to = 1 << (int(rows) - 1).bit_length()
            sizes[up_to] = sizes.get(up_to, 0) + batches
    return {
        "latency_s": {
            name: quantile(q, SECONDS, counts)
            for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        },
        "batches": sorted(sizes.items()),
    }


def _rates(totals: Mapping[str, Any], before: Mapping[str, Any], seconds: float) -> Values:
    if seconds <= 0:
        return {"answers": 0.0, "rows": 0.0, "refusals": 0.0}
    lately = _counts(totals, before)
    return {
        "answers": lately["success"] / seconds,
        "rows": lately["good_rows"] / seconds,
        "refusals": sum(lately["refused"].values()) / seconds,
    }
