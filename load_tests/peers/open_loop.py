"""Callers who come when they like: `jitney bench` against any of the servers.

It gives each caller's wait from the instant at which the request was due, finds the highest
rate of which 99% are answered within the SLO, and goes on at parts and multiples of it.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wrk import LOAD_CORE, Failed, child

SLO_MS = 100.0
PARTS = (0.5, 0.8)
OVERLOADS = (1.5, 2.0, 3.0)
PRECISION = 0.06
PATIENCE_S = 2.0
"""After which a caller is gone. Many times the SLO; who waits longer only costs us time."""

LATENESS_MS = 10.0
"""The generator's own that makes a run void. It is in every latency, so that it makes servers seem
slower, never faster."""

LONGEST_S = 45.0
"""Of a search; it gives what it has."""


def command(url: str, bodies: Path, start: float, seconds: float, to: Path) -> list[str]:
    """The command. start: a rate to begin at, requests a second. to: its JSON, and its picture."""
    rest: Sequence[object] = (
        *("--body", bodies, "--search", "--rate", f"{start:.0f}", "--slo-ms", f"{SLO_MS:g}"),
        *("--repeats", 3, "--precision", PRECISION, "--seconds", f"{seconds:g}"),
        *("--warm-up", 0.5, "--timeout", f"{PATIENCE_S:g}", "--max-seconds", f"{LONGEST_S:g}"),
        *("--overload", *(f"{times:g}" for times in PARTS + OVERLOADS)),
        *("--max-lateness-ms", f"{LATENESS_MS:g}", "--json", to, "--plot", to.with_suffix(".svg")),
    )
    return [str(Path(sys.executable).parent / "jitney"), "bench", url, *map(str, rest)]


def open_loop(url: str, bodies: Path, start: float, seconds: float, to: Path) -> dict[str, Any]:
    """Run it; what is worth keeping. Raises Failed."""
    to.unlink(missing_ok=True)
    pinned = ["taskset", "--cpu-list", LOAD_CORE, *command(url, bodies, start, seconds, to)]
    pipe = subprocess.PIPE
    with child(pinned, stdout=subprocess.DEVNULL, stderr=pipe, text=True) as process:
        _, complaints = process.communicate()
    # Exit code 1 with figures is a run that was void, or a search that ended early: it is in them.
    if not to.exists():
        raise Failed(f"jitney bench ended with {process.returncode}: {complaints.strip()[-500:]}")
    return kept(json.loads(to.read_text()))


def kept(document: dict[str, Any]) -> dict[str, Any]:
    """Of its JSON, what the report needs: a tenth of it."""
    names = ("rate", "offered", "requests", "answered", "in_time", "goodput", "late", "refused")
    names += ("unavailable", "expired", "failed", "lost", "void")
    runs = []
    for run in document["runs"]:
        latency_ms = {name: run["latency_ms"][name]["value"] for name in ("p50", "p99")}
        runs.append({name: run[name] for name in names} | {"latency_ms": latency_ms})
    return {"slo_ms": document["slo_ms"], **document["search"], "runs": runs}
