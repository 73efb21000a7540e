from math import inf

from hypothesis import given
from hypothesis import strategies as st

from batching.plan import FirstCome
from batching.queue import BatchQueue
from tests.support.batches import payloads, ticket


def queue_of(*tickets, max_rows=8):
    queue = BatchQueue(FirstCome(max_rows))
    for one in tickets:
        queue.put(one)
    return queue


def test_an_empty_queue_gives_nothing():
    assert queue_of().take(now=0.0) == ([], [])


def test_all_who_fit_leave_together_in_order_of_arrival():
    queue = queue_of(*(ticket(n, arrived=n) for n in range(3)))

    assert payloads(queue.take(now=9.0).riders) == [0, 1, 2]
    assert len(queue) == 0
    assert queue.rows == 0


def test_rows_are_counted_not_tickets():
    """Lesson 8."""
    queue = queue_of(*(ticket(n, rows=3, arrived=n) for n in range(4)), max_rows=8)

    assert payloads(queue.take(now=0.0).riders) == [0, 1]
    assert queue.rows == 6


def test_a_ticket_that_does_not_fit_is_passed_over_but_not_forgotten():
    queue = queue_of(
        ticket("a", rows=6, arrived=1),
        ticket("too large now", rows=4, arrived=2),
        ticket("b", rows=2, arrived=3),
    )

    assert payloads(queue.take(now=0.0).riders) == ["a", "b"]
    assert payloads(queue.take(now=0.0).riders) == ["too large now"]


def test_a_ticket_larger_than_the_largest_batch_rides_alone_and_blocks_nobody():
    """Lesson 10."""
    queue = queue_of(ticket("huge", rows=100, arrived=1), ticket("small", arrived=2))

    assert payloads(queue.take(now=0.0).riders) == ["huge"]
    assert payloads(queue.take(now=0.0).riders) == ["small"]


def test_priority_goes_before_deadline_and_deadline_before_arrival():
    queue = queue_of(
        ticket("late", arrived=1, deadline=90.0),
        ticket("soon", arrived=2, deadline=50.0),
        ticket("first class", arrived=3, priority=-1),
        ticket("soon too", arrived=4, deadline=50.0),
        max_rows=1,
    )

    order = [payloads(queue.take(now=0.0).riders)[0] for _ in range(4)]

    assert order == ["first class", "soon", "soon too", "late"]


def test_the_next_most_urgent_keep_the_most_urgent_company():
    queue = queue_of(
        ticket("low", priority=5, arrived=0),
        ticket("high", priority=1, arrived=1),
        ticket("middle", priority=3, arrived=2),
        max_rows=2,
    )

    assert payloads(queue.take(now=0.0).riders) == ["high", "middle"]


def test_different_keys_never_share_a_batch():
    """Lesson 2."""
    queue = queue_of(
        ticket("a1", key="a", arrived=1),
        ticket("b1", key="b", arrived=2),
        ticket("a2", key="a", arrived=3),
    )

    assert payloads(queue.take(now=0.0).riders) == ["a1", "a2"]
    assert payloads(queue.take(now=0.0).riders) == ["b1"]


def test_a_caller_who_has_gone_does_not_ride():
    gone, stays = ticket("gone", arrived=1), ticket("stays", arrived=2)
    queue = queue_of(gone, stays)
    gone.reply.gone = True

    assert payloads(queue.take(now=0.0).riders) == ["stays"]
    assert queue.rows == 0


def test_when_all_have_gone_nobody_rides():
    gone = ticket("gone")
    queue = queue_of(gone)
    gone.reply.gone = True

    assert queue.take(now=0.0) == ([], [])
    assert len(queue) == 0


def test_a_discarded_ticket_is_out():
    tickets = [ticket(n, arrived=1.0) for n in range(3)]
    queue = queue_of(*tickets)

    assert queue.discard(tickets[1])
    assert not queue.discard(tickets[1])
    assert payloads(queue.take(now=0.0).riders) == [0, 2]


def test_overdue_tickets_leave_without_riding():
    """Lesson 15."""
    queue = queue_of(
        ticket("over", deadline=5.0), ticket("low and over", priority=9, deadline=4.0), ticket("in")
    )

    cut = queue.take(now=5.0)

    assert sorted(payloads(cut.overdue)) == ["low and over", "over"]
    assert payloads(cut.riders) == ["in"]
    assert queue.rows == 0


def test_who_could_not_be_in_time_even_alone_is_overdue():
    """Lesson 15: late work is not begun."""
    tight = ticket("tight", deadline=10.0)
    tight.alone_s = 3.0
    queue = queue_of(tight)

    assert queue.next_late_at() == 7.0
    assert queue.overdue(now=6.9) == []
    assert payloads(queue.overdue(now=7.0)) == ["tight"]


def test_the_next_to_be_late_is_the_earliest_of_all_lanes():
    queue = queue_of(ticket(key="a", deadline=7.0), ticket(key="b", priority=3, deadline=6.0))

    assert queue.next_late_at() == 6.0
    assert queue_of().next_late_at() == inf


def test_the_least_slack_is_that_of_the_most_urgent_ticket():
    queue = queue_of(ticket(deadline=5.0, priority=2), ticket(deadline=9.0, priority=1))

    assert queue.urgent().latest_start == 9.0
    assert queue_of().urgent() is None


def test_the_work_ahead_is_that_of_the_more_urgent():
    tickets = [ticket(arrived=n, deadline=10.0 * n) for n in (1, 2, 3, 4)]
    low = ticket(priority=7, deadline=1.0)
    for one in (*tickets, low):
        one.work_s = 2.0
    queue = queue_of(*tickets, low)

    assert queue.ahead_s(priority=0, deadline=25.0) == 4.0
    assert queue.ahead_s(priority=0, deadline=inf) == 8.0
    assert queue.ahead_s(priority=7, deadline=inf) == 10.0
    assert queue.ahead_s(priority=-1, deadline=inf) == 0.0
    queue.take(now=0.0)
    assert queue.ahead_s(priority=9, deadline=inf) == 0.0


def test_clear_gives_everybody_back():
    queue = queue_of(ticket("a", key=1), ticket("b", key=2, rows=3))

    assert sorted(payloads(queue.clear())) == ["a", "b"]
    assert (len(queue), queue.rows) == (0, 0)


def test_company_is_looked_for_within_the_plans_window():
    plan = FirstCome(3)
    tickets = [ticket(n, rows=2, arrived=n) for n in range(plan.window)]
    queue = queue_of(*tickets, ticket("beyond", rows=1, arrived=99), max_rows=3)

    assert payloads(queue.take(now=0.0).riders) == [0]


tickets = st.builds(
    ticket,
    rows=st.integers(1, 12),
    key=st.sampled_from("ab"),
    priority=st.integers(-1, 1),
    arrived=st.floats(0, 10),
    deadline=st.one_of(st.just(inf), st.floats(0, 20)),
)


@given(st.lists(tickets, max_size=40), st.integers(1, 16), st.floats(0, 20))
def test_everybody_leaves_once_in_batches_that_hold(waiting, max_rows, now):
    queue = queue_of(*waiting, max_rows=max_rows)
    assert queue.rows == sum(one.rows for one in waiting)
    left, overdue = [], []
    while len(queue):
        urgent = min(
            (one for one in waiting if one not in left and one not in overdue),
            key=lambda one: (one.deadline > now, one.priority, one.urgency),
        )
        cut = queue.take(now)
        overdue += cut.overdue
        left += cut.riders
        if cut.riders:
            assert len({one.key for one in cut.riders}) == 1
            assert sum(one.rows for one in cut.riders) <= max_rows or len(cut.riders) == 1
            first = cut.riders[0]
            if urgent.deadline > now:
                assert (first.priority, first.urgency) == (urgent.priority, urgent.urgency)
    assert sorted(map(id, left + overdue)) == sorted(map(id, waiting))
    assert all(one.deadline <= now for one in overdue)
    assert all(one.deadline > now for one in left)
    assert queue.rows == 0
