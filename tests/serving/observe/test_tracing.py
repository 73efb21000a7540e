"""What a door does with a tracer, and what becomes of batches; with a tracer of the test's own."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from batching import Batch, Ticket
from serving.observe.statistics import ModelStatistics
from serving.observe.tracing import Both, Header, TracedBatches, followed
from tests.support.batches import ticket


class Noted:
    """A trace that notes how it ended."""

    def __init__(self) -> None:
        self.ends: list[object] = []

    def end(self, error: BaseException | None = None) -> None:
        self.ends.append(error)

    def left(self) -> None:
        self.ends.append("left")


class Notes:
    """A tracer that follows every request, or none."""

    def __init__(self, trace: Noted | None = None) -> None:
        self.trace = trace
        self.asked: list[tuple[Any, ...]] = []
        self.batches: list[tuple[Any, ...]] = []

    def request(
        self, headers: Iterable[Header], *, model: str, version: str, arrived: float
    ) -> Noted | None:
        self.asked.append((list(headers), model, version, arrived))
        return self.trace

    def batch(
        self, batch: Batch, tickets: Sequence[Ticket[Any, Any]], *, model: str, version: str
    ) -> None:
        self.batches.append((batch, list(tickets), model, version))

    def close(self) -> None: ...


HEADERS = [(b"traceparent", b"any")]


def test_without_a_tracer_no_header_is_looked_at() -> None:
    def headers() -> Iterable[Header]:
        raise AssertionError("looked at")
        yield

    with followed(None, headers(), model="m", version="1", arrived=0.0) as trace:
        assert trace is None


def test_a_request_that_nobody_follows_has_no_trace() -> None:
    tracer = Notes()

    with followed(tracer, HEADERS, model="m", version="1", arrived=2.5) as trace:
        assert trace is None

    assert tracer.asked == [(HEADERS, "m", "1", 2.5)]


def test_a_trace_ends_with_its_block() -> None:
    noted = Noted()

    with followed(Notes(noted), HEADERS, model="m", version="1", arrived=0.0) as trace:
        assert trace is noted
        assert not noted.ends

    assert noted.ends == [None]


@pytest.mark.parametrize(("error", "ends"), [(KeyError("k"), None), (ZeroDivisionError(), "left")])
def test_a_trace_ends_with_what_came_out_of_its_block(error: Exception, ends: object) -> None:
    noted = Noted()

    with (
        pytest.raises(type(error)),
        followed(
            Notes(noted),
            HEADERS,
            model="m",
            version="1",
            arrived=0.0,
            left=(ZeroDivisionError,),
        ),
    ):
        raise error

    assert noted.ends == [ends or error]


def test_batches_are_counted_and_traced() -> None:
    tracer, statistics = Notes(), ModelStatistics()
    both = Both(statistics, TracedBatches(tracer, "m", "2"))
    rider, gone, late = ticket(), ticket(), ticket()
    batch = Batch(1, 0.0, 0.5, 0.25)

    both.left(gone)
    both.refused(late, ValueError())  # type: ignore[arg-type]
    both.batch_cut(batch, [rider])
    both.batch_done(batch, [rider])

    totals = statistics.totals
    assert (totals.success, totals.left, totals.refused) == (1, 1, {"internal": 1})
    assert tracer.batches == [(batch, [rider], "m", "2")]
