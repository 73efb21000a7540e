"""What one model has done since it was loaded, in plain numbers.

A batcher tells it; the statistics extension of the protocol, the metrics and the page
read it. It is told on the event loop, once a batch, and is the only thing on a
request's way that counts: whoever reads pays for making more of the numbers.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from batching import Batch, BatchingError, DeadlineExceeded, Ticket
from batching.parts import Part

from .reasons import reason_of
from .totals import Totals


class Duration(NamedTuple):
    """How often, and nanoseconds in all."""

    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    ns: int


class BatchSize(NamedTuple):
    """What batches of one number of rows took."""

    batch_size: int
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class StatisticsSnapshot(NamedTuple):
    """The statistics of the protocol. Durations are summed over requests, not over batches."""

    last_inference_ms: int
    """Milliseconds since 1970; 0 if there was none."""
    inference_count: int
    """Rows of the requests that were answered well."""
    execution_count: int
    """Runs of the model."""
    success: Duration
    """From a request's arrival until it was answered."""
    fail: Duration
    """The same for those that got an error, or left."""
    queue: Duration
    """From arrival until the batch was cut."""
    compute_input: Duration
    """Handing the batch to the thread that runs it, and back."""
    compute_infer: Duration
    """Stacking the inputs, the model itself, splitting the outputs."""
    compute_output: Duration
    """Answering the batch's callers."""
    cache_hit: Duration
    cache_miss: Duration
    batch_stats: list[BatchSize]
    """By size; here a batch counts once, whatever rode in it."""


class ModelStatistics:
    """Counts for one model. Give it to the batcher as its observer."""

    def __init__(
        self,
        *,
        predict: Callable[[int, int], float] | None = None,
        finishes: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        predict: seconds that a batch of so many rows, padded to so much, should run for;
            asked when it leaves.
        finishes: a run's rows are not yet an answer: of each request that rode well somebody
            says `finished`, and until then it is not counted as one that was answered.
        clock: the batcher's; wall: seconds since 1970.
        """
        self._predict, self._finishes = predict, finishes
        self._clock, self._wall = clock, wall
        self.totals = Totals()
        self.riding = self.riding_rows = 0
        """In batches that have left and are not answered yet: requests, and rows."""

    # --- what the batcher tells

    def refused(self, ticket: Ticket[Any, Any], error: BatchingError) -> None:
        if isinstance(ticket.reply, Part) and not ticket.reply.ended_whole:
            return  # the whole is one request, and was counted with another part of it
        self.failed(error)

    def left(self, ticket: Ticket[Any, Any]) -> None:
        self.gone(ticket.arrived)

    def batch_cut(self, batch: Batch, tickets: Sequence[Ticket[Any, Any]]) -> None:
        self.riding += len(tickets)
        self.riding_rows += batch.rows
        if self._predict:
            batch.predicted_s = self._predict(batch.rows, batch.length)

    def batch_done(self, batch: Batch, tickets: Sequence[Ticket[Any, Any]]) -> None:
        now, totals = self._clock(), self.totals
        self.riding -= len(tickets)
        self.riding_rows -= batch.rows
        good = [t for t in tickets if not (t.failed or t.left) and type(t.reply) is not Part]
        rows = batch.rows
        if len(good) < len(tickets):
            good, rows = self._sorted_out(batch, tickets, good, now)
        input_s, infer_s, output_s = _spent(batch, now)
        if count := len(good):
            arrived = sorted([ticket.arrived for ticket in good])
            together = sum(arrived)
            totals.queue.add_since(batch.cut_at, arrived, together)
        if count and not self._finishes:
            totals.latency.add_since(now, arrived, together)
            totals.success += count
            totals.good_rows += rows
            totals.success_s += now * count - together
            totals.queue_s += batch.cut_at * count - together
            totals.input_s += input_s * count
            totals.infer_s += infer_s * count
            totals.output_s += output_s * count
        totals.runs += batch.runs
        totals.run.add(infer_s)
        totals.last_s = self._wall()
        if batch.runs > 1:
            totals.bisects += 1
        elif batch.run_s and batch.predicted_s:
            totals.predicted_s += batch.predicted_s
            totals.misjudged_s += abs(batch.run_s - batch.predicted_s)
        if batch.work:
            totals.work += batch.work
            totals.padded_work += batch.rows * batch.length
        size = totals.sizes.get(batch.rows)
        if size is None:
            size = totals.sizes[batch.rows] = [0, 0.0, 0.0, 0.0]
        size[0] += 1
        size[1] += input_s
        size[2] += infer_s
        size[3] += output_s

    def _sorted_out(
        self,
        batch: Batch,
        tickets: Sequence[Ticket[Any, Any]],
        good: list[Ticket[Any, Any]],
        now: float,
    ) -> tuple[list[Ticket[Any, Any]], int]:
        """Who was answered well, and with how many rows; the others are counted here.

        Of a request that was cut into parts, the part counts which ended it.
        """
        for ticket in tickets:
            if isinstance(ticket.reply, Part):
                if not ticket.reply.ended_whole:
                    continue
                ticket = ticket.reply.whole
                if not ticket.failed:
                    good.append(ticket)
            if not ticket.failed:
                continue
            waited_s = now - ticket.arrived
            self.totals.latency.add(waited_s)
            self.totals.queue.add(batch.cut_at - ticket.arrived)
            if batch.ended_at > ticket.deadline:
                self._count_refused("deadline_exceeded", waited_s)
            else:
                self.totals.run_failed += 1
                self.totals.fail_s += waited_s
        return good, sum(ticket.rows for ticket in good)

    # --- what others tell

    def finished(self, ticket: Ticket[Any, Any], error: BaseException | None = None) -> None:
        """What follows a run has been done for a request that rode well, or went wrong."""
        now, totals, batch = self._clock(), self.totals, ticket.batch
        waited_s = now - ticket.arrived
        totals.latency.add(waited_s)
        if error is not None or batch is None:
            self._count_refused(reason_of(error or RuntimeError()), waited_s)
            return
        input_s, infer_s, output_s = _spent(batch, now)
        totals.success += 1
        totals.good_rows += ticket.rows
        totals.success_s += waited_s
        totals.queue_s += batch.cut_at - ticket.arrived
        totals.input_s += input_s
        totals.infer_s += infer_s
        totals.output_s += output_s

    def gone(self, arrived: float) -> None:
        """A caller has gone, of whom the batcher did not know."""
        self.totals.left += 1
        self.totals.fail_s += self._clock() - arrived

    def failed(self, error: BaseException) -> None:
        """A request for this model got an error, and no batch of the batcher's had to do with it.

        For who refuses or fails one outside the batcher: once for each such request.
        """
        waited_s = error.waited_s if isinstance(error, DeadlineExceeded) else 0.0
        self._count_refused(reason_of(error), waited_s)

    def too_late(self) -> None:
        """`failed`, for who is refused before anything of the request is read."""
        refused = self.totals.refused
        refused["too_late"] = refused.get("too_late", 0) + 1

    def _count_refused(self, reason: str, waited_s: float) -> None:
        totals = self.totals
        totals.refused[reason] = totals.refused.get(reason, 0) + 1
        totals.fail_s += waited_s

    # --- what others ask

    def snapshot(self) -> StatisticsSnapshot:
        """The numbers as the protocol's statistics extension has them."""
        return snapshot_of(self.totals)


def _spent(batch: Batch, now: float) -> tuple[float, float, float]:
    """Seconds of handing it over and back, of its run, and since then."""
    ended_at = batch.ended_at or now  # it has not ended if it could not be carried out
    away_s = ended_at - batch.cut_at
    # Run apart, all of it was running: only the first run is known by itself.
    infer_s = batch.run_s if batch.runs == 1 else away_s
    return away_s - infer_s, infer_s, now - ended_at


def snapshot_of(totals: Totals) -> StatisticsSnapshot:
    """What the protocol's statistics extension says of such numbers."""
    success, nothing = totals.success, Duration(0, 0)
    failed = totals.run_failed + totals.left + sum(totals.refused.values())
    return StatisticsSnapshot(
        last_inference_ms=int(totals.last_s * 1e3),
        inference_count=totals.good_rows,
        execution_count=totals.runs,
        success=_duration(success, totals.success_s),
        fail=_duration(failed, totals.fail_s),
        queue=_duration(success, totals.queue_s),
        compute_input=_duration(success, totals.input_s),
        compute_infer=_duration(success, totals.infer_s),
        compute_output=_duration(success, totals.output_s),
        cache_hit=nothing,
        cache_miss=nothing,
        batch_stats=[
            BatchSize(rows, *(_duration(int(count), seconds) for seconds in parts))
            for rows, (count, *parts) in sorted(totals.sizes.items())
        ],
    )


def _duration(count: int, seconds: float) -> Duration:
    # Differences of a clock's instants may come out below zero by a rounding.
    return Duration(count, max(0, round(seconds * 1e9)))
