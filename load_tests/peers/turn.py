"""One server's turn in a round: started alone on its core, measured, ended.

start ─► first right answer ─► idle ─► callers who wait, JSON then binary ─► callers who do not
"""

import asyncio
import json
import os
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers.closed_loop import ask_once, post
from peers.launch import Running, free_port, running
from peers.open_loop import open_loop
from peers.questions import Questions, answer
from peers.report import say
from peers.servers import HERE, Server
from wrk import LOAD_CORE, SERVER_CORE, Failed, on_core

IDLE_S = 3.0
SETTLE_S = 1.0
"""After the first answer, what a server still does at its start is not what idling costs."""

SCRIPTS = {"json": HERE.parent / "wrk.lua", "binary": HERE / "binary.lua"}
LATER_WARM_UP_S = 1

WAIT_S = 0.05
"""Of 100 ms, for servers that bound their queue by a number. The rest is for the run itself, and
for answering fewer a second in overload, when refusing takes its share of the core."""

Entry = tuple[str, dict[str, Any]]
"""A figure, and the list of the record that it belongs to: starts, runs or open."""


@dataclass(frozen=True)
class Wanted:
    """What is measured, the same for all."""

    model: Path
    out: Path
    """For logs, bodies, caches."""
    questions: Questions
    connections: tuple[int, ...]
    seconds: int
    open_seconds: float


def turn(server: Server, wanted: Wanted, *, opened: bool) -> Generator[Entry, None, None]:
    """Start it, and give each figure as it comes. opened: with the open loop at the end.

    Raises NotServing if it does not start or last, Failed if it answers wrongly.
    """
    with _started(server, wanted) as (process, port):
        time.sleep(SETTLE_S)
        idle = process.cpu_s()
        time.sleep(IDLE_S)
        idle = (process.cpu_s() - idle) / IDLE_S
        yield "starts", {"started_s": process.started_s, "idle": idle}
        url = f"http://127.0.0.1:{port}{server.path}"
        best = 0.0
        for form in ("json", "binary") if server.binary else ("json",):
            if form == "binary" and not _is_right(server, wanted.questions, form, port):
                raise Failed("it does not take binary tensors")
            bodies = wanted.out / f"requests-{server.name}.{form}l"
            wanted.questions.write(server, form, bodies)
            for connections in wanted.connections:
                warm_up_s = LATER_WARM_UP_S if best else server.warm_up_s
                wrk(process, url, bodies, form, connections, warm_up_s)
                run = wrk(process, url, bodies, form, connections, wanted.seconds)
                rate = f"{run['a_second']:,.0f} a second"
                say(f"{server.label}, {form}, {connections} callers: {rate}")
                best = max(best, run["a_second"] if form == "json" else 0.0)
                yield "runs", run
    if not opened:
        return
    say(f"{server.label}: searching the highest rate that is answered in time …")
    with _started(server, wanted, waiting=round(WAIT_S * best)) as (_, port):
        url = f"http://127.0.0.1:{port}{server.path}"
        bodies = wanted.out / f"requests-{server.name}.jsonl"
        to = wanted.out / f"bench-{server.name}.json"
        found = open_loop(url, bodies, 0.7 * best, wanted.open_seconds, to)
        say(f"{server.label}: {found['highest_good']:,.0f} a second")
        yield "open", found


@contextmanager
def _started(
    server: Server, wanted: Wanted, waiting: int | None = None
) -> Iterator[tuple[Running, int]]:
    """It and its port, once it has answered rightly. Raises NotServing or Failed.

    waiting: if given, it is told that answers are wanted in time, and that so many may wait.
    """
    ports: dict[str, Any] = {
        "port": free_port(),
        "port2": free_port(),
        "model": wanted.model,
        "waiting": waiting,
    }
    port: int = ports["port"]
    command, variables = server.start(in_time=waiting is not None)
    say(f"{server.label}: starting …")
    with running(
        [part.format(**ports) for part in command],
        core=SERVER_CORE,
        log=wanted.out / f"{server.name}.log",
        answers=lambda: _is_right(server, wanted.questions, "json", port),
        folder=server.folder,
        environment={
            "MODEL": str(wanted.model),
            "PYTHONPATH": str(HERE / "shared"),
            # Of this measurement alone, so that no profile taken on a busy machine counts.
            "XDG_CACHE_HOME": str(wanted.out / "cache"),
            "PATH": f"{server.python.parent}:{os.environ['PATH']}",
            **{key: value.format(**ports) for key, value in variables.items()},
        },
    ) as process:
        yield process, port


def learn(server: Server, wanted: Wanted) -> None:
    """Start it once for what it keeps for later starts, and end it."""
    with closing(turn(server, wanted, opened=False)) as entries:
        next(entries)


def _is_right(server: Server, questions: Questions, form: str, port: int) -> bool:
    """Whether it answers, and as numpy does. Raises OSError without an answer, Failed if wrong."""
    body = questions.body(server, form)
    request = post(port, server.path, body.content, body.json_length)
    status, reply = asyncio.run(ask_once(port, request))
    if status != 200:
        return False
    row = answer(server, form, reply)
    if not questions.are_answered_by(row):
        raise Failed(
            f"it answers {row.round(4).tolist()}, not {questions.wanted[0].round(4).tolist()}"
        )
    return True


def wrk(
    process: Running, url: str, bodies: Path, form: str, connections: int, seconds: int
) -> dict[str, Any]:
    """A run of wrk. Raises Failed if nothing was answered; what failed is counted."""
    cpu_s = process.cpu_s()
    printed = on_core(
        LOAD_CORE,
        *("wrk", "--threads", "1", "--connections", connections, "--duration", f"{seconds}s"),
        *("--timeout", "10s", "--script", SCRIPTS[form], url, "--", bodies),
    )
    cpu_s = process.cpu_s() - cpu_s
    result = json.loads(printed.rstrip().rpartition("\n")[2])
    answered = result["requests"] - result["not_2xx"]
    if answered < 1 and seconds >= 2:
        raise Failed(f"{connections} callers got no answer in {seconds} s")
    answered = max(1, answered)
    return {
        "form": form,
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
