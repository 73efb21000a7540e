"""What was measured, where, and how its figures are put into tables."""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """What the figures depend on, besides the servers."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


VERSIONS = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
found = {"python": sys.version.split()[0]}
for name in sys.argv[1:]:
    try: found[name] = version(name)
    except PackageNotFoundError: found[name] = None
print(json.dumps(found))
"""


def versions(python: Path, *packages: str) -> dict[str, str | None]:
    """The versions of packages in an environment, and of its Python; None if not installed."""
    if not python.exists():
        return {}
    names = [package.partition("[")[0] for package in packages]
    done = subprocess.run(
        [python, "-c", VERSIONS, *names], capture_output=True, text=True, check=True
    )
    found: dict[str, str | None] = json.loads(done.stdout)
    return found


def installed_mb(python: Path, *packages: str) -> float | None:
    """Of packages and all that they need, in an environment; None if one is not there."""
    script = Path(__file__).with_name("installed.py")
    done = subprocess.run([python, script, *packages], capture_output=True, text=True)
    return sum(json.loads(done.stdout).values()) / 1e6 if done.returncode == 0 else None


def middle(values: Iterable[float], shape: str = "{:,.0f}") -> str:
    """The median, with the range where there is one."""
    ordered = sorted(values)
    if not ordered:
        return ""
    text = shape.format(statistics.median(ordered))
    if len(ordered) == 1:
        return text
    return f"{text} ({shape.format(ordered[0])} to {shape.format(ordered[-1])})"


def ratios(
    runs: list[dict[str, Any]], over: str, under: str, at: int, under_at: int
) -> list[float]:
    """In each round: how many times as fast one way was as another.

    at, under_at: the numbers of callers of each.
    """

    def rates(way: str, callers: int) -> dict[int, float]:
        return {
            run["round"]: run["a_second"]
            for run in runs
            if (run["way"], run["callers"]) == (way, callers)
        }

    first, second = rates(over, at), rates(under, under_at)
    return [first[number] / second[number] for number in sorted(first.keys() & second.keys())]


def table(
    keys: tuple[str, ...],
    columns: dict[str, Callable[[list[dict[str, Any]]], str]],
    groups: dict[tuple[str, ...], list[dict[str, Any]]],
) -> str:
    """Markdown: a line a group, a column for each function of its runs."""
    lines = ["| " + " | ".join((*keys, *columns)) + " |"]
    lines.append("|" + " --- |" * len(keys) + " ---: |" * len(columns))
    for key, runs in groups.items():
        lines.append("| " + " | ".join((*key, *(cell(runs) for cell in columns.values()))) + " |")
    return "\n".join(lines)


def grouped(runs: list[dict[str, Any]], *keys: str) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """Runs by the values of some of their entries, in the order of their first appearance."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault(tuple(str(run[key]) for key in keys), []).append(run)
    return groups


def reason(error: Exception) -> str:
    """In one line: what it says first, and where there is a log behind that, the log's end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(dict.fromkeys([*lines[:1], *lines[-1:]]))[:300] or type(error).__name__


def say(text: str) -> None:
    """Progress, apart from the report."""
    print(text, file=sys.stderr, flush=True)
