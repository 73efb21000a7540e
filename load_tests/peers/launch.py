"""Starts a server of whatever make on one core, waits for a right answer, ends it and all it
started.

Knows nothing of what the server is: a command, and a function that tells whether it answers.
Linux only: what a server costs is read from /proc, over all of its processes.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from server import ENVIRONMENT, NotServing, child

READY_S = 120.0
"""Ray Serve takes 15 s on one core, infinity 10; only a hang takes so long."""

STOP_S = 15.0

REPORTS_TO_NOBODY = {
    **ENVIRONMENT,
    "DO_NOT_TRACK": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_OFFLINE": "1",
}


@dataclass(frozen=True)
class Running:
    """A server that has answered."""

    process: subprocess.Popen[Any]
    started_s: float
    """From its start to its first right answer."""

    def cpu_s(self) -> float:
        """User and system time of all its processes that still live, since they started."""
        return sum(map(_cpu_s, _family(self.process.pid)))

    def resident_mb(self) -> float:
        """Memory of all its processes; what they share is counted once (PSS)."""
        return sum(_pss_kb(pid) for pid in _family(self.process.pid)) / 1e3


def free_port() -> int:
    """A port that nobody listens on now."""
    (port,) = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """So many, each another."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@contextmanager
def running(
    command: list[str],
    *,
    core: str,
    log: Path,
    answers: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[Running]:
    """Start a server on a core, and end it with all of its processes when the block is left.

    answers: whether a request got the right answer; it may raise OSError while there is none.

    Raises NotServing if there is no right answer in READY_S, or the server ends by itself.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        options: dict[str, Any] = {
            "stdout": output,
            "stderr": subprocess.STDOUT,
            "stdin": subprocess.DEVNULL,
            "cwd": folder,
            "env": {**REPORTS_TO_NOBODY, **(environment or {})},
            # A terminal's Ctrl-C is for us; we pass it on in order.
            "start_new_session": True,
        }
        began = time.monotonic()
        family: dict[int, int] = {}
        with child(["taskset", "--cpu-list", core, *command], **options) as process:
            try:
                _wait(process, answers, log)
                yield Running(process, time.monotonic() - began)
                if process.poll() is not None:
                    raise NotServing(f"the server ended by itself: {log}")
            finally:
                family = _family(process.pid)
                with suppress(ProcessLookupError):
                    process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_S)
                _end_the_rest(family)


def _wait(process: subprocess.Popen[Any], answers: Callable[[], bool], log: Path) -> None:
    give_up = time.monotonic() + READY_S
    while time.monotonic() < give_up:
        if process.poll() is not None:
            tail = log.read_text(errors="replace")[-2000:].strip()
            raise NotServing(f"the server ended with {process.returncode}:\n{tail}")
        with suppress(OSError):
            if answers():
                return
        # Often enough for a start that takes half a second, and on another core.
        time.sleep(0.02)
    tail = log.read_text(errors="replace")[-2000:].strip()
    raise NotServing(f"no right answer after {READY_S:g} s:\n{tail}")


def _cpu_s(pid: int) -> float:
    """Of one process, 0 if it has ended. /proc says it in steps of 10 ms, too coarse for idling."""
    with suppress(OSError):
        # The clock of another process, as clock_getcpuclockid(3) makes its number.
        return time.clock_gettime((~pid << 3) | 2)
    return 0.0


def _family(root: int) -> dict[int, int]:
    """A process and all its descendants: for each when it started, in ticks."""
    parents, seen = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                # The name, in brackets, may hold anything; what follows it is only numbers.
                line = (folder / "stat").read_text().rpartition(")")[2].split()
                pid = int(folder.name)
                parents[pid] = int(line[1])
                seen[pid] = int(line[19])
    family, newest = set(), {root} & set(seen)
    while newest:
        family |= newest
        newest = {pid for pid, parent in parents.items() if parent in newest} - family
    return {pid: seen[pid] for pid in family}


def _end_the_rest(family: dict[int, int]) -> None:
    """End what outlived the server's first process. An id that was given anew is let be."""
    for pid, started in family.items():
        if _is(pid, started):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    give_up = time.monotonic() + STOP_S
    while time.monotonic() < give_up and any(_is(*each) for each in family.items()):
        time.sleep(0.01)


def _is(pid: int, started: int) -> bool:
    """Whether it is still that process, and runs."""
    with suppress(OSError):
        line = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return line[0] != "Z" and int(line[19]) == started
    return False


def _pss_kb(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
