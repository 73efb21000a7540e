"""The whole protocol behind Ray Serve's proxies, on clusters of several raylets.

Most is tried through both proxies that Ray has: its own in Python, and HAProxy.
"""

import asyncio
import json
import socket
import subprocess
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from serving.app import create_app
from serving.gate import App
from serving.settings import Settings
from tests.ray.cluster import BIN, Ray, cluster, deploy, serving, until
from tests.ray.load import LOST, load
from tests.support import onnx_models, wire

SLOW, WIDTH, ROWS = "/v2/models/slow/infer", 512, 512
QUEUE = 'jitney_queue_rows{model="slow"'
QUICK = {"profile_budget_s": 0.2, "max_queue_rows": ROWS}
TIMEOUT_MS = "X-Request-Timeout-Ms"


@pytest.fixture(scope="module", params=["python", "haproxy"])
def ray(request) -> Ray:
    with cluster(3, dashboard=True, haproxy=request.param == "haproxy") as found:
        yield found


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """`slow` takes 20 ms for a row, two seconds for ROWS; requests do not ride together."""
    folder = tmp_path_factory.mktemp("models")
    onnx_models.heavy(folder / "slow" / "1" / "model.onnx", width=WIDTH, layers=1600)
    (folder / "slow" / "model.toml").write_text("batching = false\n")
    onnx_models.doubler(folder / "doubler" / "1" / "model.onnx")
    return folder


@pytest.fixture(scope="module")
def url(ray, models, tmp_path_factory) -> str:
    """One replica, so that it is known who counts."""
    folder = tmp_path_factory.mktemp("one")
    with serving(ray, folder, models, **QUICK) as found:
        yield found


def slow(rows: int, **parameters: object) -> tuple[bytes, dict[str, str]]:
    """A request for `slow`, as binary tensors; its headers."""
    data = np.ones((rows, WIDTH), np.float32).tobytes()
    head = {"name": "x", "datatype": "FP32", "shape": [rows, WIDTH]}
    head["parameters"] = {"binary_data_size": len(data)}
    outputs = [{"name": "y", "parameters": {"binary_data": True}}]
    text = json.dumps({"parameters": parameters, "inputs": [head], "outputs": outputs}).encode()
    return text + data, {"Inference-Header-Content-Length": str(len(text))}


def metric(url: str, line: str) -> float:
    """One number of /metrics; 0 if it is not there yet."""
    for one in httpx.get(url + "/metrics").text.splitlines():
        if one.startswith(line):
            return float(one.rsplit(" ", 1)[1])
    return 0.0


def left(url: str) -> float:
    return metric(url, 'jitney_requests_total{model="slow",outcome="left",version="1"}')


def runs(url: str) -> int:
    (one,) = httpx.get(url + "/v2/models/slow/stats").json()["model_stats"]
    return one["execution_count"]


@asynccontextmanager
async def app_running(app: App) -> AsyncIterator[None]:
    """The application between its start and its end, as a server leads it."""
    told: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    said: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    life = asyncio.create_task(app({"type": "lifespan"}, told.get, said.put))
    await told.put({"type": "lifespan.startup"})
    assert (await said.get())["type"] == "lifespan.startup.complete"
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        ready = 503
        while ready != 200:
            await asyncio.sleep(0.05)
            ready = (await client.get("/v2/health/ready")).status_code
    yield
    await told.put({"type": "lifespan.shutdown"})
    await life


async def test_every_route_answers_as_without_ray(url, models):
    body = wire.request(wire.tensor(shape=[2, 4], data=[1, 2, 3, 4, 5, 6, 7, 8]))
    asked = [
        ("GET", "/v2", None),
        ("GET", "/v2/health/live", None),
        ("HEAD", "/v2/health/ready", None),
        ("GET", "/v2/models", None),
        ("GET", "/v2/models/doubler", None),
        ("GET", "/v2/models/doubler/versions/1/ready", None),
        ("GET", "/v2/models/doubler/example", None),
        ("POST", "/v2/repository/index", b""),
        ("POST", "/v2/models/doubler/infer", body),
        ("POST", "/v2/models/doubler/versions/1/infer", body),
        ("POST", "/v2/models/doubler/infer", b'{"inputs": 1}'),
        ("POST", "/v2/models/nobody/infer", body),
        ("POST", "/v2/repository/models/doubler/unload", b""),
        ("GET", "/nowhere", None),
        ("GET", "/", None),
    ]
    app = create_app(Settings(models=(models,), profile_budget_s=0.2))
    async with (
        app_running(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as plain,
        httpx.AsyncClient(base_url=url) as through,
    ):
        for method, path, content in asked:
            expected = await plain.request(method, path, content=content)
            found = await through.request(method, path, content=content)

            assert found.status_code == expected.status_code, path
            assert found.content == expected.content, path
            assert found.headers["content-type"] == expected.headers["content-type"], path


def test_who_cannot_be_in_time_is_refused_with_when_to_come_back(url):
    before = runs(url)
    content, headers = slow(1)
    in_head = httpx.post(url + SLOW, content=content, headers={**headers, TIMEOUT_MS: "1"})
    content, headers = slow(1, timeout=1000)
    in_body = httpx.post(url + SLOW, content=content, headers=headers)

    for refused in (in_head, in_body):
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert "ms are allowed" in refused.json()["error"]
    assert runs(url) == before


def test_who_finds_the_queue_full_is_refused(url):
    """Ray hides no queue: what waits is known where it is decided."""
    content, headers = slow(ROWS)
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(post, url + SLOW, content, headers)
        until(lambda: riding(url))
        second = callers.submit(post, url + SLOW, content, headers)
        until(lambda: metric(url, QUEUE) == ROWS)

        refused = post(url + SLOW, content, headers)

    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json().keys() == {"error"}
    assert first.result().status_code == second.result().status_code == 200


def test_whose_time_runs_out_in_the_queue_is_told_and_never_run(url):
    before = runs(url)
    content, headers = slow(ROWS)
    with ThreadPoolExecutor(1) as callers:
        first = callers.submit(post, url + SLOW, content, headers)
        until(lambda: riding(url))
        content, headers = slow(1)

        late = post(url + SLOW, content, {**headers, TIMEOUT_MS: "30"})

    assert late.status_code in (429, 504)  # known at once, or found out
    assert late.json().keys() == {"error"}
    assert first.result().status_code == 200
    assert runs(url) == before + 1


def post(url: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
    return httpx.post(url, content=content, headers=headers, timeout=60)


def riding(url: str) -> float:
    return metric(url, 'jitney_riding_rows{model="slow"')


def test_a_caller_who_leaves_is_taken_from_the_queue(url):
    before, left_before = runs(url), left(url)
    content, headers = slow(ROWS)
    with ThreadPoolExecutor(1) as callers:
        first = callers.submit(post, url + SLOW, content, headers)
        until(lambda: riding(url))

        at = urlsplit(url)
        with socket.create_connection((at.hostname, at.port)) as second:
            head = [
                f"POST {SLOW} HTTP/1.1",
                f"Host: {at.netloc}",
                f"Content-Length: {len(content)}",
            ]
            head += [f"{name}: {value}" for name, value in headers.items()]
            second.sendall("\r\n".join([*head, "", ""]).encode() + content)
            until(lambda: metric(url, QUEUE))

        until(lambda: left(url) == left_before + 1)
    assert first.result().status_code == 200
    assert runs(url) == before + 1


# What follows deploys anew, each in its turn.


def test_it_is_deployed_anew_under_load_and_nobody_notices(ray, url, models, tmp_path):
    """The replica that goes answers what it has: Ray waits, then it drains."""
    body = wire.request(wire.tensor(shape=[1, 4], data=[1, 2, 3, 4]))
    before = httpx.get(url + "/v2/models/doubler/config").json()
    with load(url + "/v2/models/doubler/infer", body, callers=4) as callers:
        until(lambda: len(callers.asked) > 20)
        deploy(ray, url, tmp_path, models, **QUICK, slo_ms=777)
        enough = len(callers.asked) + 20
        until(lambda: len(callers.asked) > enough)
    assert callers.failed() == []
    assert httpx.get(url + "/v2/models/doubler/config").json() != before


def test_replicas_come_with_the_queue_and_go_with_it(ray, url, models, tmp_path):
    hasty = {"min_replicas": 1, "max_replicas": 2, "metrics_interval_s": 0.5}
    hasty |= {"look_back_period_s": 1.0, "upscale_delay_s": 0.0, "downscale_delay_s": 1.0}
    deploy(ray, url, tmp_path, models, **QUICK, slo_ms=2000, autoscaling=hasty)
    assert ray.ask("running") == 1
    content, headers = slow(ROWS)
    with load(url + SLOW, content, callers=4, headers=headers) as callers:
        until(lambda: ray.ask("running") == 2)
    assert {one.status for one in callers.asked} <= {200, 429, 504}
    until(lambda: ray.ask("running") == 1)


def test_a_machine_that_is_killed_takes_what_was_in_flight_there_and_no_more(
    ray, url, models, tmp_path
):
    """Ray's own proxy says 500 to each, once. HAProxy asks again elsewhere for most of them."""
    deploy(ray, url, tmp_path, models, **QUICK, min_replicas=2, max_replicas=2)
    until(lambda: ray.ask("running") == 2)
    body = wire.request(wire.tensor(shape=[1, WIDTH], data=[1.0] * WIDTH))
    with load(url + SLOW, body, callers=8) as callers:
        until(lambda: len(callers.asked) > 100)

        ray.ask("kill", "Jitney")

        until(lambda: ray.ask("running") == 2 and ray.ask("settled"))
        enough = len(callers.asked) + 100
        until(lambda: len(callers.asked) > enough)
    failed = callers.failed()
    assert len(failed) <= 8
    assert {one.status for one in failed} <= {500, LOST}
    # All of them were under way at one moment, when the machine died.
    assert not failed or max(one.began for one in failed) <= min(one.ended for one in failed)


def test_a_mistake_is_told_to_who_deploys(ray, url, tmp_path):
    """And what was there before goes on answering."""
    command = [BIN / "serve", "run", "--address", ray.address, "serving.ray.app:app", "modles=/x"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode != 0
    assert "there is no 'modles'; there are models, cpus" in ended.stdout + ended.stderr
    assert httpx.get(url + "/v2/health/ready").status_code == 200
