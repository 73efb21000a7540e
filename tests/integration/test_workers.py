"""`jitney serve --workers 2`: real processes that are one server to everybody."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from models import usable_cores
from serving.grpc.generated import inference_pb2 as pb
from serving.grpc.generated.inference_pb2_grpc import GRPCInferenceServiceStub
from tests.support import onnx_models
from tests.support.server import Server, free_port, serving

from .test_stop import stop_under_load

BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
CONNECTIONS = 64
PATIENCE_S = 120.0
"""Only what never comes takes so long."""

pytestmark = pytest.mark.skipif(usable_cores() < 2, reason="each worker needs a core")


def workers_of(server: Server) -> list[int]:
    """The processes that a supervisor has started, and that are there now."""
    pid = server.process.pid
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def there(pids: list[int]) -> list[int]:
    """Those that have not ended; whoever adopted them may not have collected them yet."""
    found = []
    for pid in pids:
        with suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text()
            if stat.rpartition(")")[2].split()[0] != "Z":
                found.append(pid)
    return found


def until(holds: Callable[[], bool], server: Server) -> None:
    """Wait until something holds; it is only ever a failure that takes long.

    What is told of all workers is waited for too: whom the machine keeps from answering for a
    second is left out.
    """
    ends = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends, server.output
        time.sleep(0.02)


def metric(server: Server, name: str, client: httpx.Client | None = None) -> float:
    """One value, from whichever worker the connection leads to."""
    text = got(server, "/metrics", client)
    found = re.search(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
    assert found, name
    return float(found[1])


def got(server: Server, path: str, client: httpx.Client | None = None) -> str:
    """What a path says, asked of whichever worker answers; of a stream the first event.

    client: asks on the connection that it has, if it has one.
    """
    ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            with (client or httpx).stream("GET", server.url + path, timeout=4) as reply:
                if reply.status_code == 200:
                    text = ""
                    for line in reply.iter_lines():
                        if line.startswith("data: "):
                            return line.removeprefix("data: ")
                        text += line + "\n"
                    return text
        except httpx.TransportError:
            pass  # the worker that it led to is stopped, or has just been killed
        assert time.monotonic() < ends, server.output


def statistics(server: Server, client: httpx.Client | None = None) -> int:
    """Rows that the protocol's statistics tell of."""
    (told,) = json.loads(got(server, "/v2/models/m/stats", client))["model_stats"]
    assert told["inference_stats"]["success"]["count"] == told["inference_count"]
    return int(told["inference_count"])


def on_the_page(server: Server, client: httpx.Client | None = None) -> dict[str, Any]:
    return dict(json.loads(got(server, "/web/live", client)))


def connections_of(pid: int, server: Server) -> int:
    """How many connections a process holds that came to the server's port."""
    port = f":{int(server.url.rpartition(':')[2]):04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = {
        f"socket:[{words[9]}]" for words in lines if words[1].endswith(port) and words[3] == "01"
    }
    return sum(
        os.readlink(link) in ours for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()
    )


def connected(worker: int, server: Server, held: ExitStack) -> httpx.Client:
    """A client whose connection leads to this worker; others are opened until there is one."""
    before = connections_of(worker, server)
    while True:
        client = held.enter_context(httpx.Client(timeout=30))
        assert client.get(server.url + "/v2/health/live").status_code == 200
        if connections_of(worker, server) > before:
            return client


def answered(server: Server, client: httpx.Client | None = None) -> float:
    (count,) = re.findall(
        r'^jitney_requests_total{model="m",outcome="success",.*} (\S+)$',
        got(server, "/metrics", client),
        re.MULTILINE,
    )
    return float(count)


def ask(server: Server, times: int) -> None:
    for _ in range(times):
        reply = server.post("/v2/models/m/infer", json=BODY)
        assert reply.json()["outputs"][0]["data"] == [2, 4, 6, 8]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return onnx_models.doubler(tmp_path / "models" / "m" / "1" / "model.onnx").parents[2]


@pytest.fixture
def server(model: Path) -> Iterator[Server]:
    with serving(model, "--workers", "2", "--admin", "--drain", "5") as running:
        yield running


def test_connections_are_shared_and_metrics_are_of_all(server: Server) -> None:
    with ExitStack() as held:
        sessions = [
            held.enter_context(httpx.Client(base_url=server.url, timeout=30))
            for _ in range(CONNECTIONS)
        ]
        for session in sessions:
            assert session.post("/v2/models/m/infer", json=BODY).status_code == 200
        counts = [connections_of(worker, server) for worker in workers_of(server)]
        assert sum(counts) == CONNECTIONS
        # Below 10 would be seen once in a hundred million times, if each came to each with
        # one half.
        assert min(counts) >= 10
        # Each of them is told of all, over HTTP and on the page.
        for session in sessions[:20]:
            until(lambda of=session: statistics(server, of) == CONNECTIONS, server)
    pages = [on_the_page(server) for _ in range(24)]
    assert all(page["ready"] and page["of_processes"] == 2 for page in pages)
    # A moment's stall is in a few of them; a worker that tells of itself alone, in one half.
    of_all = [page for page in pages if page["processes"] == 2]
    assert len(of_all) >= 20
    assert {page["models"][0]["total"]["success"] for page in of_all} == {CONNECTIONS}
    until(lambda: answered(server) == CONNECTIONS, server)
    until(lambda: metric(server, "jitney_workers") == 2, server)
    of_each = re.compile(r"^jitney_worker_cpu_seconds_total{worker=", re.MULTILINE)
    until(lambda: len(of_each.findall(got(server, "/metrics"))) == 2, server)
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes"):
        assert metric(server, name) > 0


def test_cores_are_divided(server: Server) -> None:
    """Lesson 22: workers times slots times threads are never more than the cores."""
    (config,) = {server.get("/v2/models/m/config").text for _ in range(20)}
    assert config
    threads = [len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in workers_of(server)]
    assert len(threads) == 2
    said = re.search(r"(\d+) threads? a run", server.output)
    assert said is None or int(said[1]) <= usable_cores() // 2


def test_a_worker_that_is_killed_is_replaced_and_nothing_counted_is_lost(server: Server) -> None:
    ask(server, 40)
    until(lambda: answered(server) == 40, server)
    victim = workers_of(server)[0]
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in workers_of(server), server)
    # The other one goes on by itself.
    ask(server, 20)
    until(lambda: answered(server) == 60, server)
    until(lambda: "serves" in server.output, server)
    assert len(workers_of(server)) == 2
    until(lambda: metric(server, "jitney_workers") == 2, server)
    assert metric(server, "jitney_worker_restarts_total") == 1
    ask(server, 20)
    until(lambda: answered(server) == statistics(server) == 80, server)
    assert f"(process {victim}): was ended by SIGKILL" in server.output


def test_a_worker_that_hangs_keeps_nobody_who_looks(server: Server) -> None:
    ask(server, 20)
    # What a worker has said is kept: each is heard before one falls silent.
    until(lambda: answered(server) == 20, server)
    other, victim = workers_of(server)
    with ExitStack() as held:
        # New connections would lead to the one that hangs too, and it is ended after 30 s.
        client = connected(other, server, held)
        os.kill(victim, signal.SIGSTOP)
        try:
            assert metric(server, "jitney_workers", client) == 1
            assert answered(server, client) == 20
            assert statistics(server, client) == 20
            page = on_the_page(server, client)
            assert page["processes"] == 1
            assert page["models"][0]["total"]["success"] == 20
        finally:
            os.kill(victim, signal.SIGCONT)


def states(server: Server) -> set[str]:
    """What each worker says of the model, asked over many connections."""
    return {
        server.post("/v2/repository/index").json()[0]["state"]
        for _ in range(30)  # both are asked, but for one time in 500 million
    }


def test_loading_and_unloading_reach_all(server: Server) -> None:
    assert server.post("/v2/repository/models/m/unload").status_code == 200
    assert states(server) == {"UNAVAILABLE"}
    assert server.post("/v2/repository/models/m/load").status_code == 200
    assert states(server) == {"READY"}
    ask(server, 10)


def test_a_new_worker_does_not_bring_back_what_was_unloaded(server: Server) -> None:
    assert server.post("/v2/repository/models/m/unload").status_code == 200
    os.kill(workers_of(server)[0], signal.SIGKILL)
    until(lambda: "serves" in server.output, server)
    for _ in range(20):
        assert server.post("/v2/models/m/infer", json=BODY).status_code in (404, 503)
    assert server.post("/v2/repository/models/m/load").status_code == 200
    ask(server, 20)


def test_a_load_that_fails_changes_nothing_anywhere(server: Server, model: Path) -> None:
    path = model / "m" / "1" / "model.onnx"
    path.write_bytes(b"this is not a model")
    reply = server.post("/v2/repository/models/m/load")
    assert reply.status_code >= 400
    assert "cannot be loaded" in reply.json()["error"]
    ask(server, 20)
    assert server.post("/v2/repository/models/none/load").status_code == 404


def test_a_changed_model_is_seen_once_and_served_by_all(model: Path) -> None:
    with serving(model, "--workers", "2", "--watch") as server:
        onnx_models.doubler(model / "m" / "2" / "model.onnx")

        def versions() -> set[str]:
            replies = [server.post("/v2/models/m/infer", json=BODY).json() for _ in range(20)]
            return {reply["model_version"] for reply in replies}

        until(lambda: versions() == {"2"}, server)


async def test_sigterm_under_load(model: Path) -> None:
    """Lesson 20: all workers drain together, within one deadline."""
    counted: Counter[str] = Counter()
    for _ in range(5):
        with serving(model, "--workers", "2", "--drain", "5") as server:
            children = workers_of(server)
            callers = await stop_under_load(server)
            assert await asyncio.to_thread(server.process.wait, 60) == 0, server.output
            assert not there(children)
            counted += callers.counted
    assert set(counted) <= {"200", "closed before any answer"}, counted
    # A request that crosses our close on its way was not accepted; but that is rare.
    assert counted["closed before any answer"] <= 10, counted


def test_workers_end_when_their_supervisor_is_killed(model: Path) -> None:
    with serving(model, "--workers", "2", "--drain", "1") as server:
        children = workers_of(server)
        server.process.kill()
        server.process.wait()
        ends = time.monotonic() + PATIENCE_S
        while there(children):
            assert time.monotonic() < ends
            time.sleep(0.02)


def test_over_grpc_all_answer(model: Path) -> None:
    port = free_port()
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4]}
    request = pb.ModelInferRequest(
        model_name="m", inputs=[{**tensor, "contents": {"fp32_contents": [1, 2, 3, 4]}}]
    )
    with serving(model, "--workers", "2", "--grpc-port", str(port)) as server:
        for _ in range(20):
            # Channels of one process share their connection unless they are told not to.
            options = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.insecure_channel(server.grpc, options) as channel:
                GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=30)
        until(lambda: answered(server) == 20, server)
        for _ in range(10):
            with grpc.insecure_channel(server.grpc, options) as channel:
                stub = GRPCInferenceServiceStub(channel)
                until(lambda of=stub: told_over_grpc(of) == 20, server)


def told_over_grpc(stub: GRPCInferenceServiceStub) -> int:
    """Rows that the statistics tell of; -1 while the other worker does not say."""
    try:
        (told,) = stub.ModelStatistics(pb.ModelStatisticsRequest(name="m"), timeout=30).model_stats
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.UNAVAILABLE:
            raise
        return -1
    assert told.inference_count == told.inference_stats.success.count
    return int(told.inference_count)


# --- abuse


def mistake(*arguments: str | Path) -> str:
    """What a start that cannot work prints: one line, no traceback, and it ends with code 2."""
    ended = subprocess.run(
        [sys.executable, "-m", "serving.cli", "serve", "--workers", "2", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    told = [line for line in ended.stderr.splitlines() if not line.startswith("Jitney ")]
    assert ended.returncode == 2, ended.stderr
    assert len(told) == 1, ended.stderr
    return told[0]


def test_what_cannot_be_served_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_text("this is not a model")
    assert "complete ONNX file" in mistake(path, "--port", "0")
    assert "does not exist" in mistake(tmp_path / "none", "--port", "0")


def test_more_workers_than_cores_are_refused(model: Path) -> None:
    told = mistake(model, "--port", "0", "--workers", "1000")
    assert "--workers 1000 is too many" in told
    assert f"at most {usable_cores()} can share" in told


def test_a_second_server_does_not_take_half_of_the_connections(server: Server) -> None:
    port = server.url.rpartition(":")[2]
    assert f"port {port} of 127.0.0.1 is in use" in mistake("--port", port)
