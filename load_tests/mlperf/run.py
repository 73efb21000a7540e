"""MLPerf's LoadGen against a running server: its Server scenario over its Offline one.

    make bench-mlperf                                        # installs LoadGen, and runs
    python load_tests/mlperf/run.py                          # again; about 4 minutes a model
    python load_tests/mlperf/run.py --short --models minilm  # a first look

The server has core 0 and LoadGen core 1. LoadGen itself draws the load, measures it and says
whether a run is VALID; generate.py only puts HTTP between the two.

Offline   LoadGen issues all samples at once; they are asked for as fast as the server takes
          them, so many connections at a time. The number that is fastest is used.
Server    LoadGen issues samples at random instants (Poisson). Looked for: the highest rate of
          which LoadGen calls a run VALID, that is 99% of all samples answered within the limit.
          A refused sample counts as late. What is found must hold once more, for longer.

Linux only. The figures go to load_tests/out/mlperf.json, LoadGen's own logs beside it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import server as servers
from peers.report import machine, say, versions
from samples import FURTHEST, Samples, answers_of, minilm, perceptron
from search import highest
from server import NotServing, Server, serving, unwind_when_terminated
from summary import NoSummary, read
from wrk import LOAD_CORE, SERVER_CORE, Failed, check_tools

HERE = Path(__file__).parent
OUT = HERE.parent / "out" / "mlperf"
PYTHON = HERE.parents[1] / ".venv-mlperf" / "bin" / "python"
TARGET = 0.90
OFFLINE_RUNS = 3
AT_ONCE = (64, 256, 512)
"""Connections that Offline is tried with."""
PROMISE = 0.95
"""Of the limit: what the server is told to answer within. The rest is for the way back."""
TWICE = 2
"""Runs of a rate until one is VALID: the machine is not ours alone."""


@dataclass(frozen=True)
class Workload:
    samples: Callable[[], Samples]
    latency_s: float
    guess: float
    """Samples a second, for the first look."""
    seconds: float
    """Of a run."""
    connections: int
    """Kept for Server."""


WORKLOADS = {
    "perceptron": Workload(perceptron, 0.1, 7000, 8.0, 512),
    "minilm": Workload(minilm, 0.5, 200, 12.0, 256),
}


def main() -> int:
    """Measure, print, record. The exit code is 1 if something could not be measured."""
    options = arguments()
    unwind_when_terminated()
    try:
        check_tools()
        if not PYTHON.exists():
            raise Failed("LoadGen is not installed; run: make bench-mlperf")
        results = {name: measure(name, options.short) for name in options.models}
    except (Failed, NotServing, NoSummary) as error:
        print(f"Failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the server has been ended.", file=sys.stderr)
        return 130
    record = {
        "command": sys.argv,
        "machine": machine(),
        "versions": {
            "server": versions(Path(sys.executable), "jitney", "onnxruntime", "tokenizers"),
            "generator": versions(PYTHON, "mlcommons-loadgen", "uvloop"),
        },
        "results": results,
    }
    options.json.write_text(json.dumps(record, indent=1))
    print(report(results))
    return 0


def arguments() -> argparse.Namespace:
    """The options, with what they mean."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--short", action="store_true", help="runs of a third: for a first look")
    parser.add_argument("--json", type=Path, default=HERE.parent / "out" / "mlperf.json")
    return parser.parse_args()


def measure(name: str, short: bool) -> dict[str, Any]:
    """All of one model. Raises Failed, NotServing and NoSummary."""
    work = WORKLOADS[name]
    seconds = work.seconds / 3 if short else work.seconds
    say(f"{name}: making samples …")
    samples = work.samples()
    OUT.mkdir(parents=True, exist_ok=True)
    # Of this measurement alone, so that no profile taken on a busy machine counts.
    servers.ENVIRONMENT["XDG_CACHE_HOME"] = str(OUT / "cache")
    prefix = ("taskset", "--cpu-list", SERVER_CORE)
    with serving(samples.model, log=OUT / f"{name}.log", prefix=prefix) as server:
        runs = Runs(name, server, samples, work.latency_s)
        furthest = runs.accuracy(work.guess)
        if furthest > FURTHEST[name]:
            raise Failed(f"{name}: an answer is {furthest:g} from the right one")
        first = {n: runs.offline(work.guess, seconds / 4, n) for n in AT_ONCE}
        best = max(first, key=lambda n: first[n])
        offline = [runs.offline(first[best], seconds, best) for _ in range(OFFLINE_RUNS - 1)]

        def holds(rate: float) -> bool:
            return any(runs.server(rate, seconds, work.connections)["valid"] for _ in range(TWICE))

        found = highest(holds, 0.92 * statistics.median(offline), tries=5 if short else 8)
        confirmed = None
        while found is not None and confirmed is None:
            for _ in range(TWICE):
                run = runs.server(found, 3 * seconds, work.connections)
                if run["valid"]:
                    confirmed = run
                    break
            else:
                found = 0.98 * found if found > 0.5 * offline[0] else None
        offline.append(runs.offline(first[best], seconds, best))
    if confirmed is None:
        raise Failed(f"{name}: no rate was VALID")
    return {
        "offline": offline,
        "server": confirmed["a_second"],
        "ratio": confirmed["a_second"] / statistics.median(offline),
        "confirmed": confirmed,
        "furthest": furthest,
        "offline_connections": best,
        "latency_s": work.latency_s,
        "runs": runs.done,
    }


class Runs:
    """Runs of LoadGen against a server, one after the other."""

    def __init__(self, name: str, server: Server, samples: Samples, latency_s: float) -> None:
        self._name, self._server, self._samples = name, server, samples
        self._latency_s = latency_s
        self._port = int(server.url.rpartition(":")[2])
        self.done: list[dict[str, Any]] = []

    def accuracy(self, rate: float) -> float:
        """Every sample once; how far the worst answer is from what it should be."""
        log = self._run("Offline", rate, 1.0, 64, mode="AccuracyOnly")
        answers = json.loads((log / "mlperf_log_accuracy.json").read_text())
        return self._samples.furthest(answers_of(answers))

    def offline(self, expected: float, seconds: float, connections: int) -> float:
        """Samples answered a second. LoadGen has to be told how many to expect."""
        while True:
            log = self._run("Offline", expected, seconds, connections)
            run = self._record(log, "Offline", seconds, connections=connections)
            if run["valid"]:
                return float(run["a_second"])
            expected = 1.1 * run["a_second"]

    def server(self, rate: float, seconds: float, connections: int) -> dict[str, Any]:
        """At this rate; the record says whether it was VALID."""
        log = self._run("Server", rate, seconds, connections)
        return self._record(log, "Server", seconds, target=rate)

    def _run(
        self,
        scenario: str,
        rate: float,
        seconds: float,
        connections: int,
        mode: str = "PerformanceOnly",
    ) -> Path:
        log = OUT / self._name / f"{len(self.done):02}-{scenario}"
        log.mkdir(parents=True, exist_ok=True)
        timeout_s = PROMISE * self._latency_s if scenario == "Server" else None
        requests = OUT / f"{self._name}.requests"
        with requests.open("wb") as file:
            for request in self._samples.requests(self._port, timeout_s):
                file.write(len(request).to_bytes(4, "little") + request)
        spec = log / "spec.json"
        fields = {"scenario": scenario, "mode": mode, "port": self._port, "rate": rate}
        fields |= {"requests": str(requests), "log": str(log), "seconds": seconds}
        fields |= {"latency_s": self._latency_s, "connections": connections}
        spec.write_text(json.dumps(fields))
        command = ["taskset", "--cpu-list", LOAD_CORE, PYTHON, HERE / "generate.py", spec]
        cpu_s, began = self._server.cpu_s(), time.monotonic()
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=60 + 4 * seconds, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{self._name}, {scenario}: LoadGen did not end") from error
        if done.returncode != 0:
            raise Failed(f"{self._name}, {scenario}: LoadGen failed: {done.stderr.strip()[-800:]}")
        self._last = json.loads(done.stdout.splitlines()[-1])
        self._last["server_core"] = (self._server.cpu_s() - cpu_s) / (time.monotonic() - began)
        if self._last["failed"]:
            raise Failed(
                f"{self._name}, {scenario}: {self._last['failed']} requests failed: "
                f"{self._last['why']}"
            )
        return log

    def _record(self, log: Path, scenario: str, seconds: float, **more: float) -> dict[str, Any]:
        summary = read(log)
        run = {**asdict(summary), **self._last, "seconds": seconds, "log": log.name, **more}
        self.done.append(run)
        say(
            f"{self._name}, {scenario}: {run['a_second']:,.0f} a second, p99 "
            f"{1e3 * run['p99_s']:.0f} ms, {run['refused']} refused, generator's core "
            f"{run['core']:.0%}: {'VALID' if run['valid'] else 'INVALID'}"
        )
        return run


def report(results: dict[str, Any]) -> str:
    """The table."""
    lines = [
        "| model | Offline, samples/s | Server, samples/s | p99 | refused | Server / Offline |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, result in results.items():
        run, offline = result["confirmed"], result["offline"]
        lines.append(
            f"| {name} | {statistics.median(offline):,.0f} ({min(offline):,.0f} to "
            f"{max(offline):,.0f}) | {result['server']:,.0f} | {1e3 * run['p99_s']:.0f} of "
            f"{1e3 * result['latency_s']:.0f} ms | {run['refused']} | "
            f"**{result['ratio']:.2f}** (target {TARGET:.2f}) |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    os.chdir(HERE.parents[1])
    sys.exit(main())
