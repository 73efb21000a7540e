"""One run of MLPerf's LoadGen against a server. Started by run.py, in an environment of its own.

    .venv-mlperf/bin/python load_tests/mlperf/generate.py SPEC.json

SPEC.json holds the fields of `Spec`. LoadGen writes its log to `log`; this prints JSON: how
the samples went, and the share of its core that the generator itself took.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import mlperf_loadgen as lg
import numpy as np
import uvloop
from adapter import Client

SWITCH_S = 1e-4
"""LoadGen's thread and the client's want the interpreter in turn, each for microseconds."""


@dataclass(frozen=True)
class Spec:
    """What is run."""

    scenario: str
    """Server or Offline."""
    mode: str
    """PerformanceOnly or AccuracyOnly."""
    port: int
    requests: str
    """A file of requests as they go over the wire, each behind its length in 4 bytes."""
    log: str
    """A folder."""
    rate: float
    """Server: samples a second. Offline: about as many as are expected."""
    seconds: float
    latency_s: float
    """At p99; Server only."""
    connections: int


def main() -> None:
    """Run, and print what came of it."""
    spec = Spec(**json.loads(Path(sys.argv[1]).read_text()))
    sys.setswitchinterval(SWITCH_S)
    requests = read_requests(Path(spec.requests))
    client = Client(
        spec.port,
        requests,
        with_bodies if spec.mode == "AccuracyOnly" else completed,
        connections=spec.connections,
        late_s=2 * spec.latency_s,
        retry=spec.scenario == "Offline",
        new_loop=uvloop.new_event_loop,
    )
    client.start()
    sut = lg.ConstructSUT(
        lambda samples: client.issue([(sample.id, sample.index) for sample in samples]),
        lambda: None,
    )
    qsl = lg.ConstructQSL(len(requests), len(requests), lambda _: None, lambda _: None)
    cpu_s, began = time.process_time(), time.monotonic()
    lg.StartTestWithLogSettings(sut, qsl, settings(spec), log_settings(spec), "")
    wall_s, cpu_s = time.monotonic() - began, time.process_time() - cpu_s
    client.close()
    lg.DestroyQSL(qsl)
    lg.DestroySUT(sut)
    print(json.dumps({**asdict(client.counts), "core": cpu_s / wall_s, "wall_s": wall_s}))


def read_requests(path: Path) -> list[bytes]:
    content, at, requests = path.read_bytes(), 0, []
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "little")
        requests.append(content[at + 4 : at + 4 + length])
        at += 4 + length
    return requests


def completed(done: list[tuple[int, bytes]]) -> None:
    lg.QuerySamplesComplete([lg.QuerySampleResponse(id_, 0, 0) for id_, _ in done])


def with_bodies(done: list[tuple[int, bytes]]) -> None:
    """LoadGen copies the bodies into its log of accuracy before it returns."""
    arrays = [np.frombuffer(body or b" ", np.uint8) for _, body in done]
    lg.QuerySamplesComplete(
        [
            lg.QuerySampleResponse(id_, array.ctypes.data, array.nbytes)
            for (id_, _), array in zip(done, arrays, strict=True)
        ]
    )


def settings(spec: Spec) -> lg.TestSettings:
    made = lg.TestSettings()
    made.scenario = getattr(lg.TestScenario, spec.scenario)
    made.mode = getattr(lg.TestMode, spec.mode)
    made.min_duration_ms = round(1e3 * spec.seconds)
    made.min_query_count = 100 if spec.scenario == "Server" else 1
    made.server_target_qps = made.offline_expected_qps = spec.rate
    made.server_target_latency_ns = round(1e9 * spec.latency_s)
    made.server_target_latency_percentile = 0.99
    # Those that are due together are issued by one call: only the generator gains.
    made.server_coalesce_queries = True
    made.qsl_rng_seed, made.sample_index_rng_seed, made.schedule_rng_seed = 1, 2, 3
    return made


def log_settings(spec: Spec) -> lg.LogSettings:
    output = lg.LogOutputSettings()
    output.outdir = spec.log
    output.copy_summary_to_stdout = False
    made = lg.LogSettings()
    made.log_output = output
    made.enable_trace = False
    return made


if __name__ == "__main__":
    main()
