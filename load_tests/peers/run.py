"""The same model behind Jitney and behind its peers, on one core, with the load on another.

    make bench-peers                                          # installs them all, and runs
    python load_tests/peers/run.py                            # again; about 16 minutes
    python load_tests/peers/run.py --runs 1 --seconds 3 --only jitney mosec --connections 64

The 36 MB perceptron, 256 numbers as JSON, and as binary tensors where a server takes them.
Each peer is tuned as its own documentation advises for this: batches of up to 64, a wait of 0
to 1 ms, one instance of the model, one thread. In each round each server is started anew,
alone on the machine; turn.py says what is measured then. onnxruntime alone, on that core and
with no server, is what no server can pass.

A server that is not installed, does not start, or fails on the way is left out with its
reason, and the others go on. Linux only. The figures go to load_tests/out/peers.json, after
every turn; `make report` draws them.
"""

import argparse
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import make_perceptron
from peers.questions import questions
from peers.report import installed_mb, machine, reason, say, versions
from peers.servers import HERE, SERVERS, Server
from peers.tables import report
from peers.turn import Wanted, learn, turn
from server import unwind_when_terminated
from wrk import LOAD_CORE, SERVER_CORE, Failed, check_tools, on_core

LOAD_TESTS = HERE.parent
OUT = LOAD_TESTS / "out" / "peers"
MODEL = make_perceptron.DEFAULT
OPEN_LOOP = ("jitney", "mosec", "pytriton")
"""Ours, and the two that are fastest with callers who wait."""


def main() -> int:
    """Measure, print, record. The exit code is 1 if nothing could be measured of ours."""
    options = arguments()
    unwind_when_terminated()
    try:
        check_tools()
        record = measure(options)
    except Failed as error:
        print(f"Failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the servers have been ended.", file=sys.stderr)
        return 130
    print(report(record))
    return int("jitney" in record["left_out"])


def arguments() -> argparse.Namespace:
    """The options, with what they mean."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    names = [server.name for server in SERVERS]
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 64, 256])
    parser.add_argument("--runs", type=int, default=3, help="rounds; the median counts (3)")
    parser.add_argument("--seconds", type=int, default=3, help="how long wrk runs (3)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="(all)")
    parser.add_argument(
        "--open-loop",
        nargs="*",
        choices=names,
        default=OPEN_LOOP,
        help=f"whose highest rate in time is searched for ({' '.join(OPEN_LOOP)})",
    )
    parser.add_argument("--open-runs", type=int, default=2, help="in how many rounds (2)")
    parser.add_argument("--open-seconds", type=float, default=2, help="of each run of it (2)")
    parser.add_argument(
        "--minutes", type=float, default=14, help="after which no more round begins (14)"
    )
    parser.add_argument("--json", type=Path, default=LOAD_TESTS / "out" / "peers.json")
    options = parser.parse_args()
    if min(*options.connections, options.runs, options.seconds, options.open_runs + 1) < 1:
        parser.error("all numbers must be at least 1")
    return options


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All rounds; records as it goes."""
    OUT.mkdir(parents=True, exist_ok=True)
    make_perceptron.write(MODEL)
    wanted = Wanted(
        model=MODEL,
        out=OUT,
        questions=questions(MODEL),
        connections=tuple(options.connections),
        seconds=options.seconds,
        open_seconds=options.open_seconds,
    )
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    shutil.rmtree(OUT / "cache", ignore_errors=True)
    chosen = [server for server in SERVERS if server.name in options.only]
    record = begin(chosen, options)
    here = [server for server in chosen if server.installed]
    began = time.monotonic()
    if here and here[0].name == "jitney":
        # Its starts are measured with the profile of an earlier one; this is the earlier one.
        with left_out_if_it_fails(record, here[0]):
            learn(here[0], wanted)
    for number in range(1, options.runs + 1):
        if time.monotonic() - began > options.minutes * 60:
            say(f"{options.minutes:g} minutes are over: round {number} is left out.")
            break
        record["alone"].append({"round": number, **run_alone()})
        for server in here:
            if server.name in record["left_out"]:
                continue
            opened = server.name in options.open_loop and number <= options.open_runs
            with left_out_if_it_fails(record, server):
                for where, entry in turn(server, wanted, opened=opened):
                    record[where].append({"round": number, "way": server.name, **entry})
            write(record, options.json)
    record["took_s"] = time.monotonic() - began
    write(record, options.json)
    return record


def begin(chosen: list[Server], options: argparse.Namespace) -> dict[str, Any]:
    """A record with all that is known before anything is measured."""
    say("looking at what is installed …")
    here = [server for server in chosen if server.installed]
    return {
        "kind": "peers",
        "format": 2,
        "command": shlex.join(["python", "load_tests/peers/run.py", *sys.argv[1:]]),
        "machine": machine(),
        "seconds": options.seconds,
        "labels": {server.name: server.label for server in chosen},
        "left_out": {
            server.name: f"not installed; run: make .venv-peers/{server.name}/.installed"
            for server in chosen
            if not server.installed
        },
        "versions": {server.name: versions(server.python, *server.packages) for server in here},
        "installed_mb": {
            server.name: installed_mb(server.python, *server.packages) for server in here
        },
        "alone": [],
        "starts": [],
        "runs": [],
        "open": [],
    }


@contextmanager
def left_out_if_it_fails(record: dict[str, Any], server: Server) -> Iterator[None]:
    """Half an hour must not be lost to one server: whatever goes wrong with it is its reason."""
    try:
        yield
    except Exception as error:
        say(f"{server.label} is left out from here on: {error!s} ({type(error).__name__})")
        record["left_out"][server.name] = reason(error)


def run_alone() -> dict[str, Any]:
    """CPU seconds of a run by rows: onnxruntime with no server."""
    say("onnxruntime alone …")
    printed = on_core(SERVER_CORE, sys.executable, LOAD_TESTS / "bare_model.py", MODEL)
    return {"run_s": json.loads(printed)["run_s"]}


def write(record: dict[str, Any], to: Path) -> None:
    """What there is so far."""
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
