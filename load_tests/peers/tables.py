"""The record of `run.py` as tables for a terminal, in Markdown. Pure."""

from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

from peers.open_loop import OVERLOADS
from peers.report import grouped, middle, ratios, table

Runs = list[dict[str, Any]]


def report(record: dict[str, Any]) -> str:
    """All tables, the ratios, and who is left out."""
    labels, runs = record["labels"], record["runs"]
    named = [run | {"way": labels[run["way"]]} for run in runs]
    parts = [
        f"onnxruntime alone, rows a second on that core, in batches of 64: "
        f"{middle(64 / each['run_s']['64'] for each in record['alone'])}; "
        f"one row: {middle((each['run_s']['1'] * 1e3 for each in record['alone']), '{:.2f}')} ms",
        table(
            ("server", "form", "callers"),
            {
                "requests/s": _of("a_second"),
                "p50 ms": _of("p50_ms", "{:,.2f}"),
                "p99 ms": _of("p99_ms", "{:,.1f}"),
                "CPU µs a request": _of("cpu_us"),
                "core used": _of("core", "{:.0%}"),
                "failed": _of("failed"),
            },
            grouped(named, "way", "form", "callers"),
        ),
        _others(record),
        _open(record),
        *(_lead(record, form, callers) for form, callers in _asked(runs)),
    ]
    parts += [f"left out: {labels[name]} ({why})" for name, why in record["left_out"].items()]
    return "\n\n".join(part for part in parts if part)


def best(rivals: dict[str, list[float]]) -> str | None:
    """Of the ratios over each, the one with the least median: over whom it is hardest."""
    there = {name: times for name, times in rivals.items() if times}
    return min(there, key=lambda name: median(there[name])) if there else None


def _of(name: str, shape: str = "{:,.0f}") -> Callable[[Runs], str]:
    return lambda group: middle((run[name] for run in group if name in run), shape)


def _others(record: dict[str, Any]) -> str:
    labels, last = record["labels"], {}
    for run in record["runs"]:
        last[run["way"], run["round"]] = {
            "way": run["way"],
            "resident_mb": run["resident_mb"],
        }
    entries = [*record["starts"], *last.values()]
    groups = grouped([entry | {"way": labels[entry["way"]]} for entry in entries], "way")
    sizes = {labels[name]: size for name, size in record["installed_mb"].items() if size}
    return table(
        ("server",),
        {
            "first answer after s": _of("started_s", "{:.2f}"),
            "idle, of a core": _of("idle", "{:.2%}"),
            "resident MB": _of("resident_mb"),
            "installed MB": lambda group: middle(
                [sizes[group[0]["way"]]] if group[0]["way"] in sizes else []
            ),
        },
        groups,
    )


def _open(record: dict[str, Any]) -> str:
    labels = record["labels"]
    entries = [
        {"way": labels[found["way"]], "highest": found["highest_good"], **_shares(found)}
        for found in record["open"]
    ]
    columns = {"highest rate in time /s": _of("highest")}
    for times in OVERLOADS:
        columns[f"in time at {times:g}x, of it"] = _of(f"{times:g}", "{:.2f}")
    return table(("server",), columns, grouped(entries, "way")) if entries else ""


def _shares(found: dict[str, Any]) -> dict[str, float]:
    """Of the goodput at the highest rate, by the multiple of it; without what is void."""
    return {
        f"{one['times']:g}": one["share"] for one in found["overload"] if one["share"] is not None
    }


def _asked(runs: Runs) -> Iterable[tuple[str, int]]:
    return dict.fromkeys((run["form"], run["callers"]) for run in runs if run["callers"] > 1)


def _lead(record: dict[str, Any], form: str, callers: int) -> str:
    """How many times as fast as the best peer, in each round."""
    runs = [run for run in record["runs"] if run["form"] == form]
    rivals = {
        name: ratios(runs, "jitney", name, callers, callers)
        for name in record["labels"]
        if name != "jitney"
    }
    name = best(rivals)
    if name is None:
        return ""
    times = middle(rivals[name], "{:.2f}")
    return f"{form}, {callers} callers: Jitney {times} x {record['labels'][name]}, the best peer"
