"""A real `jitney serve` process, on a port of its own."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

START_S = 60.0
"""Far more than a start takes; only a hang takes so long."""
PORTS = range(20_000, 30_000)
"""Below those of outgoing connections on most systems, and between two ranges of Ray's."""


@dataclass
class Server:
    """A running server, and what it has printed so far."""

    process: subprocess.Popen[str]
    url: str = ""
    grpc: str = ""
    """Host and port, if it was given a --grpc-port."""
    printed: list[str] = field(default_factory=list)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30)

    def post(self, path: str, **body: object) -> httpx.Response:
        return httpx.post(self.url + path, timeout=30, **body)  # type: ignore[arg-type]

    @property
    def output(self) -> str:
        return "".join(self.printed)


def free_port() -> int:
    """A port that nobody listens on, and that the system gives to nobody by itself."""
    file = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(file.read_text().split()[0]) if file.exists() else 0
    # Not the tests' own generator: who seeds it gets the same ports again and again.
    draw = random.SystemRandom()
    for _ in range(100 if first >= PORTS.stop else 0):
        port = draw.choice(PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def serving(*arguments: str | Path, **environment: str) -> Iterator[Server]:
    """Start a server, wait until it says that it is ready, and end it afterwards.

    It listens on any free port of 127.0.0.1 unless the arguments say otherwise.
    """
    command = [sys.executable, "-m", "serving.cli", "serve", *map(str, arguments)]
    if "--port" not in command:
        command += ["--port", "0"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    server = Server(process)
    ready = threading.Event()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            server.printed.append(line)
            if found := re.search(r"listens on (http://\S+)", line):
                server.url = found[1]
            if found := re.search(r"gRPC on port (\d+)", line):
                server.grpc = f"127.0.0.1:{found[1]}"
            if line.startswith("Ready in"):
                ready.set()
        ready.set()  # it has ended, or closed its output

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert ready.wait(START_S), f"not ready after {START_S:g} s:\n{server.output}"
        assert process.poll() is None, f"ended with {process.poll()}:\n{server.output}"
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        reader.join()
        assert process.stderr is not None
        process.stderr.close()
