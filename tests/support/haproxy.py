"""The real HAProxy with the configuration that is deployed, in front of given servers."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from .server import free_port

CONFIG = Path(__file__).parents[2] / "deploy" / "haproxy" / "haproxy.cfg"
START_S = 30.0


@dataclass
class Proxy:
    """One that is running."""

    url: str
    metrics_url: str
    process: subprocess.Popen[bytes]

    def metric(self, name: str, **labels: str) -> float:
        """One of its own metrics, summed over all whose labels are these."""
        text = httpx.get(self.metrics_url, timeout=10).text
        lines = re.findall(rf"^{name}{{(.*)}} (\S+)$", text, re.MULTILINE)
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        found = [float(value) for said, value in lines if all(one in said for one in wanted)]
        assert found, f"{name} {labels}\n{text[:2000]}"
        return sum(found)

    def up(self) -> int:
        """How many servers it would send a request to."""
        return int(self.metric("haproxy_server_status", proxy="jitney", state="UP"))


def tool() -> str:
    """Where haproxy is; Debian has it where only root looks."""
    found = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")
    assert found, "haproxy is missing: install Debian's package haproxy, 2.6 or newer"
    return found


def environment(listen: int, metrics: int, replicas: Sequence[str]) -> dict[str, str]:
    """What the configuration asks for."""
    return {
        **os.environ,
        "PROXY": f"127.0.0.1:{listen}",
        "PROXY_METRICS": f"127.0.0.1:{metrics}",
        **{f"REPLICA_{number}": address for number, address in enumerate(replicas, 1)},
    }


@contextmanager
def haproxy(*replicas: str) -> Iterator[Proxy]:
    """Run it in front of these addresses, until all of them are up."""
    listen, metrics = free_port(), free_port()
    process = subprocess.Popen(
        [tool(), "-db", "-f", CONFIG],
        env=environment(listen, metrics, replicas),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    here = "http://127.0.0.1"
    proxy = Proxy(f"{here}:{listen}", f"{here}:{metrics}/metrics", process)
    try:
        ends = time.monotonic() + START_S
        while not _all_up(proxy, len(replicas)):
            assert process.poll() is None, f"haproxy ended with {process.returncode}"
            assert time.monotonic() < ends, "a replica is not up"
            time.sleep(0.05)
        yield proxy
    finally:
        process.kill()
        process.wait()


def _all_up(proxy: Proxy, count: int) -> bool:
    try:
        return proxy.up() == count
    except httpx.TransportError:
        return False
