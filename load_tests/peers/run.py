"""The same model behind Jitney and behind its peers, on one core, with wrk from another.

    make bench-peers                                          # installs them all, and runs
    python load_tests/peers/run.py                            # again; about 12 minutes
    python load_tests/peers/run.py --runs 1 --seconds 3 --only jitney mosec --connections 64

The 36 MB perceptron, 256 numbers as JSON. Each peer is tuned as its own documentation
advises for this: batches of up to 64, a wait of 0 to 1 ms, one instance of the model, one
thread. In each round each server is started anew, alone on the machine; the first right
answer is waited for, its idle cost taken, and wrk run with each number of connections.
`alone` is onnxruntime in batches of 64 on that core with no server: what no server can pass.

Peers that are not installed are left out, and said so. Linux only. The figures go to
load_tests/out/peers.json.
"""

import argparse
import asyncio
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import make_perceptron
import numpy as np
import onnx
from peers.closed_loop import ask_once, post
from peers.launch import Running, free_port, running
from peers.report import grouped, machine, middle, ratios, say, table, versions
from peers.servers import HERE, SERVERS, Server
from server import NotServing, unwind_when_terminated
from wrk import DISTINCT_REQUESTS, LOAD_CORE, SERVER_CORE, Failed, check_tools, on_core

LOAD_TESTS = HERE.parent
OUT = LOAD_TESTS / "out" / "peers"
MODEL = make_perceptron.DEFAULT
IDLE_S = 3.0


def main() -> int:
    """Measure, print, record."""
    options = arguments()
    unwind_when_terminated()
    try:
        check_tools()
        measure(options)
    except Failed as error:
        print(f"Failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the servers have been ended.", file=sys.stderr)
        return 130
    return 0


def arguments() -> argparse.Namespace:
    """The options, with what they mean."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    names = [server.name for server in SERVERS]
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 64, 256])
    parser.add_argument("--runs", type=int, default=3, help="rounds; the median counts (3)")
    parser.add_argument("--seconds", type=int, default=6, help="how long wrk runs (6)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="(all)")
    parser.add_argument("--json", type=Path, default=LOAD_TESTS / "out" / "peers.json")
    options = parser.parse_args()
    if min(*options.connections, options.runs, options.seconds, 1) < 1:
        parser.error("all numbers must be at least 1")
    return options


def measure(options: argparse.Namespace) -> None:
    """All rounds; prints as it goes. Raises Failed if a server gives wrong answers."""
    OUT.mkdir(parents=True, exist_ok=True)
    make_perceptron.write(MODEL)
    rows, wanted = questions()
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    shutil.rmtree(OUT / "cache", ignore_errors=True)
    chosen = [server for server in SERVERS if server.name in options.only]
    record: dict[str, Any] = {
        "command": sys.argv,
        "machine": machine(),
        "seconds": options.seconds,
        "left_out": {server.name: "not installed" for server in chosen if not server.installed},
        "versions": {
            server.name: versions(server.python, *server.packages)
            for server in chosen
            if server.installed
        },
        "installed_mb": {
            server.name: installed_mb(server.python) for server in chosen if server.installed
        },
        "runs": [],
    }
    for number in range(1, options.runs + 1):
        record["runs"].append({"round": number, **run_alone()})
        for server in chosen:
            if server.name in record["left_out"]:
                continue
            try:
                for run in run_server(server, rows, wanted, options):
                    record["runs"].append({"round": number, **run})
            except NotServing as error:
                # The others are worth having all the same; who is missing is said.
                say(f"{server.name}: {error}")
                record["left_out"][server.name] = str(error).partition("\n")[0]
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(record, indent=1))
    print(report(record))


def questions() -> tuple[list[list[str]], np.ndarray]:
    """Rows of numbers, as JSON writes them, and the model's answer to the first."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((DISTINCT_REQUESTS, make_perceptron.INPUTS), np.float32)
    weights = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(MODEL).graph.initializer
    }
    value, layers = rows[0], len(weights) // 2
    for layer in range(layers):
        value = value @ weights[f"w{layer}"] + weights[f"b{layer}"]
        value = value if layer == layers - 1 else np.maximum(value, 0)
    return [[str(number) for number in row] for row in rows], value


def run_alone() -> dict[str, Any]:
    """onnxruntime with no server, in batches of 64, and one by one."""
    say("onnxruntime alone …")
    printed = on_core(SERVER_CORE, sys.executable, LOAD_TESTS / "bare_model.py", MODEL)
    run_s = json.loads(printed)["run_s"]
    return {
        "way": "alone",
        "callers": 64,
        "a_second": 64 / run_s["64"],
        "cpu_us": run_s["64"] / 64 * 1e6,
        "one_row_ms": run_s["1"] * 1e3,
    }


def run_server(
    server: Server, rows: list[list[str]], wanted: np.ndarray, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Start it, and measure with each number of connections. Raises Failed or NotServing."""
    bodies = OUT / f"requests-{server.name}.jsonl"
    bodies.write_text("\n".join(server.body(row) for row in rows) + "\n")
    ports = {"port": free_port(), "port2": free_port(), "model": MODEL}
    first = post(ports["port"], server.path, server.body(rows[0]).encode())

    def answers() -> bool:
        status, body = asyncio.run(ask_once(ports["port"], first))
        if status != 200:
            return False
        row = np.asarray(server.row(json.loads(body)), np.float64).ravel()
        if row.shape != wanted.shape or not np.allclose(row, wanted, rtol=1e-3, atol=1e-4):
            raise Failed(f"{server.name} answers {row}, not {wanted}")
        return True

    say(f"{server.name}: starting …")
    with running(
        [part.format(**ports) for part in server.command],
        core=SERVER_CORE,
        log=OUT / f"{server.name}.log",
        answers=answers,
        folder=server.folder,
        environment={
            "MODEL": str(MODEL),
            "PYTHONPATH": str(HERE / "shared"),
            "XDG_CACHE_HOME": str(OUT / "cache"),
            "PATH": f"{server.python.parent}:{os.environ['PATH']}",
            **{key: value.format(**ports) for key, value in server.settings.items()},
        },
    ) as process:
        time.sleep(1)
        idle = process.cpu_s()
        time.sleep(IDLE_S)
        idle = (process.cpu_s() - idle) / IDLE_S
        url = f"http://127.0.0.1:{ports['port']}{server.path}"
        runs = []
        for connections in options.connections:
            wrk(process, url, bodies, connections, server.warm_up_s)
            run = wrk(process, url, bodies, connections, options.seconds)
            run |= {"way": server.name, "idle": idle, "started_s": process.started_s}
            say(f"{server.name}, {connections} connections: {run['a_second']:,.0f} a second")
            runs.append(run)
    return runs


def wrk(process: Running, url: str, bodies: Path, connections: int, seconds: int) -> dict[str, Any]:
    """A run of wrk. Answers that are no answers are counted, and show in the table."""
    cpu_s = process.cpu_s()
    printed = on_core(
        LOAD_CORE,
        *("wrk", "--threads", "1", "--connections", connections, "--duration", f"{seconds}s"),
        *("--timeout", "10s", "--script", LOAD_TESTS / "wrk.lua", url, "--", bodies),
    )
    cpu_s = process.cpu_s() - cpu_s
    result = json.loads(printed.rstrip().rpartition("\n")[2])
    answered = max(1, result["requests"] - result["not_2xx"])
    return {
        "callers": connections,
        "a_second": answered / result["duration_us"] * 1e6,
        "p50_ms": result["p50_us"] / 1e3,
        "p99_ms": result["p99_us"] / 1e3,
        "failed": result["not_2xx"] + result["broken"],
        "cpu_us": cpu_s / answered * 1e6,
        "core": cpu_s / result["duration_us"] * 1e6,
        "resident_mb": process.resident_mb(),
        # As counted by the answers' Server-Timing, which only ours have.
        "riders": result["riders"],
    }


def installed_mb(python: Path) -> float:
    """Of all packages in an environment."""
    files = (python.parents[1] / "lib").rglob("*")
    return sum(file.lstat().st_size for file in files if file.is_file()) / 1e6


def report(record: dict[str, Any]) -> str:
    """The tables."""
    runs = record["runs"]

    def of(name: str, shape: str = "{:,.0f}", scale: float = 1.0) -> Any:
        return lambda group: middle((run[name] * scale for run in group if name in run), shape)

    parts = [
        table(
            ("way", "callers"),
            {
                "requests/s": of("a_second"),
                "p50 ms": of("p50_ms", "{:,.2f}"),
                "p99 ms": of("p99_ms", "{:,.1f}"),
                "CPU µs a request": of("cpu_us"),
                "core used": of("core", "{:.0%}"),
                "failed": of("failed"),
            },
            grouped(runs, "way", "callers"),
        ),
        table(
            ("way",),
            {
                "first answer after s": of("started_s", "{:.1f}"),
                "idle, of a core": of("idle", "{:.2%}"),
                "resident MB": of("resident_mb"),
            },
            grouped([run for run in runs if run["way"] != "alone"], "way"),
        ),
    ]
    for callers in sorted({run["callers"] for run in runs}):
        rivals = {
            run["way"]: ratios(runs, "jitney", run["way"], callers, callers)
            for run in runs
            if run["way"] not in {"jitney", "alone"}
        }
        least = {name: middle(times, "{:.2f}") for name, times in rivals.items() if times}
        if least:
            best = min(least, key=lambda name: sorted(rivals[name])[len(rivals[name]) // 2])
            parts.append(f"{callers} callers: jitney {least[best]} x {best}, the best peer")
    for name, why in record["left_out"].items():
        parts.append(f"left out: {name} ({why})")
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
