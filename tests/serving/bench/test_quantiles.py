"""Quantiles, and intervals that hold the truth as often as they say."""

import itertools
from math import comb, inf, isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.bench.quantiles import finite, quantile, ranks, share_within

values = st.lists(st.floats(0, 1e3), min_size=1, max_size=200)
shares = st.floats(0.001, 0.999)


@given(values, shares)
def test_a_quantile_is_a_value_that_so_many_do_not_exceed(found: list[float], share: float) -> None:
    ordered = np.sort(found)

    value, low, high = quantile(ordered, share)

    assert value in found
    assert (ordered <= value).mean() >= share - 1e-9
    assert (ordered < value).mean() < share + 1e-9
    assert low <= value <= high


@given(st.integers(1, 60), shares)
def test_ranks_hold_the_quantile_as_often_as_they_say(count: int, share: float) -> None:
    """Compared with the binomial distribution, term by term."""
    low, high = ranks(count, share)

    def below(k: int) -> float:  # that at most k of the values are below the quantile
        return sum(comb(count, n) * share**n * (1 - share) ** (count - n) for n in range(k + 1))

    missed_low = below(low - 1) if low else 0.0
    missed_high = 1 - below(high - 1)
    assert missed_low <= 0.025 + 1e-9
    assert missed_high <= 0.025 + 1e-9
    # And no wider than they must be.
    assert below(low) > 0.025 - 1e-9
    assert high == 0 or 1 - below(high - 2) > 0.025 - 1e-9


def test_the_interval_holds_the_truth_95_times_of_100() -> None:
    random = np.random.default_rng(0)
    truth = -np.log(0.01)
    held = 0
    for _ in range(1000):
        _, low, high = quantile(np.sort(random.exponential(size=2000)), 0.99)
        held += low <= truth <= high

    assert 930 <= held <= 980


def test_too_few_values_say_nothing_of_the_tail() -> None:
    assert quantile(np.arange(100.0), 0.999).high == inf
    assert quantile(np.arange(3.0), 0.5).low == -inf
    assert isnan(quantile(np.array([]), 0.5).value)


def test_many_values_are_no_trouble() -> None:
    low, high = ranks(10_000_000, 0.999)

    assert low < 9_990_000 < high
    assert high - low == pytest.approx(2 * 1.96 * (1e7 * 0.999 * 0.001) ** 0.5, rel=0.02)


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, 2.0])
def test_what_is_no_share_is_said(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        ranks(10, share)


def test_a_share_lies_within_its_interval() -> None:
    for count, good in itertools.product((1, 10, 1000), (0, 0.5, 1)):
        low, high = share_within(round(good * count), count)
        assert 0 <= low <= round(good * count) / count <= high <= 1
    assert share_within(0, 0) == (0.0, 1.0)


def test_json_has_no_infinity() -> None:
    assert [finite(value) for value in (1.5, inf, -inf, np.nan)] == [1.5, None, None, None]
