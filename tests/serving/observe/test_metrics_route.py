"""What a real server tells, at /metrics and as the protocol's statistics."""

import pytest

from tests.serving.observe.test_metrics import Scrape
from tests.support import onnx_models, wire
from tests.support.server import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("models") / "m" / "1"
    folder.mkdir(parents=True)
    onnx_models.doubler(folder / "model.onnx", width=1)
    with serving(folder.parents[1]) as server:
        yield server


def scrape(server: Server) -> Scrape:
    reply = server.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    return Scrape(reply.content)


def infer(server: Server, *values: float, shape: list[int] | None = None) -> int:
    body = wire.request(wire.tensor(shape=shape or [len(values), 1], data=list(values)))
    return server.post("/v2/models/m/infer", content=body).status_code


def test_requests_are_seen_by_who_scrapes(server: Server) -> None:
    before = scrape(server)

    assert [infer(server, 1.0), infer(server, 1.0, 2.0), infer(server, 1.0, shape=[1, 1, 1])] == [
        200,
        200,
        400,
    ]

    after = scrape(server)

    def more(name: str, **labels: str) -> float:
        return after(name, **labels) - before(name, **labels)

    assert more("jitney_requests_total", outcome="success") == 2
    assert more("jitney_requests_total", outcome="refused") == 1
    assert more("jitney_refusals_total", reason="invalid") == 1
    assert more("jitney_rows_total") == 3
    assert more("jitney_batches_total") == 2
    assert more("jitney_request_duration_seconds_count") == 2
    assert more("jitney_run_duration_seconds_sum") > 0
    assert (
        more("jitney_run_duration_seconds_sum") < more("jitney_request_duration_seconds_sum") < 60
    )
    assert after("jitney_queue_rows") == after("jitney_riding_rows") == 0
    assert after("jitney_model_ready") == after.samples[("jitney_ready",)] == 1
    assert after("jitney_cost_batch_seconds") + after("jitney_cost_row_seconds") > 0


def test_statistics_and_metrics_agree(server: Server) -> None:
    assert infer(server, 5.0) == 200

    told = server.get("/v2/models/m/stats").json()["model_stats"][0]
    seen = scrape(server)

    assert told["inference_count"] == seen("jitney_rows_total")
    assert told["execution_count"] == seen("jitney_runs_total")
    assert told["inference_stats"]["success"]["count"] == seen(
        "jitney_requests_total", outcome="success"
    )
    assert told["inference_stats"]["success"]["ns"] == pytest.approx(
        seen("jitney_request_duration_seconds_sum") * 1e9
    )


def test_the_documentation_has_the_route(server: Server) -> None:
    assert "/metrics" in server.get("/openapi.json").json()["paths"]
