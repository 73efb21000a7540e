"""A real Prometheus, and what it says of expressions."""

import math
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from .server import free_port

START_S = 60.0
"""Far more than a start takes."""


def tool(name: str) -> str:
    """Where `prometheus` or `promtool` is."""
    found = shutil.which(name)
    assert found, f"{name} is missing: install Debian's package prometheus, or Prometheus itself"
    return found


@dataclass
class Prometheus:
    """One that is running."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """What its HTTP API answers; fails with what it says is wrong."""
        reply = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30).json()
        assert reply["status"] == "success", f"{parameters}: {reply.get('error')}"
        return reply["data"]

    def samples(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series that it gives now."""
        result = self.ask("query", query=expression)["result"]
        return [(one["metric"], float(one["value"][1])) for one in result]

    def has_data(self, expression: str) -> bool:
        """Whether it gives any number now, which NaN is not."""
        return any(math.isfinite(value) for _, value in self.samples(expression))

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, and how it fares."""
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]


@contextmanager
def prometheus(config: dict[str, Any], folder: Path) -> Iterator[Prometheus]:
    """Run one with this configuration; what it writes goes into the folder."""
    file, log = folder / "prometheus.yml", folder / "log"
    file.write_text(yaml.safe_dump(config))
    port = free_port()
    running = Prometheus(f"http://127.0.0.1:{port}")
    command = [
        tool("prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        until = time.monotonic() + START_S
        while not _is_ready(running):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        yield running
    finally:
        process.terminate()
        process.wait(timeout=30)


def _is_ready(running: Prometheus) -> bool:
    try:
        return httpx.get(f"{running.url}/-/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
