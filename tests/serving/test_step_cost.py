"""What is learned of steps of different sizes."""

from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.step_cost import StepCost


def learned(*steps: tuple[int, float]) -> StepCost:
    cost = StepCost()
    for rows, took_s in steps:
        cost.observe(rows, took_s)
    return cost


def test_before_the_first_nothing_is_expected_to_take_time() -> None:
    assert (StepCost().predict(300), StepCost().mean_row_s) == (0, 0)


def test_until_sizes_differ_all_goes_by_rows() -> None:
    cost = learned(*[(2, 0.02)] * 10)

    assert cost.predict(2) == pytest.approx(0.02)
    assert cost.predict(300) == pytest.approx(3)


def test_a_request_of_many_rows_is_not_as_many_of_one() -> None:
    """As a pipeline that asks somebody else once a request."""
    cost = learned(*[(1, 0.02), (1, 0.02), (1, 0.02), (300, 0.021)] * 10)

    assert cost.predict(1) == pytest.approx(0.02, rel=0.02)
    assert cost.predict(300) == pytest.approx(0.021, rel=0.02)


def test_what_a_row_takes_on_average_is_that_of_steps_as_they_come() -> None:
    alike = learned(*[(4, 0.02)] * 5)
    mixed = learned(*[(1, 0.02), (3, 0.02)] * 50)

    assert alike.mean_row_s == pytest.approx(0.005)
    assert mixed.mean_row_s == pytest.approx(0.01, rel=0.1)


def test_what_a_row_takes_is_remembered_while_all_are_alike() -> None:
    cost = learned(*[(1, 0.0011), (300, 0.031)] * 20)
    for turn in range(3000):
        cost.observe(1, 0.001 if turn % 2 else 0.0012)

    assert cost.predict(1) == pytest.approx(0.0011, rel=0.1)
    assert cost.predict(300) == pytest.approx(0.031, rel=0.15)


def test_one_odd_step_is_not_believed() -> None:
    cost = learned(*[(1, 0.01), (10, 0.02)] * 30)
    before = cost.predict(1), cost.predict(100)
    cost.observe(1, 60.0)

    assert cost.predict(1) < 2 * before[0]
    assert cost.predict(100) < 2 * before[1]


def test_a_slow_first_step_is_soon_forgotten() -> None:
    """It may have imported and read what the others find ready."""
    cost = learned((1, 5.0), *[(1, 0.02), (1, 0.02), (1, 0.02), (300, 0.3)] * 15)

    assert cost.predict(1) < 0.05
    assert cost.predict(300) < 0.6


# From steps that take nearly nothing to some that take minutes.
SECONDS = st.floats(1e-6, 100.0)
ROWS = st.integers(1, 8192)


@given(st.lists(st.tuples(ROWS, SECONDS), min_size=1, max_size=60), ROWS, ROWS)
def test_more_rows_never_take_less_nor_more_than_in_proportion(
    steps: list[tuple[int, float]], rows: int, more: int
) -> None:
    cost = learned(*steps)
    less_s, more_s = cost.predict(rows), cost.predict(rows + more)

    assert min(cost.each_s, cost.row_s) >= 0
    assert 0 < less_s <= more_s <= less_s * (rows + more) / rows * (1 + 1e-9)
    assert more_s <= 2 * max(s for _, s in steps) * (rows + more)


@given(
    st.floats(0, 0.1),
    st.floats(1e-6, 0.01),
    st.lists(st.integers(1, 500), min_size=2, max_size=5, unique=True),
)
def test_what_lies_on_a_line_is_found(each_s: float, row_s: float, sizes: list[int]) -> None:
    steps = [(rows, each_s + rows * row_s) for rows in sizes]
    cost = learned(*steps * 60)

    for rows, took_s in steps:
        assert isclose(cost.predict(rows), took_s, rel_tol=0.02)
