"""Medians and ranges out of records: what the page and the README's table are made of. Pure.

Differences and ratios are taken within a round first, so that a slow hour of the machine is on
both sides of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

Values = dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, and their range."""

    middle: float
    low: float
    high: float


def spread(values: Iterable[float | None]) -> Spread | None:
    """None if there are none."""
    there = [value for value in values if value is not None]
    return Spread(median(there), min(there), max(there)) if there else None


def ways(record: Values) -> list[str]:
    """The servers that were measured, in their order."""
    names = record.get("labels") or dict.fromkeys(run["way"] for run in record["runs"])
    measured = {run["way"] for run in record["runs"]}
    return [name for name in names if name in measured]


def label(record: Values, way: str) -> str:
    """Its name as people write it."""
    return str(record.get("labels", {}).get(way, way))


def closed(record: Values, way: str, form: str, callers: int, name: str) -> Spread | None:
    """A figure of callers who wait: a_second, p50_ms, cpu_us and so on."""
    return spread(
        run.get(name)
        for run in record["runs"]
        if (run["way"], run.get("form", "json"), run["callers"]) == (way, form, callers)
    )


def times(record: Values, way: str, other: str, form: str, callers: int) -> Spread | None:
    """How many times as many requests a second as another, in each round."""
    rates: dict[str, dict[int, float]] = {way: {}, other: {}}
    for run in record["runs"]:
        if (run.get("form", "json"), run["callers"]) == (form, callers) and run["way"] in rates:
            rates[run["way"]][run["round"]] = run["a_second"]
    both = rates[way].keys() & rates[other].keys()
    return spread(rates[way][number] / rates[other][number] for number in both)


def callers(record: Values, form: str) -> list[int]:
    """How many there were."""
    return sorted({run["callers"] for run in record["runs"] if run.get("form", "json") == form})


def alone_rows(record: Values) -> Spread | None:
    """Rows a second of onnxruntime in batches of 64, with no server."""
    return spread(64 / each["run_s"]["64"] for each in record["alone"])


def over_model_us(record: Values, way: str, form: str, callers: int) -> Spread | None:
    """CPU of a request beyond what the model's run costs by itself.

    The model's share is that of the batches that ran where the server says how large they were,
    as Jitney does; else of as large ones as may be, 64 rows or all callers: the cheapest.
    """
    alone = {each["round"]: each["run_s"] for each in record["alone"]}
    return spread(
        run["cpu_us"] - _model_us(alone[run["round"]], run)
        for run in record["runs"]
        if (run["way"], run["form"], run["callers"]) == (way, form, callers)
        and run["round"] in alone
    )


def _model_us(run_s: dict[str, float], run: Values) -> float:
    riders: dict[int, int] = {int(rows): count for rows, count in run.get("riders") or ()}
    if not riders:
        riders = {min(64, run["callers"]): 1}
    total = sum(_at(run_s, rows) / rows * count for rows, count in riders.items())
    return total / sum(riders.values()) * 1e6


def _at(run_s: dict[str, float], rows: int) -> float:
    """Between the sizes that were measured."""
    sizes = sorted((int(size), value) for size, value in run_s.items())
    for (small, less), (large, more) in pairwise(sizes):
        if small <= rows <= large:
            return less + (more - less) * (rows - small) / (large - small)
    size, value = sizes[0] if rows < sizes[0][0] else sizes[-1]
    return value * rows / size


def lone_added_ms(record: Values, way: str, form: str = "json") -> Spread | None:
    """The median latency of a caller who is alone, beyond a run of one row."""
    alone = {each["round"]: each["run_s"]["1"] * 1e3 for each in record["alone"]}
    return spread(
        run["p50_ms"] - alone[run["round"]]
        for run in record["runs"]
        if (run["way"], run["form"], run["callers"]) == (way, form, 1) and run["round"] in alone
    )


def start(record: Values, way: str, name: str) -> Spread | None:
    """started_s or idle."""
    return spread(each[name] for each in record["starts"] if each["way"] == way)


def resident_mb(record: Values, way: str) -> Spread | None:
    """After the last of the callers who wait, of each round."""
    last = {run["round"]: run["resident_mb"] for run in record["runs"] if run["way"] == way}
    return spread(last.values())


def highest(record: Values, way: str) -> Spread | None:
    """The highest rate that was answered in time; rounds that found none do not count."""
    return spread(each["highest_good"] or None for each in record["open"] if each["way"] == way)


def opened(record: Values) -> list[str]:
    """Those with an open loop that found a rate."""
    return [way for way in ways(record) if highest(record, way)]


def goodput_share(record: Values, way: str, times: float) -> Spread | None:
    """In time at so many times its own highest rate, of what was at that rate beside it."""
    return spread(
        one["share"]
        for each in record["open"]
        if each["way"] == way and each["highest_good"]
        for one in each["overload"]
        if one["times"] == times
    )


def multiples(record: Values) -> list[float]:
    """The parts and multiples that were offered to all."""
    found: dict[float, set[str]] = {}
    for each in record["open"]:
        for one in each["overload"] if each["highest_good"] else ():
            found.setdefault(one["times"], set()).add(each["way"])
    most = max(map(len, found.values()), default=0)
    return sorted(times for times, names in found.items() if len(names) == most)


def latencies(record: Values, way: str, name: str) -> list[tuple[float, float]]:
    """Offered rate and a quantile in ms of the answers, of all runs that count; by rate."""
    runs = [run for each in record["open"] if each["way"] == way for run in each["runs"]]
    rates = sorted({round(run["rate"]) for run in runs if not run["void"]})
    points = []
    for rate in rates:
        same = [run for run in runs if round(run["rate"]) == rate and not run["void"]]
        found = spread(run["latency_ms"][name] for run in same)
        if found:
            points.append((median(run["offered"] for run in same), found.middle))
    return points
