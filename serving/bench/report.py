"""Runs for people and for programs. Pure, but for asking what machine this is."""

import os
import platform
from collections.abc import Sequence
from math import isfinite
from typing import Any

from .figures import Figures
from .plan import Plan
from .quantiles import Quantile
from .search import Found
from .session import Beyond

BAR = 20

HEADER = (
    f"{'offered/s':>10} {'in time/s':>10} {'in time':>8} {'p50 ms':>8} {'p99 ms':>8} "
    f"{'(95% sure)':>15} {'max ms':>8}  not answered"
)


def line(run: Figures) -> str:
    """One run, under HEADER."""
    p50, p99 = run.latencies["p50"], run.latencies["p99"]
    return (
        f"{run.offered:>10,.0f} {run.goodput:>10,.0f} {run.good:>8.2%} {ms(p50.value):>8} "
        f"{ms(p99.value):>8} {interval(p99):>15} {ms(run.max_s):>8}  {unanswered(run) or '-'}"
    ).rstrip()


def unanswered(run: Figures) -> str:
    """Those without an answer, by what they got instead."""
    kinds = {
        "refused (429)": run.refused,
        "unavailable (503)": run.unavailable,
        "expired (504)": run.expired,
        "failed": run.failed,
        "lost": run.lost,
    }
    return ", ".join(f"{count:,} {name}" for name, count in kinds.items() if count)


def generator_line(run: Figures) -> str:
    """What the generator says of itself."""
    outcome = run.outcome
    text = (
        f"generator: 99% sent within {ms(run.lateness.value)} ms of when they were due, "
        f"{outcome.cpu_share:.0%} of a core, {outcome.connections:,} connections"
    )
    if outcome.exhausted and outcome.waited:
        text += f", too few: {outcome.waited:,} requests waited for one"
    return text


def statuses_line(run: Figures) -> str:
    """Which statuses failed; empty if none did."""
    odd = {s: n for s, n in run.statuses.items() if s not in (200, 429, 503, 504) and s > 0}
    return ", ".join(f"status {status}: {count:,}" for status, count in odd.items())


def found_line(found: Found, slo_s: float) -> str:
    """What a search found."""
    if not found.good:
        return f"No rate was good: {found.stopped or 'not one met the SLO'}."
    text = (
        f"Highest rate of which 99% are answered within {slo_s * 1e3:g} ms: "
        f"{rounded(found.good)} a second"
    )
    if found.bad is not None:
        text += f"; {rounded(found.bad)} were too many"
    text += f" ({found.runs} runs)."
    return f"{text} The search ended early: {found.stopped}." if found.stopped else text


def beyond_line(found: Sequence[Beyond]) -> str:
    """What is left of the goodput beyond a rate; empty if nothing was measured there."""
    shares = [
        f"{'void' if one.share is None else format(one.share, '.0%')} at {one.times:g}x"
        for one in found
    ]
    if not shares:
        return ""
    return f"In time, of what was at that rate right before and after: {', '.join(shares)}."


def progress_line(plan: Plan, elapsed_s: float, answered: int) -> str:
    """While a run goes on. answered: below 0 if that is not known."""
    share = min(1.0, max(0.0, elapsed_s / plan.whole_s))
    done = int(BAR * share)
    phase = "warms up" if elapsed_s < plan.warm_up_s else f"{share:4.0%}"
    text = f"{rounded(plan.rate)}/s [{'#' * done}{'.' * (BAR - done)}] {phase}"
    if elapsed_s > plan.whole_s:
        text += ", waiting for the last answers"
    return text + (f", {answered:,} answered" if answered >= 0 else "")


def rounded(rate: float) -> str:
    """A rate with at least three digits that mean something."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def ms(seconds: float) -> str:
    """Milliseconds; a dash where there is no number."""
    value = seconds * 1e3
    if not isfinite(value):
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


def interval(found: Quantile) -> str:
    """Where the true one is likely to be."""
    if not isfinite(found.value):
        return ""
    low = ms(found.low) if isfinite(found.low) else "0"
    return f"{low} to {ms(found.high) if isfinite(found.high) else 'any'}"


def document(
    url: str,
    command: Sequence[str],
    slo_s: float,
    runs: Sequence[Figures],
    found: Found | None,
    beyond: Sequence[Beyond] = (),
) -> dict[str, Any]:
    """All of it, for a JSON file."""
    return {
        "url": url,
        "command": list(command),
        "slo_ms": slo_s * 1e3,
        "machine": {
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "usable_cores": len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count(),
            "python": platform.python_version(),
        },
        "search": None
        if found is None
        else {
            "highest_good": found.good,
            "lowest_bad": found.bad,
            "runs": found.runs,
            "stopped": found.stopped,
            "overload": [
                {
                    "times": one.times,
                    "goodput": one.run.goodput,
                    "beside": [run.goodput for run in one.beside],
                    "share": one.share,
                }
                for one in beyond
            ],
        },
        "runs": [run.as_values() for run in runs],
    }
