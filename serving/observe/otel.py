"""Traces by OpenTelemetry: W3C headers in, OTLP over HTTP out.

    request ─┬─ queue            the request's own trace, or the caller's
             └─ run ──link──┐
    batch ◄─────────────────┘    a trace of its own, with a link to every request in it

A request's span begins and ends as it does. All other spans are made after the fact,
from a batch's instants, by a thread: the event loop hands it one note a batch.
Where to, what is sampled and how it is sent is said by the standard OTEL_* variables.
"""

import logging
import os
import threading
import time
from collections.abc import Iterable, Sequence
from queue import Full, Queue
from typing import Any, NamedTuple

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    set_span_in_context,
)

from batching import Batch, Ticket
from batching.parts import Part

from ..errors import status_of
from ..version import VERSION
from .reasons import reason_of
from .tracing import CannotTrace, Header

logger = logging.getLogger(__name__)

# Batches that may wait to become spans; more are left out of the traces.
MAX_NOTES = 4096

CLOSE_S = 5.0
"""How long the last spans may take to be sent."""


class RequestTrace:
    """A request's span."""

    __slots__ = ("span",)

    def __init__(self, span: Span) -> None:
        self.span = span

    def end(self, error: BaseException | None = None) -> None:
        if not self.span.is_recording():
            return  # it has ended
        if error is not None:
            self.span.set_attribute("error.type", reason_of(error))
            status = status_of(error).http if isinstance(error, Exception) else 0
            if status:
                self.span.set_attribute("http.response.status_code", status)
            if status >= 500:
                self.span.set_status(Status(StatusCode.ERROR))
        else:
            self.span.set_attribute("http.response.status_code", 200)
        self.span.end()

    def left(self) -> None:
        if self.span.is_recording():
            self.span.set_attribute("error.type", "left")
            self.span.end()


class _Member(NamedTuple):
    """A request in a batch."""

    span: Span
    arrived: float
    rows: int


class _Note(NamedTuple):
    """What the thread makes spans of."""

    model: str
    version: str
    batch: Batch
    requests: int
    members: list[_Member]


class OpenTelemetry:
    """The tracer. One for a process; `close` it."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        """`provider`: where spans go; as the environment says if not given."""
        self._provider = provider or provider_from_environment()
        self._tracer = self._provider.get_tracer("jitney", VERSION)
        self._fields = {name.encode() for name in propagate.get_global_textmap().fields}
        self._notes: Queue[_Note | None] = Queue(MAX_NOTES)
        self._lost = 0
        self._thread = threading.Thread(target=self._work, name="spans", daemon=True)
        self._thread.start()

    def request(
        self, headers: Iterable[Header], *, model: str, version: str, arrived: float
    ) -> RequestTrace | None:
        carrier: dict[str, str] = {}
        for name, value in headers:
            if (name if isinstance(name, bytes) else name.encode()) in self._fields:
                carrier[_text(name)] = _text(value)
        span = self._tracer.start_span(
            f"infer {model}",
            # Out of an empty context: the current one is the server's, not the request's.
            propagate.extract(carrier, Context()),
            SpanKind.SERVER,
            {"jitney.model": model, "jitney.version": version},
            start_time=_epoch_ns(arrived),
        )
        return RequestTrace(span) if span.is_recording() else None

    def batch(
        self, batch: Batch, tickets: Sequence[Ticket[Any, Any]], *, model: str, version: str
    ) -> None:
        members = []
        for ticket in tickets:
            trace = ticket.trace
            if trace is None and isinstance(ticket.reply, Part):
                trace = ticket.reply.whole.trace
            if isinstance(trace, RequestTrace):
                members.append(_Member(trace.span, ticket.arrived, ticket.rows))
        if not members:
            return
        try:
            self._notes.put_nowait(_Note(model, version, batch, len(tickets), members))
        except Full:
            self._lost += 1
            if self._lost == 1:
                logger.warning("batches come faster than they can be traced; some are left out")

    def close(self) -> None:
        closing = threading.Thread(target=self._close, name="last spans", daemon=True)
        closing.start()
        closing.join(CLOSE_S)
        if closing.is_alive():
            logger.warning("the last spans could not be sent within %g s", CLOSE_S)

    def _close(self) -> None:
        self._notes.put(None)
        self._thread.join()
        self._provider.shutdown()

    # --- the thread

    def _work(self) -> None:
        while (note := self._notes.get()) is not None:
            try:
                self._make_spans(note)
            except Exception:
                logger.exception("a batch could not be traced")

    def _make_spans(self, note: _Note) -> None:
        batch = note.batch
        cut_ns, ended_ns = _epoch_ns(batch.cut_at), _epoch_ns(batch.ended_at or batch.cut_at)
        about: dict[str, Any] = {
            "jitney.model": note.model,
            "jitney.version": note.version,
            "jitney.batch.requests": note.requests,
            "jitney.batch.rows": batch.rows,
            "jitney.batch.length": batch.length,
            "jitney.batch.padding": batch.padding,
            "jitney.batch.runs": batch.runs,
            "jitney.batch.run_s": batch.run_s,
            "jitney.batch.predicted_s": batch.predicted_s,
        }
        carried = self._tracer.start_span(
            f"batch {note.model}",
            Context(),  # under nobody: it belongs to all of its members alike
            attributes=about,
            links=[Link(member.span.get_span_context()) for member in note.members],
            start_time=cut_ns,
        )
        carried.end(ended_ns)
        for member in note.members:
            self._child(member, "queue", _epoch_ns(member.arrived), cut_ns)
            link = carried.get_span_context()
            self._child(member, "run", cut_ns, ended_ns, link, {"jitney.rows": member.rows})

    def _child(
        self,
        member: _Member,
        name: str,
        start_ns: int,
        end_ns: int,
        link: SpanContext | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> None:
        span = self._tracer.start_span(
            name,
            set_span_in_context(member.span, Context()),
            attributes=attributes,
            links=[Link(link)] if link and link.is_valid else [],
            start_time=start_ns,
        )
        span.end(end_ns)


def provider_from_environment() -> TracerProvider:
    """Spans to an OTLP receiver, in batches, as the OTEL_* variables say.

    Raises CannotTrace for what they ask that is not done: it would not be seen otherwise.
    """
    _look_at_environment()
    about: dict[str, str] = {"service.version": VERSION}
    said = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not os.environ.get("OTEL_SERVICE_NAME") and "service.name=" not in said:
        about["service.name"] = "jitney"
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _look_at_environment() -> None:
    if (exporter := os.environ.get("OTEL_TRACES_EXPORTER") or "otlp") != "otlp":
        raise CannotTrace(
            f"OTEL_TRACES_EXPORTER is {exporter!r}, but --tracing sends to otlp only; "
            "leave out one of them"
        )
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := os.environ.get(name):
            if protocol != "http/protobuf":
                raise CannotTrace(
                    f"{name} is {protocol!r}, but traces are sent by http/protobuf only; set it "
                    "to that, and the endpoint to the receiver's port for HTTP, as a rule 4318"
                )
            return


def _epoch_ns(instant: float) -> int:
    """Nanoseconds since 1970 of an instant of time.monotonic()."""
    return time.time_ns() - round((time.monotonic() - instant) * 1e9)


def _text(value: bytes | str) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
