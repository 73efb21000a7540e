"""What a second replica behind the proxy is worth, on two cores.

    make bench-replicas
    python load_tests/replicas.py --models perceptron --rounds 3

A replica on core 0 behind HAProxy as deploy/haproxy/ configures it; and two, on cores 0 and 1.
In turn, with as many callers for each replica. The proxy and wrk have both cores in either case:
beside one replica one is free for them, beside two none is. So what they take is told too: it
is what stands in the way, and with a machine of their own would not. Linux only.

minilm       text of natural lengths, some 5 ms of work: what proxy and wrk take is little
perceptron   256 numbers as JSON, 0.1 ms of work: proxy and wrk take as much as a replica

The figures go to load_tests/out/replicas.json.
"""

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import make_perceptron
from peers.launch import free_ports
from peers.report import machine, versions
from peers.sentences import sentences
from real_models import DEFAULT as REAL_MODELS
from server import NotServing, Server, child, serving, unwind_when_terminated
from wrk import Failed, check_tools, say, write_requests

HERE = Path(__file__).parent
OUT = HERE / "out" / "replicas"
CONFIG = HERE.parent / "deploy" / "haproxy" / "haproxy.cfg"
MODELS = ("minilm", "perceptron")
TARGET = 1.8
CALLERS = 64
"""For each replica."""
WARM_UP_S = 3
PROXY_READY_S = 20.0


@dataclass(frozen=True)
class Run:
    """What came through the proxy, and the cores that it took, on average."""

    replicas: int
    a_second: float
    p99_ms: float
    replicas_cores: float
    proxy_cores: float
    wrk_cores: float


def main() -> int:
    """Measure, print, record."""
    options = arguments()
    unwind_when_terminated()
    os.chdir(HERE.parent)
    OUT.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {
        "command": sys.argv,
        "machine": machine(),
        "versions": versions(Path(sys.executable), "jitney", "onnxruntime"),
        "models": {},
    }
    try:
        check_tools()
        for name in options.models:
            model, requests = prepared(name)
            runs = []
            for number in range(1, options.rounds + 1):
                for count in (1, 2):
                    runs.append(measured(name, model, requests, count, options.seconds))
                    say(
                        f"{name}, round {number}, {count} of them: "
                        f"{runs[-1].a_second:,.0f} a second"
                    )
            record["models"][name] = [asdict(run) for run in runs]
            print(report(name, runs), flush=True)
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
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=5, help="of one and two (5)")
    parser.add_argument("--seconds", type=int, default=8, help="how long a run takes (8)")
    parser.add_argument("--json", type=Path, default=HERE / "out" / "replicas.json")
    options = parser.parse_args()
    if min(options.rounds, options.seconds) < 1:
        parser.error("--rounds and --seconds must be at least 1")
    return options


def prepared(name: str) -> tuple[Path, Path]:
    """The model, and a file with a request a line. Raises Failed."""
    requests = OUT / f"{name}.jsonl"
    if name == "perceptron":
        make_perceptron.write(make_perceptron.DEFAULT)
        return make_perceptron.DEFAULT, write_requests(requests)
    model = REAL_MODELS / "minilm"
    if not (model / "1/model.onnx").is_file():
        raise Failed(f"{model} is not there; run: make models")
    with requests.open("w") as file:
        for text in sentences(model / "tokenizer.json"):
            tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
            file.write(json.dumps({"inputs": [tensor]}) + "\n")
    return model, requests


def measured(name: str, model: Path, requests: Path, count: int, seconds: int) -> Run:
    """So many replicas, started anew. Raises Failed or NotServing."""
    with ExitStack() as stack:
        replicas = []
        for core in range(count):
            prefix = ("taskset", "--cpu-list", str(core))
            log = OUT / f"replica-{core + 1}.log"
            replicas.append(stack.enter_context(serving(model, log=log, prefix=prefix)))
        proxy = stack.enter_context(proxied(replicas))
        url = f"{proxy.url}/v2/models/{name}/infer"
        load(url, requests, count, WARM_UP_S)
        cpu_s = [server.cpu_s() for server in (*replicas, proxy)]
        result, wrk_s = load(url, requests, count, seconds)
        took_s = result["duration_us"] / 1e6
        cores = [
            (server.cpu_s() - before) / took_s
            for server, before in zip((*replicas, proxy), cpu_s, strict=True)
        ]
        return Run(
            count,
            result["requests"] / took_s,
            result["p99_us"] / 1e3,
            sum(cores[:-1]),
            cores[-1],
            wrk_s / took_s,
        )


def load(url: str, requests: Path, count: int, seconds: int) -> tuple[dict[str, Any], float]:
    """What wrk saw, and its CPU time. Raises Failed if any answer was not what was asked for."""
    command = ["wrk", "--threads", "1", "--connections", str(CALLERS * count)]
    command += ["--duration", f"{seconds}s", "--script", str(HERE / "wrk.lua"), url]
    before = children_cpu_s()
    pipe = subprocess.PIPE
    with child([*command, "--", str(requests)], stdout=pipe, stderr=pipe, text=True) as process:
        printed, complaints = process.communicate()
    if process.returncode != 0:
        raise Failed(f"wrk ended with {process.returncode}: {complaints.strip()}")
    result: dict[str, Any] = json.loads(printed.rstrip().rpartition("\n")[2])
    if result["not_2xx"] or result["broken"] or not result["requests"]:
        raise Failed(
            f"of {result['requests']} requests {result['not_2xx']} were refused or failed, "
            f"and {result['broken']} got no answer"
        )
    return result, children_cpu_s() - before


def children_cpu_s() -> float:
    """Of those that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def proxied(replicas: list[Server]) -> Iterator[Server]:
    """The proxy in front of them, once it has found out who is there. Raises Failed."""
    tool = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if tool is None:
        raise Failed("haproxy is not installed: apt-get install haproxy")
    listen, metrics, nobody = free_ports(3)
    addresses = [replica.url.removeprefix("http://") for replica in replicas]
    addresses += [f"127.0.0.1:{nobody}"] * (2 - len(addresses))
    environment = {
        **os.environ,
        "PROXY": f"127.0.0.1:{listen}",
        "PROXY_METRICS": f"127.0.0.1:{metrics}",
        **{f"REPLICA_{number}": address for number, address in enumerate(addresses, 1)},
    }
    command = [tool, "-db", "-f", str(CONFIG)]
    quiet = subprocess.DEVNULL
    with child(command, env=environment, stdout=quiet, stderr=quiet) as process:
        ends = time.monotonic() + PROXY_READY_S
        while up(f"http://127.0.0.1:{metrics}/metrics") != len(replicas):
            if process.poll() is not None:
                raise Failed(f"haproxy ended with {process.returncode}")
            if time.monotonic() > ends:
                raise Failed("haproxy does not find all replicas")
            time.sleep(0.1)
        yield Server(f"http://127.0.0.1:{listen}", process)


def up(metrics_url: str) -> int:
    """How many replicas the proxy believes to be there; -1 while it does not say."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(metrics_url, timeout=5) as reply:
            text = reply.read().decode()
    except OSError:
        return -1
    states = r'^haproxy_server_status\{proxy="jitney",server="[^"]*",state="UP"\} 1$'
    return len(re.findall(states, text, re.MULTILINE))


def report(name: str, runs: list[Run]) -> str:
    """The medians as a table, and the ratio within rounds."""
    lines = [
        f"\n{name}, {CALLERS} callers for each replica\n",
        "| replicas | answers/s | p99 ms | cores: replicas | proxy | wrk |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for count in (1, 2):
        of = [run for run in runs if run.replicas == count]
        a_second, p99_ms, replicas, proxy, wrk = (
            statistics.median(getattr(run, field) for run in of)
            for field in ("a_second", "p99_ms", "replicas_cores", "proxy_cores", "wrk_cores")
        )
        lines.append(
            f"| {count} | {a_second:,.0f} | {p99_ms:.0f} | {replicas:.2f} | {proxy:.2f} "
            f"| {wrk:.2f} |"
        )
    pairs = zip(runs[::2], runs[1::2], strict=True)
    ratios = sorted(two.a_second / one.a_second for one, two in pairs)
    lines.append(
        f"\n{name}: two serve {statistics.median(ratios):.2f} times one "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f}), target {TARGET:.1f}."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
