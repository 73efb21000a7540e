"""When requests are due: the rate is right, the spread is what its name says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.bench.plan import ARRIVALS, Plan

rates = st.floats(1, 2000)


@given(rate=rates, arrivals=st.sampled_from(ARRIVALS), seed=st.integers(0, 2**32))
def test_instants_are_in_order_and_within_the_run(rate: float, arrivals: str, seed: int) -> None:
    plan = Plan(rate=rate, seconds=2, warm_up_s=1, arrivals=arrivals, seed=seed)  # type: ignore[arg-type]

    due = plan.schedule()

    assert (np.diff(due) >= 0).all()
    assert ((due >= 0) & (due < 3)).all()


@pytest.mark.parametrize("arrivals", ARRIVALS)
def test_the_rate_is_the_one_asked_for(arrivals: str) -> None:
    plan = Plan(rate=1000, seconds=200, arrivals=arrivals, burst=10, seed=3)  # type: ignore[arg-type]

    # Six standard deviations of the widest of the three: bursts of ten.
    assert abs(len(plan.schedule()) / 200 - 1000) < 6 * (1000 * 10 / 200) ** 0.5


def test_poisson_gaps_are_exponential() -> None:
    gaps = np.diff(Plan(rate=1000, seconds=200, seed=1).schedule())

    # Of an exponential the deviation is the mean, and e^-1 of all are longer than it.
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.02)
    assert (gaps > gaps.mean()).mean() == pytest.approx(np.exp(-1), abs=0.01)


def test_a_burst_comes_at_once() -> None:
    due = Plan(rate=1000, seconds=20, arrivals="bursts", burst=25, seed=1).schedule()

    instants, counts = np.unique(due, return_counts=True)
    assert set(counts.tolist()) == {25}
    assert np.diff(instants).std() == pytest.approx(np.diff(instants).mean(), rel=0.2)


def test_steady_is_a_clock() -> None:
    due = Plan(rate=50, seconds=2, arrivals="steady").schedule()

    assert np.diff(due) == pytest.approx(0.02)
    assert len(due) == 100


def test_a_seed_makes_the_same_again() -> None:
    plans = [Plan(rate=100, seconds=2, seed=seed).schedule().tolist() for seed in (1, 1, 2)]

    assert plans[0] == plans[1] != plans[2]


# --- abuse


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"rate": 0}, "above 0"),
        ({"rate": float("nan")}, "above 0"),
        ({"seconds": 0}, "more than 0 seconds"),
        ({"warm_up_s": -1}, "0 seconds or more"),
        ({"burst": 0}, "at least 1"),
        ({"rate": 1e6, "seconds": 1e3}, "more than 20,000,000 requests"),
    ],
)
def test_what_cannot_be_is_said(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Plan(**{"rate": 10, "seconds": 1, **wrong})  # type: ignore[arg-type]
