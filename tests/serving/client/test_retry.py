"""When a request is sent again: arithmetic, on a clock that is a number."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.client import Overloaded, RetryBudget, Unavailable
from serving.client.retry import BASE_S, LONGEST_S, SPREAD, Attempts, retry_after_s

randoms = st.floats(0, 1)


def attempts(retries=2, budget=None, last_start=1000.0, random=1.0):
    return Attempts(retries, budget or RetryBudget(), last_start, lambda: random)


@given(st.floats(0, 100), randoms)
def test_who_is_told_when_to_come_back_comes_no_earlier_and_not_much_later(after_s, random):
    of_one = attempts(random=random)
    of_one.begin()

    pause_s = of_one.pause_s(Overloaded("full", retry_after_s=after_s), now=0.0)

    assert pause_s is not None
    assert after_s <= pause_s <= after_s * (1 + SPREAD)


@given(st.integers(1, 50), randoms)
def test_pauses_double_up_to_a_bound_and_are_random_from_nothing_upwards(made, random):
    of_one = attempts(retries=100, random=random)
    for _ in range(made):
        of_one.begin()

    pause_s = of_one.pause_s(Unavailable("gone"), now=0.0)

    assert pause_s == min(LONGEST_S, BASE_S * 2 ** (made - 1)) * random


def test_nobody_waits_for_an_attempt_that_could_not_begin_in_time():
    budget = RetryBudget()
    of_one = attempts(last_start=1.0, random=0.0, budget=budget)
    of_one.begin()

    assert of_one.pause_s(Overloaded("full", retry_after_s=1.0), now=0.5) is None
    assert budget.tokens == 100  # and what is not done costs nothing
    assert of_one.pause_s(Overloaded("full", retry_after_s=0.5), now=0.5) == 0.5


def test_a_request_is_sent_again_so_often_and_no_more():
    of_one = attempts(retries=2)
    sent = 0
    for _ in range(10):
        of_one.begin()
        sent += 1
        if of_one.pause_s(Unavailable("gone"), now=0.0) is None:
            break

    assert sent == 3


@given(
    st.integers(1, 300),
    st.floats(0, 1),
    st.integers(0, 20),
    st.integers(0, 5),
)
def test_all_retries_together_are_within_the_budget(requests, ratio, capacity, retries):
    budget = RetryBudget(ratio=ratio, capacity=capacity)
    sent_again = 0
    for _ in range(requests):  # a server that is down
        of_one = attempts(retries=retries, budget=budget, random=0.0)
        of_one.begin()
        while of_one.pause_s(Unavailable("gone"), now=0.0) is not None:
            sent_again += 1
            of_one.begin()
        assert 0 <= budget.tokens <= capacity

    assert sent_again <= min(requests * retries, capacity + requests * ratio + 1e-6)


def test_when_a_server_is_down_a_client_adds_a_tenth_and_not_twice_its_load():
    budget = RetryBudget()
    sent = 0
    for _ in range(10_000):
        of_one = attempts(budget=budget, random=0.0)
        while True:
            of_one.begin()
            sent += 1
            if of_one.pause_s(Unavailable("gone"), now=0.0) is None:
                break

    assert 11_000 <= sent <= 11_100


def test_a_kept_connection_that_was_closed_costs_nothing_once():
    budget = RetryBudget(ratio=0)
    of_one = attempts(retries=0, budget=budget)
    of_one.begin()

    assert of_one.again_at_once(now=0.0)
    of_one.begin()
    assert not of_one.again_at_once(now=0.0)
    assert of_one.made == 1
    assert budget.tokens == 100


def test_nor_is_it_sent_after_the_deadline():
    assert not attempts(last_start=1.0).again_at_once(now=1.1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"3", 3.0),
        (b" 0 ", 0.0),
        (b"9" * 30, 999999999999.0),
        (None, None),
        (b"", None),
        (b"soon", None),
        (b"-1", None),
        (b"1.5", None),
        ("٣".encode(), None),
        (formatdate(1010, usegmt=True).encode(), 10.0),
        (formatdate(990, usegmt=True).encode(), 0.0),
        (b"Mon, 99 Foo 1970 00:00:00 GMT", None),
    ],
)
def test_when_to_come_back_is_read(value, expected):
    assert retry_after_s(value, None, now=1000.0) == expected


def test_a_date_is_taken_from_the_servers_own_clock():
    then, date = (formatdate(at, usegmt=True).encode() for at in (5005, 5000))

    assert retry_after_s(then, date, now=1000.0) == 5.0


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_no_header_raises(value, date):
    got = retry_after_s(value, date, now=0.0)

    assert got is None or got >= 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"ratio": -1},
        {"ratio": 2},
        {"ratio": float("nan")},
        {"capacity": -1},
        {"capacity": float("inf")},
    ],
)
def test_a_budget_that_cannot_be(wrong):
    with pytest.raises(ValueError):
        RetryBudget(**wrong)
