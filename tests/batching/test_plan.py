from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batching import CostModel, Sample
from batching.plan import Cheapest, FirstCome, fill
from tests.support.batches import payloads, ticket


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


def test_the_most_urgent_rides_though_it_cannot_be_in_time():
    window = [ticket(0, deadline=0.0), ticket(1)]

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


def test_planning_is_cheap_beside_the_run_that_it_plans():
    """Counted in steps, not in seconds: the window shrinks with what a run costs."""
    dear = Cheapest(text_cost(token_s=1e-4), 32)
    cheap = Cheapest(text_cost(batch_s=1e-5, row_s=1e-6, token_s=1e-7), 32)

    assert cheap.window < dear.window <= 256


def test_fill_takes_the_first_whatever_its_size():
    assert payloads(list(fill([ticket("huge", rows=99), ticket("small")], 8))) == ["huge"]


@pytest.mark.parametrize("make", [FirstCome, lambda rows: Cheapest(fixed_cost(1, 1), rows)])
def test_a_batch_of_nothing_makes_no_sense(make):
    with pytest.raises(ValueError, match="max_rows"):
        make(0)
