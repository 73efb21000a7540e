"""What tests do with a cluster, and with an application on it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

from tests.support.server import free_port

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
CONFIG = ROOT / "deploy" / "ray" / "serve.yaml"
START_S = 240.0
"""Far more than a start takes: a minute of a core, and others may want it too."""

HAPROXY = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response response-timeout",
}
"""What deploy/README.md says of the faster proxy."""

PATIENT = {
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
}
"""Where the machine is busy, Serve's own proxy takes longer to start than Serve waits for it."""


@dataclass
class Ray:
    """A cluster."""

    address: str
    dashboard: str
    process: subprocess.Popen[str]
    environment: dict[str, str]

    def ask(self, *question: Any) -> Any:
        """Something of `raylets.Machines`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(question), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        assert "is" in answer, answer
        return answer["is"]


@contextmanager
def cluster(machines: int, *, dashboard: bool = False, haproxy: bool = False) -> Iterator[Ray]:
    """A head and so many machines of one CPU."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}
    environment |= PATIENT
    if haproxy:
        # How long a replica that goes is kept for balancers in front: here there are none.
        environment |= HAPROXY | {"RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2"}
        for name in ("HAPROXY_METRICS", "HAPROXY_STATS", "FALLBACK_PROXY_HTTP"):
            environment[f"RAY_SERVE_{name}_PORT"] = str(free_port())
    how = json.dumps({"machines": machines, "dashboard": dashboard})
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ray.raylets", how],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address, at = json.loads(process.stdout.readline())
        yield Ray(address, at, process, environment)
    finally:
        process.stdin.close()
        process.wait(timeout=60)
        process.stdout.close()


def config(folder: Path, port: int, models: Path | None = None, **changes: Any) -> Path:
    """The configuration that is shipped, with the proxy at this port of the head.

    changes: of the application's `args`; `autoscaling` is of its deployment instead.
    """
    values = yaml.safe_load(CONFIG.read_text())
    values["proxy_location"] = "HeadOnly"
    values["http_options"]["port"] = port
    (application,) = values["applications"]
    if autoscaling := changes.pop("autoscaling", None):
        policy = {"policy_function": "serving.ray.scaling:policy"}
        own = {"name": "Jitney", "autoscaling_config": {**autoscaling, "policy": policy}}
        application["deployments"] = [own]
    application["args"] |= {"models": str(models), **changes} if models else changes
    path = folder / "serve.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def deploy(ray: Ray, url: str, folder: Path, models: Path, **args: Any) -> None:
    """Change what is served, by `serve deploy`; return when it is so."""
    path = config(folder, urlsplit(url).port or 0, models, **args)
    command = [BIN / "serve", "deploy", "--address", ray.dashboard, path]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    until(lambda: ray.ask("settled"))


@contextmanager
def serving(ray: Ray, folder: Path, models: Path, **args: Any) -> Iterator[str]:
    """The application, by `serve run`; its URL, once it answers. One at a time in a cluster."""
    port = free_port()
    log = folder / "serve.log"
    path = config(folder, port, models, **args)
    with log.open("w") as out:
        process = subprocess.Popen(
            [BIN / "serve", "run", "--address", ray.address, path],
            cwd=folder,
            env=ray.environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: process.poll() is not None or answers(url), log.read_text)
        assert process.poll() is None, log.read_text()
        yield url
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def answers(url: str) -> bool:
    try:
        return httpx.get(url + "/v2/health/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def until(true: Callable[[], Any], why: Callable[[], str] = str) -> None:
    """Look every now and then, until it is so."""
    end = time.monotonic() + START_S
    while not true():
        assert time.monotonic() < end, why()
        time.sleep(0.1)
