"""What a tracer of requests is, and how batches come to it. No tracing library is known here.

A door asks the tracer for a `Trace` once a request, and only if there is a tracer: no
header is looked at otherwise. The trace rides with the ticket, since nothing else goes
all of the way: requests are answered without a task, and so without a context of one.
"""

from asyncio import CancelledError
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias

from batching import Batch, BatchingError, BatchObserver, Ticket

Header: TypeAlias = tuple[bytes | str, bytes | str]


class CannotTrace(Exception):
    """Tracing is asked for and cannot be had. The message is for whoever starts the server."""


class Trace(Protocol):
    """One request that somebody wants to follow."""

    def end(self, error: BaseException | None = None) -> None:
        """It is answered. Only the first call of this and `left` counts."""

    def left(self) -> None:
        """Its caller has gone."""


class Tracer(Protocol):
    """Where spans go."""

    def request(
        self, headers: Iterable[Header], *, model: str, version: str, arrived: float
    ) -> Trace | None:
        """A request's trace, which goes on with the one its headers tell of; None: not followed.

        arrived: an instant of time.monotonic().
        """

    def batch(
        self, batch: Batch, tickets: Sequence[Ticket[Any, Any]], *, model: str, version: str
    ) -> None:
        """A batch has been carried out. On the event loop: it must only take note."""

    def close(self) -> None:
        """Send what is left. Blocks, for a bounded time; no calls after it."""


@contextmanager
def followed(
    tracer: Tracer | None,
    headers: Iterable[Header],
    *,
    model: str,
    version: str,
    arrived: float,
    left: tuple[type[BaseException], ...] = (CancelledError,),
) -> Iterator[Trace | None]:
    """A request's trace, from here to the end of the block; for who answers with a task.

    An exception that comes out of the block ends the trace with it; one of `left` says that
    the caller has gone.
    """
    trace = None
    if tracer is not None:
        trace = tracer.request(headers, model=model, version=version, arrived=arrived)
    if trace is None:
        yield None
        return
    try:
        yield trace
    except left:
        trace.left()
        raise
    except BaseException as error:
        trace.end(error)
        raise
    trace.end()


def open_tracer() -> Tracer:
    """The tracer of this process, as the OTEL_* variables set it up. Raises CannotTrace."""
    try:
        from .otel import OpenTelemetry  # its import is paid by who asks for it
    except ImportError as error:
        raise CannotTrace(
            f"--tracing needs packages that are not there: pip install 'jitney[otel]' ({error})"
        ) from error
    return OpenTelemetry()


class TracedBatches:
    """An observer that hands followed batches to a tracer."""

    def __init__(self, tracer: Tracer, model: str, version: str) -> None:
        self._tracer, self._model, self._version = tracer, model, version

    def refused(self, ticket: Ticket[Any, Any], error: BatchingError) -> None: ...

    def left(self, ticket: Ticket[Any, Any]) -> None: ...

    def batch_cut(self, batch: Batch, tickets: Sequence[Ticket[Any, Any]]) -> None: ...

    def batch_done(self, batch: Batch, tickets: Sequence[Ticket[Any, Any]]) -> None:
        self._tracer.batch(batch, tickets, model=self._model, version=self._version)


class Both:
    """Two observers as one."""

    def __init__(self, first: BatchObserver, second: BatchObserver) -> None:
        self._first, self._second = first, second

    def refused(self, ticket: Ticket[Any, Any], error: BatchingError) -> None:
        self._first.refused(ticket, error)
        self._second.refused(ticket, error)

    def left(self, ticket: Ticket[Any, Any]) -> None:
        self._first.left(ticket)
        self._second.left(ticket)

    def batch_cut(self, batch: Batch, tickets: Sequence[Ticket[Any, Any]]) -> None:
        self._first.batch_cut(batch, tickets)
        self._second.batch_cut(batch, tickets)

    def batch_done(self, batch: Batch, tickets: Sequence[Ticket[Any, Any]]) -> None:
        self._first.batch_done(batch, tickets)
        self._second.batch_done(batch, tickets)
