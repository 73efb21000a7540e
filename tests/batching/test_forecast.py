from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batching import CostModel, Sample
from batching.cost import LOOP_S
from batching.forecast import Forecast
from batching.plan import Cheapest
from batching.queue import BatchQueue
from tests.support.batches import ticket

COST = [(1, 0.011), (10, 0.020), (100, 0.110)]  # 10 ms a batch and 1 ms a row


def forecast_of(waiting=0, slots=1, max_rows=10):
    # What the event loop does for a row is taken off, so that the figures come out round.
    cost = CostModel(Sample(rows, 0, run_s - rows * LOOP_S) for rows, run_s in COST)
    queue = BatchQueue(Cheapest(cost, max_rows))
    forecast = Forecast(cost, queue, max_rows=max_rows, slots=slots)
    for _ in range(waiting):
        one = ticket()
        one.alone_s, _, one.work_s, _ = forecast.shares(1, 0)
        queue.put(one)
    return forecast


def test_an_idle_model_takes_what_a_run_takes():
    forecast = forecast_of()

    assert forecast.idle
    assert forecast.answer_s(1, 0, now=0.0) == pytest.approx(0.011, rel=0.01)
    assert forecast.answer_s(10, 0, now=0.0) == pytest.approx(0.020, rel=0.04)


def test_what_runs_now_comes_first():
    forecast = forecast_of()
    forecast.begins(0, rows=10, length=0, now=5.0)

    assert forecast.answer_s(1, 0, now=5.005) == pytest.approx(0.015 + 0.011)
    forecast.ends(0)
    assert forecast.answer_s(1, 0, now=5.005) == pytest.approx(0.011, rel=0.01)


def test_what_was_learned_under_load_does_not_keep_an_idle_model_from_trying():
    forecast = forecast_of()
    for _ in range(100):
        forecast.cost.observe_cycle(10, 0.0, 60.0)

    assert forecast.answer_s(1, 0, now=0.0) == pytest.approx(0.011, rel=0.01)
    forecast.begins(0, rows=1, length=0, now=0.0)
    assert forecast.answer_s(1, 0, now=0.0) > 0.1


def test_a_run_that_takes_longer_than_it_should_is_about_to_end():
    forecast = forecast_of()
    forecast.begins(0, rows=10, length=0, now=5.0)

    assert forecast.answer_s(1, 0, now=99.0) == pytest.approx(0.011)


def test_what_waits_comes_first_as_well_filled_batches():
    # 30 rows are 3 batches of 20 ms; then its own, half filled by others.
    assert forecast_of(waiting=30).answer_s(1, 0, now=0.0) == pytest.approx(
        0.060 + 0.011 + 0.0045, rel=0.02
    )


def test_two_slots_share_what_waits():
    one, two = forecast_of(waiting=40), forecast_of(waiting=40, slots=2)

    assert two.answer_s(1, 0, now=0.0) < 0.7 * one.answer_s(1, 0, now=0.0)


def test_the_more_urgent_wait_for_less():
    forecast = forecast_of(waiting=30)

    assert forecast.answer_s(1, 0, now=0.0, priority=-1) == pytest.approx(0.011)
    assert forecast.answer_s(1, 0, now=0.0, deadline=1.0) == pytest.approx(0.011)


def test_without_a_cost_model_nothing_is_predicted():
    plan = Cheapest(CostModel([Sample(1, 0, 1.0)]), 4)
    forecast = Forecast(None, BatchQueue(plan), max_rows=4, slots=1)

    assert forecast.answer_s(1, 0, now=0.0, deadline=inf) == 0.0
    assert forecast.shares(1, 0) == (0.0, 0.0, 0.0, 0.0)


def test_who_yields_the_cores_to_others_counts_the_line_for_them():
    forecast = forecast_of(waiting=20)
    before_s = forecast.answer_s(1, 0, now=1.0)
    for at in range(100):
        forecast.asks(0, at)
        forecast.gets(0, at + 0.1, yields=True)

    # 0.1 s before the batch that is next, and before each of the two that wait.
    assert forecast.answer_s(1, 0, now=100.0) == pytest.approx(before_s + 0.3, rel=0.02)
    assert forecast.at_most_s(1, 0) == forecast.beside_queue_s == inf
    forecast.asks(0, 200.0)
    standing_s = forecast.answer_s(1, 0, now=201.0)
    assert standing_s == pytest.approx(before_s + 0.5 + 0.2, rel=0.02)


def test_for_others_the_line_is_no_reason_to_refuse():
    forecast = forecast_of(waiting=20)
    before_s, bound_s = forecast.answer_s(1, 0, now=1.0), forecast.at_most_s(1, 0)
    for at in range(100):
        forecast.asks(0, at)
        forecast.gets(0, at + 0.1, yields=False)

    assert forecast.answer_s(1, 0, now=100.0) == before_s
    assert forecast.at_most_s(1, 0) == bound_s


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.sampled_from(["begins", "ends", "gets"]), st.integers(1, 64), st.booleans())
    )
)
def test_what_is_ready_for_a_request_of_one_row_is_its_bound(events):
    forecast = forecast_of(waiting=20)
    waiting_s = 20 * forecast.shares(1, 0).work_s
    for now, (event, rows, yields) in enumerate(events):
        if event == "begins":
            forecast.begins(0, rows, 0, now)
        elif event == "ends":
            forecast.cost.observe(rows, 0, 0.001 * rows)
            forecast.ends(0)
        else:
            forecast.asks(0, now - 0.5)
            forecast.gets(0, now, yields=yields)
        waits_s = forecast.at_most_s(1, 0) - forecast.beside_queue_s
        assert forecast.beside_queue_s == inf or waits_s == pytest.approx(waiting_s)
