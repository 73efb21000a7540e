"""How fast the server is on one core, and what it adds to the model: measured with wrk.

    python load_tests/wrk.py --connections 64 256

The server has core 0 and wrk core 1. The model is a 36 MB perceptron, a request
256 numbers as JSON. What the server costs is the CPU time of its whole process
over the requests it answered; what the model costs is measured bare, on the same
core, at the batch sizes that really ran. The difference is the server's overhead.
Linux only.
"""

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import urllib.request
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import make_perceptron
import numpy as np
from server import NotServing, Server, child, serving, unwind_when_terminated

HERE = Path(__file__).parent
OUT = HERE / "out"
SERVER_CORE, LOAD_CORE = "0", "1"
WARM_UP_S = 3

# More than there are connections, so that no two of them ask the same at once.
DISTINCT_REQUESTS = 1024


class Failed(Exception):
    """There is nothing to report, and this is why."""


@dataclass(frozen=True)
class Run:
    """What one run of wrk showed."""

    requests_a_second: float
    p50_ms: float
    p99_ms: float
    batch_rows: float
    core_share: float
    """How much of its core the server had: far below 1, something else was running too."""
    server_us: float
    model_us: float
    overhead_us: float


def main() -> int:
    """Measure, and print what can be pasted into the README."""
    options = arguments()
    unwind_when_terminated()
    try:
        check_tools()
        measure(options)
    except (Failed, NotServing) as error:
        print(f"Failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the server has been ended.", file=sys.stderr)
        return 130
    return 0


def arguments() -> argparse.Namespace:
    """The options, with what they mean."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--connections", type=int, nargs="+", default=[64], metavar="N", help="how many (64)"
    )
    parser.add_argument("--seconds", type=int, default=8, help="how long a run takes (8)")
    parser.add_argument("--runs", type=int, default=5, help="how many runs; the median counts (5)")
    options = parser.parse_args()
    if min(*options.connections, options.seconds, options.runs, 1) < 1:
        parser.error("all numbers must be at least 1")
    return options


def check_tools() -> None:
    """Raise Failed with the way out if something is missing."""
    for tool, package in (("wrk", "wrk"), ("taskset", "util-linux")):
        if shutil.which(tool) is None:
            raise Failed(f"{tool} is not installed: apt-get install {package}")
    if not {int(SERVER_CORE), int(LOAD_CORE)} <= os.sched_getaffinity(0):
        raise Failed(f"cores {SERVER_CORE} and {LOAD_CORE} are needed, one for each side")


def measure(options: argparse.Namespace) -> None:
    """All runs; prints as it goes."""
    make_perceptron.write(make_perceptron.DEFAULT)
    requests = write_requests(OUT / "requests.jsonl")
    say("measuring the model alone …")
    bare = on_core(SERVER_CORE, sys.executable, HERE / "bare_model.py", make_perceptron.DEFAULT)
    bare = json.loads(bare)
    prefix = ("taskset", "--cpu-list", SERVER_CORE)
    with serving(make_perceptron.DEFAULT, log=OUT / "server.log", prefix=prefix) as server:
        ask_once(server, requests)
        print(f"`{shlex.join(['python', 'load_tests/wrk.py', *sys.argv[1:]])}`")
        print(f"on {machine(server, bare['onnxruntime'])}\n")
        print("| connections | run | requests/s | p50 ms | p99 ms | rows a batch ", end="")
        print("| core used | server CPU µs/request | model CPU µs/row | overhead µs |")
        print("|" + " ---: |" * 10, flush=True)
        for connections in options.connections:
            say(f"{connections} connections: warming up for {WARM_UP_S} s …")
            one_run(server, requests, connections, WARM_UP_S, bare["run_s"])
            runs = []
            for number in range(1, options.runs + 1):
                runs.append(one_run(server, requests, connections, options.seconds, bare["run_s"]))
                print(row(connections, str(number), runs[-1]), flush=True)
            columns = zip(*map(astuple, runs), strict=True)
            print(row(connections, "**median**", Run(*map(statistics.median, columns))), flush=True)


def write_requests(path: Path) -> Path:
    """A file with a request a line."""
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        for _ in range(DISTINCT_REQUESTS):
            numbers = ",".join(map(str, rng.standard_normal(make_perceptron.INPUTS, np.float32)))
            tensor = f'"name":"x","shape":[1,{make_perceptron.INPUTS}],"datatype":"FP32"'
            file.write(f'{{"inputs":[{{{tensor},"data":[{numbers}]}}]}}\n')
    return path


def ask_once(server: Server, requests: Path) -> None:
    """Make sure that what is measured is an answer. Raises Failed."""
    with requests.open("rb") as file:
        body = file.readline()
    # Without the environment's proxies, which have no business between two local processes.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(infer_url(server), body, timeout=30) as reply:
            (output,) = json.load(reply)["outputs"]
    except OSError as error:
        raise Failed(f"the first request failed: {error}") from error
    if output["shape"] != [1, make_perceptron.OUTPUTS]:
        raise Failed(f"the model answered with {output}")


def one_run(
    server: Server, requests: Path, connections: int, seconds: int, run_s: dict[str, float]
) -> Run:
    """Run wrk once. Raises Failed if any answer was not what was asked for."""
    cpu_s = server.cpu_s()
    printed = on_core(
        LOAD_CORE,
        *("wrk", "--threads", "1", "--connections", connections, "--duration", f"{seconds}s"),
        *("--script", HERE / "wrk.lua", infer_url(server), "--", requests),
    )
    cpu_s = server.cpu_s() - cpu_s
    result: dict[str, Any] = json.loads(printed.rstrip().rpartition("\n")[2])
    answered = result["requests"]
    if result["not_2xx"] or result["broken"] or not answered:
        raise Failed(
            f"of {answered} requests {result['not_2xx']} were refused or failed, "
            f"and {result['broken']} got no answer"
        )
    riders = {int(rows): number for rows, number in result["riders"]}
    if not riders:
        raise Failed("the answers do not say in Server-Timing how large their batch was")
    counted = sum(riders.values())
    server_us = cpu_s / answered * 1e6
    model_us = sum(n * alone_s(rows, run_s) / rows for rows, n in riders.items()) / counted * 1e6
    return Run(
        requests_a_second=answered / result["duration_us"] * 1e6,
        p50_ms=result["p50_us"] / 1e3,
        p99_ms=result["p99_us"] / 1e3,
        # A batch of n rows was counted n times.
        batch_rows=counted / sum(number / rows for rows, number in riders.items()),
        core_share=cpu_s / result["duration_us"] * 1e6,
        server_us=server_us,
        model_us=model_us,
        overhead_us=server_us - model_us,
    )


def alone_s(rows: int, run_s: dict[str, float]) -> float:
    """CPU time of a bare run of so many rows, between the sizes that were measured."""
    sizes = [int(size) for size in run_s]
    if rows > sizes[-1]:
        raise Failed(f"a batch of {rows} rows ran, more than the bare model was measured with")
    return float(np.interp(rows, sizes, list(run_s.values())))


def infer_url(server: Server) -> str:
    return f"{server.url}/v2/models/{make_perceptron.DEFAULT.stem}/infer"


def on_core(core: str, *command: object) -> str:
    """Run a command on one core; what it printed. Raises Failed."""
    pinned = ["taskset", "--cpu-list", core, *map(str, command)]
    pipe = subprocess.PIPE
    with child(pinned, stdout=pipe, stderr=pipe, text=True) as process:
        printed, complaints = process.communicate()
    if process.returncode != 0:
        raise Failed(f"{command[0]} ended with {process.returncode}: {complaints.strip()}")
    return printed


def machine(server: Server, onnxruntime: str) -> str:
    """What was measured, and where."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    log = (OUT / "server.log").read_text()
    jitney = re.search(r"Jitney \S+", log)
    wrk = subprocess.run(["wrk", "--version"], capture_output=True, text=True).stdout.split()
    parts = (
        f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores",
        jitney[0] if jitney else "Jitney",
        f"Python {platform.python_version()}",
        f"onnxruntime {onnxruntime}",
        f"wrk {wrk[1].removeprefix('debian/')}" if len(wrk) > 1 else "wrk",
    )
    return "; ".join(parts)


def row(connections: int, name: str, run: Run) -> str:
    """A line of the table."""
    return (
        f"| {connections} | {name} | {run.requests_a_second:,.0f} | {run.p50_ms:.1f} "
        f"| {run.p99_ms:.1f} | {run.batch_rows:.1f} | {run.core_share:.0%} | {run.server_us:.0f} "
        f"| {run.model_us:.0f} | {run.overhead_us:.0f} |"
    )


def say(text: str) -> None:
    """Progress, apart from the report."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
