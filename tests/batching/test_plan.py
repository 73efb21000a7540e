import random
import sys
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batching import CostModel, Sample
from batching import plan as plan_module
from batching.plan import Cheapest, FirstCome, fill
from tests.support.batches import payloads, ticket
from tests.support.simulation import natural_length


def text_cost(batch_s=1e-3, row_s=2e-4, token_s=5e-5):
    return CostModel(
        Sample(n, length, batch_s + n * (row_s + length * token_s))
        for n in (1, 4, 16)
        for length in (8, 64, 256)
    )


def fixed_cost(batch_s, row_s):
    return CostModel(Sample(n, 0, batch_s + n * row_s) for n in (1, 2, 8, 64))


def rides(plan, window, now=0.0):
    return payloads(plan.riders(window, now))


def test_first_come_fills_the_batch_in_order():
    window = [ticket(n, rows=rows) for n, rows in enumerate((3, 4, 2, 1))]

    assert rides(FirstCome(6), window) == [0, 2, 3]


def test_fixed_shapes_ride_as_many_as_are_cheapest_a_row():
    window = [ticket(n) for n in range(64)]

    # 64 rows cost 1.16 ms each, and 53 no more than three in a hundred above that.
    assert len(rides(Cheapest(fixed_cost(1e-2, 1e-3), 64), window)) == 53
    assert len(rides(Cheapest(fixed_cost(1e-6, 1e-3), 64), window)) == 1


def test_never_so_many_that_the_most_urgent_would_be_late():
    cost = fixed_cost(1e-3, 1e-3)
    window = [ticket(n, deadline=0.0105) for n in range(64)]

    rows = len(rides(Cheapest(cost, 64), window))

    assert 1 < rows < 11
    assert cost.cycle(rows) <= 0.0105


def test_with_a_long_queue_nobody_is_rescued_at_the_price_of_all_others():
    """Lesson 13: rescued one by one, none would be in time."""
    nearly_late = [ticket(f"late {n}", deadline=0.005) for n in range(3)]
    others = [ticket(n, deadline=1.0) for n in range(64)]

    riders = rides(Cheapest(fixed_cost(1e-2, 1e-4), 32), nearly_late + others)

    assert riders[0] == 0
    assert len(riders) > 16


def test_with_a_short_queue_whoever_is_nearly_late_is_rescued():
    nearly_late = ticket("late", deadline=0.0115)
    others = [ticket(n, deadline=1.0) for n in range(5)]

    assert "late" in rides(Cheapest(fixed_cost(1e-2, 1e-3), 32), [nearly_late, *others])


def test_who_cannot_be_in_time_takes_no_turn_from_others_who_can():
    window = [ticket(0, deadline=0.001), ticket(1, deadline=0.0025), ticket(2, deadline=0.003)]

    assert rides(Cheapest(fixed_cost(1e-3, 1e-3), 64), window) == [1]


def test_where_nobody_can_be_in_time_the_most_urgent_rides_all_the_same():
    """What is believed of the cost may be wrong, and only a run can tell."""
    window = [ticket(0, deadline=0.0), ticket(1, deadline=0.001)]

    assert rides(Cheapest(fixed_cost(1e-3, 1e-3), 64), window) == [0]


def test_moving_lengths_ride_with_their_like():
    """Lesson 9: what comes first does not ride padded to the longest."""
    lengths = [20, 200, 21, 190, 19, 210, 22]
    window = [ticket(length, length=length) for length in lengths]

    assert sorted(rides(Cheapest(text_cost(), 32), window)) == [19, 20, 21, 22]


def test_the_most_urgent_always_rides():
    lengths = [200, 20, 21, 19, 22, 20, 21]
    window = [ticket(length, length=length) for length in lengths]

    assert rides(Cheapest(text_cost(), 32), window) == [200]


def test_a_group_is_cut_down_until_the_most_urgent_is_in_time():
    window = [ticket(n, length=20 + n % 2, deadline=0.005) for n in range(32)]
    cost = text_cost()

    riders = Cheapest(cost, 32).riders(window, 0.0)

    assert window[0] in riders
    assert cost.cycle(len(riders), 21) <= 0.005


def cheapest_cut(cost, tickets, max_rows):
    """The least total cost of all cuts of the sorted tickets, by trying every one."""
    best = float("inf")
    count = len(tickets)
    for cuts in range(count):
        for places in combinations(range(1, count), cuts):
            edges = [0, *places, count]
            groups = [tickets[a:b] for a, b in pairwise(edges)]
            if any(sum(t.rows for t in group) > max_rows and len(group) > 1 for group in groups):
                continue
            total = sum(
                cost.cycle(sum(t.rows for t in group), group[-1].length) for group in groups
            )
            best = min(best, total)
    return best


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 256)), min_size=1, max_size=8),
    st.floats(0, 1e-2),
)
def test_the_groups_that_ride_one_after_another_cost_the_least_there_is(waiting, batch_s):
    cost = text_cost(batch_s=batch_s)
    window = [ticket(n, rows=rows, length=length) for n, (rows, length) in enumerate(waiting)]
    ordered = sorted(window, key=lambda one: one.length)
    expected = cheapest_cut(cost, ordered, 8)

    total, plan = 0.0, Cheapest(cost, 8)
    while window:
        riders = plan.riders(window, 0.0)
        total += cost.cycle(sum(t.rows for t in riders), max(t.length for t in riders))
        window = [one for one in window if one not in riders]

    # When all that is left has one length there is no more to be sorted: the batch is the
    # smallest that is within 3% of the cheapest a row.
    assert total <= expected * 1.04 + 2 * batch_s


# About what one line of the plan takes, on one core of a small server.
LINE_S = 25e-9


def lines_run(function):
    """How many lines of plan.py a call runs: what it costs, whatever else the machine does."""
    lines = 0

    def trace(frame, event, _):
        nonlocal lines
        if frame.f_code.co_filename != plan_module.__file__:
            return None
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize("length", [10, 40, 160])
def test_a_group_of_texts_ends_where_more_rows_hardly_pay(length):
    """Sixty-four of them would be at most 3% cheaper a row, and everybody else would wait."""
    cost = text_cost(batch_s=2.6e-3, row_s=6e-5, token_s=1.3e-4)
    window = [ticket(length=length + n % 2) for n in range(200)]

    riders = Cheapest(cost, 64).riders(window, 0.0)

    longest = max(one.length for one in riders)
    assert cost.cheapest_rows(64, longest) <= len(riders) <= 2 * cost.cheapest_rows(64, longest)
    assert cost.cycle(len(riders), longest) / len(riders) < 1.03 * cost.cycle(64, longest) / 64


@pytest.mark.parametrize(
    ("batch_s", "row_s", "token_s"),
    [
        (1.5e-3, 3e-4, 9e-5),
        (3e-4, 5e-5, 1e-5),
        (2e-2, 1e-4, 1e-5),
        (0, 1e-4, 1e-4),
        (1e-3, 1e-4, 0),
    ],
)
def test_planning_takes_less_than_a_twentieth_of_the_run_that_it_plans(batch_s, row_s, token_s):
    """Counted in lines, not in seconds: the window shrinks with what a run costs."""
    cost = text_cost(batch_s, row_s, token_s) if token_s else fixed_cost(batch_s, row_s)
    plan, rng = Cheapest(cost, 64), random.Random(1)
    lines, run_s = 0, 0.0
    for _ in range(10):
        lengths = [natural_length(rng) if token_s else 0 for _ in range(plan.window)]
        window = [ticket(length=length) for length in lengths]
        lines += lines_run(lambda window=window: plan.riders(window, 0.0))
        riders = plan.riders(window, 0.0)
        run_s += cost.predict(len(riders), max(one.length for one in riders))

    assert lines * LINE_S < 0.05 * run_s


def test_a_tiny_models_plan_is_little_beside_the_event_loops_work_for_its_rows():
    cost = text_cost(batch_s=5e-5, row_s=2e-6, token_s=1e-7)
    plan, rng = Cheapest(cost, 64), random.Random(1)
    window = [ticket(length=natural_length(rng)) for _ in range(plan.window)]

    riders = plan.riders(window, 0.0)

    lines = lines_run(lambda: plan.riders(window, 0.0))
    assert lines * LINE_S < 0.05 * cost.cycle(len(riders), max(one.length for one in riders))


waiting_tickets = st.lists(
    st.builds(
        ticket,
        rows=st.integers(1, 40),
        length=st.integers(1, 256),
        deadline=st.floats(0, 0.2),
    ),
    min_size=1,
    max_size=24,
)
costs = st.builds(text_cost, st.floats(0, 1e-2), st.floats(0, 1e-3), st.floats(1e-7, 1e-4))


def in_order(window, *, one_length):
    """As a queue would give them: by deadline."""
    for one in window:
        one.length = one.length if not one_length else window[0].length
    return sorted(window, key=lambda one: one.urgency)


@settings(deadline=None)
@given(waiting_tickets, costs, st.booleans(), st.integers(1, 64))
def test_whoever_rides_was_waiting_and_the_batch_holds_them(window, cost, one_length, max_rows):
    window = in_order(window, one_length=one_length)
    before = list(window)
    for plan in (Cheapest(cost, max_rows), FirstCome(max_rows)):
        riders = plan.riders(window, 0.0)

        assert riders
        assert len({id(one) for one in riders}) == len(riders)
        assert {id(one) for one in riders} <= {id(one) for one in window}
        assert sum(one.rows for one in riders) <= max_rows or len(riders) == 1
        assert window == before


@settings(deadline=None)
@given(waiting_tickets, costs, st.booleans(), st.integers(1, 64))
def test_the_most_urgent_rides_unless_others_fill_a_better_batch_that_it_has_no_time_for(
    window, cost, one_length, max_rows
):
    window = in_order(window, one_length=one_length)

    riders = Cheapest(cost, max_rows).riders(window, 0.0)

    has_time = [one for one in window if one.deadline >= cost.cycle(one.rows, one.length)]
    if has_time:
        assert all(one in has_time for one in riders)
        window = has_time
    if window[0] not in riders:
        assert len({one.length for one in window}) == 1
        took_s = cost.cycle(sum(one.rows for one in riders), window[0].length)
        # It has no time for a batch that all who ride have time for, and some to spare.
        assert window[0].deadline < 1.1 * took_s * (1 + 1e-9)
        assert all(one.deadline >= took_s for one in riders)


@settings(deadline=None)
@given(waiting_tickets, costs, st.booleans(), st.integers(1, 64))
def test_nobody_is_made_late_by_company(window, cost, one_length, max_rows):
    """Of one priority: who has company is in time, and so is the company."""
    window = in_order(window, one_length=one_length)

    riders = Cheapest(cost, max_rows).riders(window, 0.0)

    if len(riders) > 1:
        took_s = cost.cycle(sum(one.rows for one in riders), max(one.length for one in riders))
        assert took_s <= min(one.deadline for one in riders) * (1 + 1e-9)


def test_fill_takes_the_first_whatever_its_size():
    assert payloads(list(fill([ticket("huge", rows=99), ticket("small")], 8))) == ["huge"]


@pytest.mark.parametrize("make", [FirstCome, lambda rows: Cheapest(fixed_cost(1, 1), rows)])
def test_a_batch_of_nothing_makes_no_sense(make):
    with pytest.raises(ValueError, match="max_rows"):
        make(0)


def test_nobody_is_taken_along_who_would_be_late_for_it():
    """Lesson 15: who has little time, and no priority, is not worked for in vain."""
    cost = CostModel(Sample(n, 0, 1e-3 + n * 1e-3) for n in (1, 2, 8, 64))
    urgent = ticket("urgent", priority=1, deadline=1.0)
    tight = ticket("tight", priority=5, deadline=0.0105)  # in time alone, or with seven others
    rest = [ticket(n, priority=5, deadline=1.0) for n in range(62)]

    riders = Cheapest(cost, 64).riders([urgent, tight, *rest], 0.0)

    took_s = cost.cycle(sum(one.rows for one in riders))
    assert [
        p for p, one in zip(payloads(riders), riders, strict=True) if one.deadline < took_s
    ] == []
