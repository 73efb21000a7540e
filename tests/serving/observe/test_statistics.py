"""What is counted of a model."""

import asyncio
import time
from collections.abc import Sequence
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching import Batch, Batcher, DeadlineExceeded, RunFailed, Ticket, TooLate, TooManyRows
from batching.parts import divided
from batching.scatter import scatter
from models import InvalidInput, PipelineFailed
from serving.observe.statistics import Duration, ModelStatistics
from tests.support.batches import HandExecutor, settle, ticket


class Clock:
    """Stands at `now`."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def counted(clock: Clock, **options: Any) -> ModelStatistics:
    return ModelStatistics(clock=clock, wall=lambda: 1_700_000_000.5, **options)


def ride(
    statistics: ModelStatistics,
    tickets: Sequence[Ticket[Any, Any]],
    *,
    cut_at: float,
    ended_at: float,
    run_s: float,
    results: Sequence[Any] | None = None,
    runs: int = 1,
    work: int = 0,
) -> Batch:
    """Tell of a batch as a batcher does."""
    batch = Batch(
        sum(one.rows for one in tickets),
        cut_at,
        length=max(one.length for one in tickets),
        work=work,
    )
    for one in tickets:
        one.batch = batch
    statistics.batch_cut(batch, tickets)
    batch.ended_at, batch.run_s, batch.runs = ended_at, run_s, runs
    scatter(tickets, results or ["fine"] * len(tickets), lambda: ended_at)
    statistics.batch_done(batch, tickets)
    return batch


def ms(count: int, milliseconds: float) -> Duration:
    return Duration(count, round(milliseconds * 1e6))


# --- the protocol's statistics


def test_durations_are_summed_over_requests_and_add_up() -> None:
    clock = Clock(10.016)
    statistics = counted(clock)
    early, late = ticket(arrived=10.0), ticket(arrived=10.004, rows=2)

    ride(statistics, [early, late], cut_at=10.006, ended_at=10.014, run_s=0.007)

    told = statistics.snapshot()
    assert told.success == ms(2, 16 + 12)
    assert told.queue == ms(2, 6 + 2)
    assert told.compute_input == ms(2, 2 * 1)
    assert told.compute_infer == ms(2, 2 * 7)
    assert told.compute_output == ms(2, 2 * 2)
    assert told.fail == told.cache_hit == told.cache_miss == (0, 0)
    assert told.inference_count == 3
    assert told.execution_count == 1
    assert told.last_inference_ms == 1_700_000_000_500


def test_batch_sizes_count_batches_and_not_what_rode_in_them() -> None:
    statistics = counted(Clock(10.0))
    for tickets in ([ticket(), ticket()], [ticket(rows=2)], [ticket()]):
        ride(statistics, tickets, cut_at=9.0, ended_at=9.75, run_s=0.5)

    one, two = statistics.snapshot().batch_stats

    assert (one.batch_size, two.batch_size) == (1, 2)
    assert one.compute_infer == ms(1, 500)
    assert two.compute_infer == ms(2, 1000)
    assert two.compute_input == two.compute_output == ms(2, 500)


def test_nothing_has_happened_at_first() -> None:
    told = counted(Clock()).snapshot()

    assert told.last_inference_ms == told.inference_count == told.execution_count == 0
    assert told.success == told.fail == told.queue == (0, 0)
    assert told.batch_stats == []


# --- what went wrong


def test_in_a_batch_that_was_run_apart_each_counts_for_itself() -> None:
    statistics = counted(Clock(10.5))
    good, bad = ticket(arrived=10.0), ticket(arrived=10.1)

    ride(
        statistics,
        [good, bad],
        cut_at=10.2,
        ended_at=10.5,
        run_s=0.1,
        results=["fine", RunFailed("no")],
        runs=3,
    )

    told, totals = statistics.snapshot(), statistics.totals
    assert told.success == ms(1, 500)
    assert told.fail == ms(1, 400)
    assert told.compute_infer == ms(1, 300)  # all of it was running
    assert told.execution_count == 3
    assert (totals.bisects, totals.run_failed, totals.batches) == (1, 1, 1)
    assert totals.latency.count == totals.queue.count == 2


def test_an_answer_that_came_too_late_is_none() -> None:
    statistics = counted(Clock(10.5))

    ride(statistics, [ticket(arrived=10.0, deadline=10.3)], cut_at=10.2, ended_at=10.4, run_s=0.2)

    assert statistics.totals.refused == {"deadline_exceeded": 1}
    assert statistics.snapshot().success == (0, 0)
    assert statistics.snapshot().fail == ms(1, 500)


def test_a_batch_that_could_not_be_carried_out_fails_and_teaches_nothing() -> None:
    statistics = counted(Clock(10.5), predict=lambda rows, length: 0.1)
    batch, tickets = Batch(1, 10.2), [ticket(arrived=10.0)]
    statistics.batch_cut(batch, tickets)
    tickets[0].fail(RunFailed("no thread"))

    statistics.batch_done(batch, tickets)

    assert (statistics.riding, statistics.riding_rows) == (0, 0)
    assert statistics.totals.run_failed == 1
    assert statistics.totals.misjudged_s == 0


def test_refusals_are_counted_by_their_reason() -> None:
    statistics = counted(Clock())

    statistics.refused(ticket(), TooLate(needed_s=2.0, allowed_s=1.0))
    statistics.refused(ticket(), DeadlineExceeded(waited_s=0.25))
    statistics.failed(TooManyRows(rows=9, limit=8))
    statistics.failed(InvalidInput("no"))

    assert statistics.totals.refused == {
        "too_late": 1,
        "deadline_exceeded": 1,
        "too_many_rows": 1,
        "invalid": 1,
    }
    assert statistics.snapshot().fail == ms(4, 250)


def test_a_caller_who_leaves_is_counted_once_wherever_it_was() -> None:
    statistics = counted(Clock(10.5))
    waits, rides, stays = (ticket(arrived=10.0) for _ in range(3))
    statistics.left(waits)
    batch = Batch(2, 10.2)
    statistics.batch_cut(batch, [rides, stays])
    rides.left = rides.reply.gone = True
    statistics.left(rides)

    batch.ended_at, batch.run_s = 10.4, 0.2
    scatter([rides, stays], ["-", "fine"], lambda: 10.4)
    statistics.batch_done(batch, [rides, stays])

    assert (statistics.totals.left, statistics.totals.success) == (2, 1)
    assert statistics.snapshot().fail == ms(2, 1000)


# --- requests that are cut into parts


def parts_of(whole: Ticket[Any, Any], results: Sequence[int]) -> list[Ticket[Any, Any]]:
    """Tickets of one row for each of its rows."""
    return divided(whole, 1, lambda payload, rows: [(n, 1) for n in results], list)


def test_a_request_in_parts_is_one_request() -> None:
    statistics = counted(Clock(10.5))
    whole = ticket(rows=3, arrived=10.0)
    first, second, third = parts_of(whole, range(3))

    ride(statistics, [first], cut_at=10.1, ended_at=10.2, run_s=0.1)
    ride(statistics, [second, third], cut_at=10.2, ended_at=10.4, run_s=0.1)

    told = statistics.snapshot()
    assert told.success == ms(1, 500)
    assert told.queue == ms(1, 200)
    assert told.inference_count == 3
    assert told.execution_count == 2
    assert statistics.totals.latency.count == 1


def test_a_request_in_parts_fails_once() -> None:
    statistics = counted(Clock(10.5))
    tickets = parts_of(ticket(rows=3, arrived=10.0), range(3))

    ride(
        statistics,
        tickets,
        cut_at=10.1,
        ended_at=10.2,
        run_s=0.1,
        results=["fine", RunFailed("no"), RunFailed("no")],
        runs=4,
    )

    assert statistics.totals.run_failed == 1
    assert statistics.totals.success == 0


def test_a_request_in_parts_runs_out_of_time_once() -> None:
    statistics = counted(Clock())
    tickets = parts_of(ticket(rows=3), range(3))
    error = DeadlineExceeded(waited_s=0.25)

    for one in tickets:
        one.fail(error)
        statistics.refused(one, error)

    assert statistics.totals.refused == {"deadline_exceeded": 1}


# --- where something follows the run


def test_what_is_to_be_finished_is_no_success_before_it_is() -> None:
    clock = Clock(10.5)
    statistics = counted(clock, finishes=True)
    good, bad = ticket(rows=2, arrived=10.0), ticket(arrived=10.1)

    ride(statistics, [good, bad], cut_at=10.2, ended_at=10.4, run_s=0.2)

    assert (statistics.totals.success, statistics.totals.latency.count) == (0, 0)
    assert statistics.totals.queue.count == 2
    clock.now = 11.0
    statistics.finished(good)
    statistics.finished(bad, PipelineFailed("m"))
    told = statistics.snapshot()
    assert (told.success, told.fail) == (ms(1, 1000), ms(1, 900))
    assert (told.queue, told.compute_infer, told.compute_output) == (
        ms(1, 200),
        ms(1, 200),
        ms(1, 600),
    )
    assert told.inference_count == 2
    assert statistics.totals.refused == {"pipeline_failed": 1}
    assert statistics.totals.latency.count == 2


# --- the cost model's error, and padding


def test_what_was_predicted_is_held_against_what_came() -> None:
    statistics = counted(Clock(10.0), predict=lambda rows, length: rows * 0.1)

    for run_s in (0.3, 0.15):
        ride(statistics, [ticket(rows=2)], cut_at=9.0, ended_at=9.5, run_s=run_s)

    assert statistics.totals.predicted_s == pytest.approx(0.4)
    assert statistics.totals.misjudged_s == pytest.approx(0.1 + 0.05)


def test_padding_is_what_the_rows_were_made_longer() -> None:
    statistics = counted(Clock(10.0))
    short, long = ticket(length=10, rows=2), ticket(length=40)

    batch = ride(statistics, [short, long], cut_at=9.0, ended_at=9.5, run_s=0.4, work=60)

    assert (statistics.totals.work, statistics.totals.padded_work) == (60, 120)
    assert batch.padding == 0.5


# --- whatever happens


requests = st.tuples(
    st.sampled_from(["fine", "fails", "late", "leaves"]),
    st.integers(1, 4),
    st.floats(0, 2),
)


@given(st.lists(st.lists(requests, min_size=1, max_size=20), max_size=8))
def test_every_rider_is_counted_once(
    batches: list[list[tuple[str, int, float]]],
) -> None:
    statistics = counted(Clock(20.0))
    for batch in batches:
        tickets, results = [], []
        for fate, rows, waited_s in batch:
            one = ticket(rows=rows, arrived=18 - waited_s, deadline=18.5 if fate == "late" else inf)
            if fate == "leaves":
                one.left = one.reply.gone = True
                statistics.left(one)
            tickets.append(one)
            results.append(RunFailed("no") if fate == "fails" else "fine")
        runs = 1 if all(result == "fine" for result in results) else 3
        ride(statistics, tickets, cut_at=18.0, ended_at=19.0, run_s=0.9, results=results, runs=runs)

    totals = statistics.totals
    riders = [rider for batch in batches for rider in batch]
    fates = [fate for fate, *_ in riders]
    assert totals.success == fates.count("fine")
    assert totals.run_failed == fates.count("fails")
    assert totals.left == fates.count("leaves")
    assert totals.refused.get("deadline_exceeded", 0) == fates.count("late")
    assert totals.latency.count == totals.queue.count == len(riders) - fates.count("leaves")
    assert totals.run.count == totals.batches == len(batches)
    assert totals.rows == sum(rows for _, rows, _ in riders)
    assert totals.good_rows == sum(rows for fate, rows, _ in riders if fate == "fine")
    assert (statistics.riding, statistics.riding_rows) == (0, 0)


# --- with a batcher


async def test_a_batcher_tells_all_that_there_is_to_count() -> None:
    statistics = ModelStatistics()
    executor = HandExecutor()
    async with Batcher(
        lambda numbers: [1 // n for n in numbers],
        max_rows=4,
        max_queue_rows=4,
        executor=executor,
        observer=statistics,
        divide=lambda payload, rows: [(payload, rows), (payload, rows)],
        rejoin=list,
    ) as batcher:
        answers = [asyncio.create_task(batcher.submit(n)) for n in (1, 1, 0)]
        run = await executor.next()
        assert (statistics.riding, statistics.riding_rows) == (3, 3)
        with pytest.raises(TooManyRows):
            await batcher.submit(1, rows=5)
        run.let_go()
        await asyncio.wait(answers)
        await settle()

    told = statistics.snapshot()
    assert told.success.count == 2
    assert told.fail.count == 2
    assert told.inference_count == 2
    assert statistics.totals.bisects == 1
    assert statistics.totals.refused == {"too_many_rows": 1}
    assert abs(told.last_inference_ms / 1e3 - time.time()) < 60
    assert [size.batch_size for size in told.batch_stats] == [3]
