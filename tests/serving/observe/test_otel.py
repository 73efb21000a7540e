"""Spans: what they say, and that they arrive."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode

from batching import Cores, RunFailed, TooLate
from models import InvalidInput, ModelConfig, ModelSource, Tensors, load
from serving.deployment import Deployment
from serving.observe.otel import OpenTelemetry
from serving.observe.tracing import CannotTrace, followed, open_tracer
from serving.settings import Settings
from tests.support.onnx_models import doubler

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = (b"traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01".encode())


class Memory:
    """A tracer, and the spans that it has made."""

    def __init__(self, **options: object) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider(shutdown_on_exit=False, **options)  # type: ignore[arg-type]
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = OpenTelemetry(self._provider)

    def spans(self) -> dict[str, list[ReadableSpan]]:
        """By the first word of their names. Closes the tracer."""
        self.tracer.close()
        found: dict[str, list[ReadableSpan]] = {}
        for span in self._exporter.get_finished_spans():
            found.setdefault(span.name.split()[0], []).append(span)
        return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return doubler(tmp_path / "m.onnx", width=1)


def deployed(path: Path, tracer: OpenTelemetry, **config: int) -> Deployment:
    source = ModelSource("m", "1", path, ModelConfig(**config))  # type: ignore[arg-type]
    return Deployment(load(source, cores=1), Settings(), Cores(1), tracer=tracer)


def rows(*values: float) -> Tensors:
    return {"x": np.array(values, np.float32).reshape(-1, 1)}


async def infer(deployment: Deployment, inputs: Tensors, *headers: tuple[bytes, bytes]) -> None:
    """As a door does it."""
    arrived = time.monotonic()
    with followed(deployment.tracer, headers, model="m", version="1", arrived=arrived) as trace:
        await deployment.infer(inputs, arrived=arrived, timeout_s=None, priority=5, trace=trace)


async def test_a_request_has_its_queue_and_its_run_and_both_lie_within_it(path: Path) -> None:
    memory = Memory()
    before_ns = time.time_ns()
    deployment = deployed(path, memory.tracer)
    async with deployment.batcher:
        await infer(deployment, rows(1, 2))

    spans = memory.spans()
    (request,), (queue,), (run,) = spans["infer"], spans["queue"], spans["run"]
    assert (request.kind, request.parent) == (SpanKind.SERVER, None)
    assert queue.parent == run.parent == request.context
    assert request.attributes == {
        "jitney.model": "m",
        "jitney.version": "1",
        "http.response.status_code": 200,
    }
    assert run.attributes == {"jitney.rows": 2}
    # To a millisecond: a monotonic instant is told as a time of day.
    slack_ns = 1_000_000
    instants = [
        before_ns, request.start_time, queue.end_time, run.end_time, request.end_time
    ]  # fmt: skip
    for earlier, later in pairwise(instants):
        assert earlier <= later + slack_ns
    assert abs(queue.start_time - request.start_time) <= slack_ns
    assert abs(run.start_time - queue.end_time) <= slack_ns


async def test_a_batch_has_a_link_to_each_of_its_members_and_they_to_it(path: Path) -> None:
    memory = Memory()
    deployment = deployed(path, memory.tracer)
    async with deployment.batcher:
        await asyncio.gather(*(infer(deployment, rows(n)) for n in range(5)))

    spans = memory.spans()
    requests = {request.context.span_id: request.context for request in spans["infer"]}
    assert len(requests) == len(spans["run"]) == len(spans["queue"]) == 5
    linked = [link.context.span_id for batch in spans["batch"] for link in batch.links]
    assert sorted(linked) == sorted(requests)
    for batch in spans["batch"]:
        assert batch.parent is None
        assert batch.attributes["jitney.batch.rows"] == len(batch.links)
        assert batch.attributes["jitney.batch.requests"] == len(batch.links)
        assert batch.attributes["jitney.batch.run_s"] > 0
        for run in spans["run"]:
            if run.parent.span_id in [link.context.span_id for link in batch.links]:
                assert [link.context for link in run.links] == [batch.context]


async def test_the_callers_trace_goes_on(path: Path) -> None:
    memory = Memory()
    deployment = deployed(path, memory.tracer)
    async with deployment.batcher:
        await infer(deployment, rows(1), (b"host", b"here"), TRACEPARENT)

    spans = memory.spans()
    (request,) = spans["infer"]
    assert f"{request.context.trace_id:032x}" == TRACE_ID
    assert f"{request.parent.span_id:016x}" == PARENT_ID
    assert spans["run"][0].context.trace_id == request.context.trace_id
    assert spans["batch"][0].context.trace_id != request.context.trace_id


@pytest.mark.parametrize("value", [b"", b"00-xyz", b"\xff" * 300, b"00-" + b"0" * 32 + b"-1-01"])
def test_headers_that_are_no_trace_begin_a_new_one(value: bytes) -> None:
    memory = Memory()

    trace = memory.tracer.request(
        [(b"traceparent", value)], model="m", version="1", arrived=time.monotonic()
    )

    assert trace is not None
    trace.end()
    assert memory.spans()["infer"][0].parent is None


def test_the_metadata_of_grpc_is_text() -> None:
    memory = Memory()
    header = (TRACEPARENT[0].decode(), TRACEPARENT[1].decode())

    trace = memory.tracer.request([header], model="m", version="1", arrived=time.monotonic())

    assert trace is not None
    trace.end()
    assert f"{memory.spans()['infer'][0].context.trace_id:032x}" == TRACE_ID


async def test_what_is_not_sampled_costs_no_span(path: Path) -> None:
    memory = Memory(sampler=ParentBased(ALWAYS_OFF))
    deployment = deployed(path, memory.tracer)
    async with deployment.batcher:
        await infer(deployment, rows(1))
        await infer(deployment, rows(2), TRACEPARENT)

    spans = memory.spans()
    assert len(spans["infer"]) == len(spans["run"]) == 1


async def test_parts_of_a_large_request_are_runs_of_it(path: Path) -> None:
    memory = Memory()
    deployment = deployed(path, memory.tracer, max_batch_rows=2)
    async with deployment.batcher:
        await infer(deployment, rows(1, 2, 3, 4, 5))

    spans = memory.spans()
    (request,) = spans["infer"]
    assert all(run.parent == request.context for run in spans["run"])
    assert sum(run.attributes["jitney.rows"] for run in spans["run"]) == 5


@pytest.mark.parametrize(
    ("error", "code", "reason", "status"),
    [
        (TooLate(needed_s=1, allowed_s=0), 429, "too_late", StatusCode.UNSET),
        (RunFailed("no"), 500, "run_failed", StatusCode.ERROR),
    ],
)
def test_an_error_is_told(error: Exception, code: int, reason: str, status: StatusCode) -> None:
    memory = Memory()
    trace = memory.tracer.request([], model="m", version="1", arrived=time.monotonic())
    assert trace is not None

    trace.end(error)
    trace.end()

    (request,) = memory.spans()["infer"]
    assert request.attributes["http.response.status_code"] == code
    assert request.attributes["error.type"] == reason
    assert request.status.status_code == status


async def test_a_caller_who_leaves_is_no_fault_of_ours(path: Path) -> None:
    memory = Memory()
    deployment = deployed(path, memory.tracer)  # its batcher is not started: it waits for ever
    waits = asyncio.create_task(infer(deployment, rows(1)))
    await asyncio.sleep(0)

    waits.cancel()
    await asyncio.wait([waits])

    (request,) = memory.spans()["infer"]
    assert request.attributes["error.type"] == "left"
    assert request.status.status_code == StatusCode.UNSET
    assert "http.response.status_code" not in request.attributes


async def test_an_error_on_the_way_ends_the_trace(path: Path) -> None:
    memory = Memory()
    deployment = deployed(path, memory.tracer)

    with pytest.raises(InvalidInput):
        await infer(deployment, {})

    (request,) = memory.spans()["infer"]
    assert request.attributes["error.type"] == "invalid"
    assert request.attributes["http.response.status_code"] == 400


# --- over the wire


class Receiver(ThreadingHTTPServer):
    """An OTLP receiver, as a collector has one."""

    def __init__(self) -> None:
        self.received: list[ExportTraceServiceRequest] = []
        super().__init__(("127.0.0.1", 0), _Receive)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Receive(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        yield receiver
        receiver.shutdown()
        thread.join()


@pytest.mark.parametrize("named", [None, "mine"])
async def test_spans_arrive_at_an_otlp_receiver(
    path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
    if named:
        monkeypatch.setenv("OTEL_SERVICE_NAME", named)
    tracer = OpenTelemetry()
    deployment = deployed(path, tracer)
    async with deployment.batcher:
        await infer(deployment, rows(1), TRACEPARENT)
    await asyncio.to_thread(tracer.close)

    resources = [one for request in receiver.received for one in request.resource_spans]
    spans = [span for one in resources for scope in one.scope_spans for span in scope.spans]
    by_name = {span.name: span for span in spans}
    assert by_name.keys() == {"infer m", "queue", "run", "batch m"}
    request = by_name["infer m"]
    assert request.trace_id.hex() == TRACE_ID
    assert request.parent_span_id.hex() == PARENT_ID
    assert by_name["queue"].parent_span_id == by_name["run"].parent_span_id == request.span_id
    assert [link.span_id for link in by_name["batch m"].links] == [request.span_id]
    about = {pair.key: pair.value.string_value for pair in resources[0].resource.attributes}
    assert about["service.name"] == (named or "jitney")


def test_spans_that_nobody_takes_do_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("serving.observe.otel.CLOSE_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        tracer = OpenTelemetry()
        trace = tracer.request([], model="m", version="1", arrived=time.monotonic())
        assert trace is not None
        trace.end()
        began = time.monotonic()

        tracer.close()

        assert time.monotonic() - began < 1
    assert "could not be sent" in caplog.text
    # It goes on trying for its second, which must not be another test's.
    for thread in threading.enumerate():
        if thread.name == "last spans":
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_TRACES_EXPORTER", "console"),
    ],
)
def test_what_would_be_ignored_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Lesson 24."""
    monkeypatch.setenv(name, value)

    with pytest.raises(CannotTrace, match=name):
        open_tracer()


def test_what_is_done_anyway_may_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    # The more special one counts.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")

    open_tracer().close()


# --- who does without


def test_without_the_packages_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "serving.observe.otel", None)

    with pytest.raises(CannotTrace, match=r"pip install 'jitney\[otel\]'"):
        open_tracer()


def test_who_does_not_trace_or_scrape_imports_nothing_for_it() -> None:
    code = (
        "import sys, serving.server\n"
        "print([name for name in sys.modules if name.startswith("
        "('opentelemetry.sdk', 'opentelemetry.exporter', 'prometheus_client'))])"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert printed.strip() == "[]"
