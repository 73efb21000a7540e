"""Counting durations into buckets."""

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.observe.histogram import ROWS, SECONDS, Histogram, quantile

instants = st.lists(st.integers(0, 600_000), min_size=1, max_size=200).map(
    lambda values: [1000 + value / 10_000 for value in sorted(values)]
)


@given(instants, st.floats(0, 30))
def test_many_at_once_are_counted_as_one_by_one(arrived: list[float], after: float) -> None:
    now = arrived[-1] + after
    together, apart = Histogram(), Histogram()

    together.add_since(now, arrived, sum(arrived))
    for instant in arrived:
        apart.add(now - instant)

    assert sum(together.counts) == len(arrived)
    assert together.sum == pytest.approx(apart.sum, abs=1e-6)
    # Up to a rounding of a clock's instants: nothing is further off than a nanosecond.
    for bound_index, bound in enumerate(together.bounds):
        surely = sum(now - instant < bound - 1e-9 for instant in arrived)
        possibly = sum(now - instant <= bound + 1e-9 for instant in arrived)
        assert surely <= sum(together.counts[: bound_index + 1]) <= possibly


def test_a_bound_belongs_to_the_bucket_below_it() -> None:
    histogram = Histogram([1.0, 2.0])

    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        histogram.add(value)
    histogram.add_since(10.0, [7.5, 8.0, 8.5, 9.0, 9.5], 42.5)

    assert histogram.counts == [4, 4, 2]
    assert histogram.sum == 15.0
    assert histogram.count == 10


@pytest.mark.parametrize("bounds", [SECONDS, ROWS])
def test_bounds_rise(bounds: tuple[float, ...]) -> None:
    assert list(bounds) == sorted(set(bounds))


def test_what_people_promise_is_a_bound() -> None:
    """A share of requests within 100 ms can be read off without guessing."""
    assert {0.001, 0.01, 0.1, 1.0, 10.0} <= set(SECONDS)
    assert all(len(str(bound)) <= 6 for bound in SECONDS), "labels that people can read"


# --- percentiles


@given(st.lists(st.floats(1e-4, 49), min_size=1), st.floats(0.01, 0.99))
def test_a_quantile_lies_in_the_bucket_of_the_value_it_stands_for(
    values: list[float], q: float
) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)

    found = quantile(q, histogram.bounds, histogram.counts)

    ranked = sorted(values)
    least = next(value for n, value in enumerate(ranked, 1) if n >= q * len(values) - 1e-9)
    bucket = bisect_left(SECONDS, least)
    assert found is not None
    assert (SECONDS[bucket - 1] if bucket else 0.0) <= found <= SECONDS[bucket] * (1 + 1e-9)


def test_nothing_has_no_quantile() -> None:
    assert quantile(0.5, [1.0], [0, 0]) is None


def test_above_the_last_bound_nothing_is_known() -> None:
    assert quantile(0.5, [1.0, 2.0], [0, 0, 3]) == 2.0
