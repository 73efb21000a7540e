"""The search finds the limit of servers that are sure of it, and of those that are not."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.bench.search import Enough, Found, Search


@given(limit=st.floats(0.5, 200_000), start=st.floats(1, 50_000))
def test_it_finds_a_limit_that_does_not_move(limit: float, start: float) -> None:
    found = Search(lambda rate: rate <= limit, precision=0.05).run(start)

    assert not found.stopped
    assert found.bad is not None
    assert found.good <= limit < found.bad <= found.good * 1.05 * (1 + 1e-9)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_a_majority_steadies_a_limit_that_wavers(seed: int) -> None:
    chance = random.Random(seed)

    found = Search(lambda rate: rate <= chance.gauss(1000, 30), repeats=5).run(300)

    assert 850 < found.good < 1150


def test_one_lucky_run_does_not_decide() -> None:
    seen: list[float] = []

    def good(rate: float) -> bool:
        seen.append(rate)
        return rate <= 100 or (rate == 400 and seen.count(400) == 1)

    found = Search(good, precision=0.05).run(400)

    assert 95 <= found.good <= 100
    assert seen.count(400) > 1


def test_one_unlucky_run_does_not_either() -> None:
    seen: list[float] = []

    def good(rate: float) -> bool:
        seen.append(rate)
        return rate <= 1000 and not (rate == 200 and seen.count(200) == 1)

    found = Search(good, precision=0.05).run(100)

    assert 950 <= found.good <= 1000


def test_it_is_bounded() -> None:
    found = Search(lambda rate: rate < 1000, precision=1e-9, max_runs=20).run(1)

    assert found.runs == 20
    assert "20 runs" in found.stopped
    assert found.good == pytest.approx(1000, rel=0.05)


def test_no_rate_may_be_good() -> None:
    found = Search(lambda rate: False).run(10)

    assert found.good == 0
    assert "not even" in found.stopped


def test_every_rate_may_be_good() -> None:
    found = Search(lambda rate: True).run(10)

    assert found.bad is None
    assert "not too much" in found.stopped


def test_who_measures_may_end_it() -> None:
    def good(rate: float) -> bool:
        if rate > 50:
            raise Enough("the generator was behind")
        return True

    assert Search(good).run(20) == Found(40, None, 2, "the generator was behind")


@pytest.mark.parametrize("wrong", [{"repeats": 2}, {"repeats": 0}, {"precision": 0}])
def test_what_cannot_be_is_said(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"odd|precision"):
        Search(lambda rate: True, **wrong)  # type: ignore[arg-type]
