"""A real `jitney serve` process for the time of a measurement, ended by its own process id."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

READY_S = 60.0
"""Far more than a start takes; only a hang takes so long."""

STOP_S = 40.0
"""More than the server gives its last requests."""

# A measurement reports to nobody: onnxruntime 1.29 and later would, over the network.
ENVIRONMENT = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}


class NotServing(Exception):
    """The server did not start, or ended when it should not have."""


@dataclass(frozen=True)
class Server:
    """A server that is ready."""

    url: str
    process: subprocess.Popen[Any]

    def cpu_s(self) -> float:
        """User and system time of all its threads since it started (Linux)."""
        # The name, in brackets, may hold anything; what follows it is only numbers.
        line = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(line[11]) + int(line[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(*arguments: str | Path, log: Path, prefix: tuple[str, ...] = ()) -> Iterator[Server]:
    """Start a server on a free port, wait until it is ready, end it afterwards.

    log: a file for what it prints. prefix: a command that becomes it, such as taskset.

    Raises NotServing if it does not start, or does not last and end in order.
    """
    jitney = shutil.which("jitney", path=Path(sys.executable).parent)
    if jitney is None:
        raise NotServing(f"there is no jitney command beside {sys.executable}; run `make install`")
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [*prefix, jitney, "serve", *map(str, arguments), "--port", "0"]
    with (
        log.open("wb") as output,
        child(command, stdout=output, stderr=subprocess.STDOUT, env=ENVIRONMENT) as process,
    ):
        yield Server(_wait_until_ready(process, log), process)
        if process.poll() is not None:
            raise NotServing(f"the server ended by itself, exit code {process.returncode}: {log}")
    if process.returncode != 0:
        raise NotServing(f"the server ended badly, exit code {process.returncode}: {log}")


@contextmanager
def child(command: list[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Start a process, and end it when the block is left, whatever the reason."""
    process = None
    try:
        with _signals_held_back():
            process = subprocess.Popen(command, **options)
        yield process
    finally:
        if process is not None:
            _end(process)


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let no signal in between a process's start and our knowing of it; it comes afterwards."""
    held: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: held.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in held:
            signal.raise_signal(number)


def _wait_until_ready(process: subprocess.Popen[Any], log: Path) -> str:
    give_up = time.monotonic() + READY_S
    while time.monotonic() < give_up:
        ended = process.poll() is not None
        printed = log.read_text()
        url = re.search(r"listens on (http://\S+)", printed)
        if url and re.search("^Ready in", printed, re.MULTILINE):
            return url[1]
        if ended:
            raise NotServing(f"the server ended with {process.returncode}:\n{printed.strip()}")
        time.sleep(0.05)
    raise NotServing(f"the server was not ready after {READY_S:g} s:\n{printed.strip()}")


def _end(process: subprocess.Popen[Any]) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def unwind_when_terminated() -> None:
    """Let SIGTERM end us as Ctrl-C does, so that the server ends with us."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
