"""Ten models on two cores, of which one is asked for three times what it can do.

    make bench-neighbours
    python load_tests/neighbours.py --models magika --rounds 1

Ten copies of a model behind one server. First one of them alone: its capacity is the highest rate
of which 99% is answered within the SLO, as `jitney bench --search` finds it. Then, again and again,
nine at a tenth of that and one at three times it: how many of the nine's requests are in time, and
what the tenth has of what the nine leave.

The generators, one `jitney bench` a model, share the two cores with the server, also while the
capacity is looked for; so what they take is told too. Linux only.

magika       the type of a file, 4 ms of work a row: batching does not pay
minilm       a sentence, 5 ms of work alone and 3 in a batch
perceptron   256 numbers as JSON, 0.1 ms of work a row in a batch and 0.7 alone. Not measured unless
             asked for: ten thousand a second take more of the two cores to ask than to answer

The figures go to load_tests/out/neighbours.json.
"""

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import make_perceptron
from peers.report import machine, say, versions
from real_models import DEFAULT as REAL_MODELS
from server import NotServing, Server, child, serving, unwind_when_terminated
from wrk import Failed

HERE = Path(__file__).parent
OUT = HERE / "out" / "neighbours"
MODELS = ("magika", "minilm", "perceptron")
CORES = "0,1"
COPIES = 10
OVERLOAD = 3.0
"""What the tenth is asked for, as a part of what one can do alone."""
TARGET = 0.99
WARM_UP_S = 5.0
"""Longer than ten generators take to start."""


@dataclass(frozen=True)
class Run:
    """A round: the nine together, and the tenth."""

    capacity: float
    offered: float
    in_time: float
    """Of the nine's requests, as a share."""
    worst: float
    """Of one of the nine."""
    refused: float
    late: float
    tenth_offered: float
    tenth_goodput: float
    server_cores: float
    generators_cores: float


def main() -> int:
    """Measure, print, record."""
    options = arguments()
    unwind_when_terminated()
    os.chdir(HERE.parent)
    OUT.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {
        "command": shlex.join(["python", "load_tests/neighbours.py", *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions(Path(sys.executable), "jitney", "onnxruntime"),
        "slo_ms": options.slo_ms,
        "models": {},
    }
    try:
        check_machine()
        for name in options.models:
            runs = measured(name, options)
            record["models"][name] = [asdict(run) for run in runs]
            print(report(name, options.slo_ms, runs), flush=True)
    except (Failed, NotServing) as error:
        print(f"Failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; everything that was started has been ended.", file=sys.stderr)
        return 130
    options.json.write_text(json.dumps(record, indent=1))
    return 0


def arguments() -> argparse.Namespace:
    """The options, with what they mean."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=["magika", "minilm"], help="(magika minilm)"
    )
    parser.add_argument("--file", type=Path, help="any other ONNX file, in place of those")
    parser.add_argument("--rounds", type=int, default=3, help="after one search (3)")
    parser.add_argument(
        "--part", type=float, default=0.1, help="what each of the nine is asked for, of that (0.1)"
    )
    parser.add_argument("--seconds", type=float, default=10, help="how long a round takes (10)")
    parser.add_argument("--slo-ms", type=float, default=100, help="in time is within it (100)")
    parser.add_argument("--json", type=Path, default=HERE / "out" / "neighbours.json")
    options = parser.parse_args()
    if min(options.rounds, options.seconds) < 1 or min(options.slo_ms, options.part) <= 0:
        parser.error("--rounds and --seconds must be at least 1, --slo-ms and --part above 0")
    if options.file:
        options.models = [options.file.stem]
    return options


def check_machine() -> None:
    """Raise Failed where the two cores are not to be had."""
    if not set(map(int, CORES.split(","))) <= os.sched_getaffinity(0):
        raise Failed(f"cores {CORES} are needed")


def measured(name: str, options: argparse.Namespace) -> list[Run]:
    """A server of ten such models: what one does alone, and the rounds. Raises Failed."""
    root = ten_of(name, options.file)
    slo = ("--slo-ms", f"{options.slo_ms:g}")
    on_two = ("taskset", "--cpu-list", CORES)
    with serving(root, *slo, log=OUT / f"{name}.log", prefix=on_two) as server:
        say(f"{name}: what one of ten does alone …")
        capacity = searched(server, slo)
        say(f"{name}: {capacity:,.0f} a second within {options.slo_ms:g} ms")
        runs = []
        for number in range(1, options.rounds + 1):
            runs.append(one_round(server, slo, capacity, options, number))
            say(
                f"{name}, round {number}: of the nine {runs[-1].in_time:.1%} in time, "
                f"the tenth {runs[-1].tenth_goodput:,.0f} a second"
            )
        return runs


def ten_of(name: str, file: Path | None) -> Path:
    """A folder with ten copies. Raises Failed."""
    root = OUT / name
    shutil.rmtree(root, ignore_errors=True)
    if file or name == "perceptron":
        if not file:
            make_perceptron.write(make_perceptron.DEFAULT)
        for copy in copies():
            (root / copy / "1").mkdir(parents=True)
            shutil.copyfile(file or make_perceptron.DEFAULT, root / copy / "1" / "model.onnx")
        return root
    model = REAL_MODELS / name
    if not (model / "1/model.onnx").is_file():
        raise Failed(f"{model} is not there; run: make models")
    for copy in copies():
        shutil.copytree(model, root / copy)
    return root


def copies() -> list[str]:
    """Their names; the last is the one in overload."""
    return [f"model-{number}" for number in range(1, COPIES + 1)]


def searched(server: Server, slo: tuple[str, ...]) -> float:
    """The highest rate of the first copy within the SLO. Raises Failed."""
    command = bench(server, copies()[0], slo)
    command += ["--search", "--repeats", "1", "--precision", "0.05", "--seconds", "5"]
    found: float | None = finished([command])[0]["search"]["highest_good"]
    if not found:
        raise Failed(f"no rate is answered within {slo[-1]} ms")
    return found


def one_round(
    server: Server,
    slo: tuple[str, ...],
    capacity: float,
    options: argparse.Namespace,
    seed: int,
) -> Run:
    """All ten at once. Raises Failed."""
    seconds: float = options.seconds
    commands = []
    for number, name in enumerate(copies(), 1):
        rate = capacity * (OVERLOAD if number == COPIES else options.part)
        command = bench(server, name, slo)
        command += ["--rate", f"{rate:.2f}", "--seconds", f"{seconds:g}"]
        command += ["--warm-up", f"{WARM_UP_S:g}", "--seed", str(COPIES * seed + number)]
        commands.append(command)
    server_s = server.cpu_s()
    found = [results["runs"][0] for results in finished(commands)]
    server_s = server.cpu_s() - server_s
    nine, tenth = found[:-1], found[-1]
    requests = sum(run["requests"] for run in nine)
    return Run(
        capacity,
        requests / seconds,
        sum(run["in_time"] for run in nine) / requests,
        min(run["good"]["share"] for run in nine),
        sum(run["refused"] for run in nine) / requests,
        sum(run["late"] + run["expired"] for run in nine) / requests,
        tenth["offered"],
        tenth["goodput"],
        server_s / (seconds + WARM_UP_S),
        sum(run["generator"]["core_used"] for run in found),
    )


def bench(server: Server, name: str, slo: tuple[str, ...]) -> list[str]:
    """The generator for one of them. It has no core to itself: what it is late is in the latency
    of its requests, and no reason to throw the run away."""
    jitney = str(Path(sys.executable).parent / "jitney")
    command = ["taskset", "--cpu-list", CORES, jitney, "bench", server.url, "--model", name, *slo]
    return [*command, "--max-lateness-ms", "1000", "--json", "-"]


def finished(commands: list[list[str]]) -> list[dict[str, Any]]:
    """What they find, all at once. Raises Failed if one of them fails."""
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        started = [
            stack.enter_context(child(command, stdout=pipe, stderr=pipe, text=True))
            for command in commands
        ]
        found = []
        for process in started:
            printed, complaints = process.communicate()
            if process.returncode != 0:
                raise Failed(f"jitney bench ended with {process.returncode}: {complaints.strip()}")
            found.append(json.loads(printed))
        return found


def report(name: str, slo_ms: float, runs: list[Run]) -> str:
    """The rounds as a table, and the median."""
    lines = [
        f"\nTen of {name} on two cores; one alone does {runs[0].capacity:,.0f} a second "
        f"within {slo_ms:g} ms\n",
        "| round | nine together/s | in time | worst of them | refused | late "
        "| tenth offered/s | in time/s | cores: server | generators |",
        "|" + " ---: |" * 10,
    ]
    for number, run in enumerate(runs, 1):
        lines.append(
            f"| {number} | {run.offered:,.0f} | {run.in_time:.1%} | {run.worst:.1%} "
            f"| {run.refused:.1%} | {run.late:.1%} | {run.tenth_offered:,.0f} "
            f"| {run.tenth_goodput:,.0f} | {run.server_cores:.2f} | {run.generators_cores:.2f} |"
        )
    middle = statistics.median(run.in_time for run in runs)
    lines.append(f"\n{name}: {middle:.1%} of the nine in time, target {TARGET:.0%}.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
