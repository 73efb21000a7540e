"""The grid is measured within its budget, in the order of what it tells."""

from collections.abc import Callable

import pytest

from models.profile import (
    Measured,
    Point,
    Profile,
    grid,
    lengths_up_to,
    measure,
    samples_of,
    useful_rows,
)
from models.proof import FIXED, Proof


class Machine:
    """A model whose runs take what the test says, on a clock of its own."""

    def __init__(self, run_s: Callable[[int, int], float]) -> None:
        self.now = 0.0
        self.run_s = run_s
        self.points: list[Point] = []

    def trial(self, point: Point) -> Callable[[], None]:
        def run() -> None:
            self.now += self.run_s(*point)
            self.points.append(point)

        return run

    def measure(
        self, budget_s: float, *, max_rows: int = 256, lengths: tuple[int, ...] = (0,)
    ) -> Measured:
        points = grid(lengths, max_rows)
        return measure(self.trial, points, budget_s=budget_s, clock=lambda: self.now)


# --- the points


def test_one_row_the_usual_and_many_come_before_what_is_between() -> None:
    assert [point.rows for point in grid((0,), 256)] == [1, 8, 32, 2, 16, 64, 4, 128, 256]


@pytest.mark.parametrize(("most", "rows"), [(1, {1}), (6, {1, 2, 4, 6}), (8, {1, 2, 4, 8})])
def test_the_largest_batch_that_is_allowed_is_among_them(most: int, rows: set[int]) -> None:
    assert {point.rows for point in grid((0,), most)} == rows


def test_no_more_rows_are_measured_than_make_sense() -> None:
    assert max(point.rows for point in grid((0,), 100_000)) == 256


def test_the_corners_come_first_where_lengths_move() -> None:
    points = grid((8, 32, 128), 256)

    assert points[:3] == [Point(1, 8), Point(1, 128), Point(8, 8)]
    assert len(points) == len(set(points)) == 9 * 3


@pytest.mark.parametrize(
    ("longest", "lengths"),
    [(0, (0,)), (5, (5,)), (32, (8, 32)), (100, (8, 32, 100)), (256, (8, 32, 128, 256))],
)
def test_lengths_end_with_the_longest(longest: int, lengths: tuple[int, ...]) -> None:
    assert lengths_up_to(longest) == lengths


# --- within the budget


def test_with_time_enough_everything_is_measured() -> None:
    measured = Machine(lambda rows, _: 1e-3 + 5e-4 * rows).measure(budget_s=100)

    assert len(measured) == 9
    for point, run_s in measured.items():
        assert run_s == pytest.approx(1e-3 + 5e-4 * point.rows)


def test_a_slow_model_is_measured_for_one_row_and_no_longer_than_needed() -> None:
    machine = Machine(lambda rows, _: 60 * rows)

    assert machine.measure(budget_s=1) == {Point(1): 60}
    assert machine.now == 120  # once to warm up, once to measure


def test_without_a_budget_one_row_is_measured() -> None:
    assert Machine(lambda rows, _: 1e-3).measure(budget_s=0) == {Point(1): pytest.approx(1e-3)}


@pytest.mark.parametrize("row_s", [0.001, 0.01, 0.05, 0.2, 0.7])
@pytest.mark.parametrize("budget_s", [0.5, 2.0])
def test_nothing_is_begun_that_does_not_fit_in_what_is_left(row_s: float, budget_s: float) -> None:
    machine = Machine(lambda rows, length: row_s * rows * max(1, length) / 8)

    machine.measure(budget_s, lengths=(8, 32, 128, 256))

    assert machine.now <= max(budget_s, 2 * row_s)


def test_what_does_not_fit_yields_to_what_does() -> None:
    # Eight rows would take 0.8 s twice, and four most of what is left.
    measured = Machine(lambda rows, _: 0.1 * rows).measure(budget_s=1.0)

    assert set(measured) == {Point(1), Point(2)}


def test_rows_that_ride_for_nothing_bring_more_within_reach() -> None:
    # 256 rows are not dared after the first, but after 128 they are.
    measured = Machine(lambda rows, _: 0.01).measure(budget_s=3.0)

    assert max(measured) == Point(256)


def test_rows_do_not_grow_once_they_cost_more() -> None:
    # Each row costs 0.5 % more for every row in its company.
    machine = Machine(lambda rows, _: 1e-4 * rows * (1 + 0.005 * rows))

    measured = machine.measure(budget_s=100)

    assert max(measured) == Point(32)  # 16 % dearer than alone


def test_the_fastest_run_counts() -> None:
    times = iter([9.0, 0.5, 0.3, 0.8, *[0.4] * 100])
    machine = Machine(lambda rows, _: next(times))

    assert machine.measure(budget_s=200, max_rows=1) == {Point(1): pytest.approx(0.3)}


def test_a_burst_of_noise_is_measured_again() -> None:
    times = iter([5.0] * 4)
    machine = Machine(lambda rows, _: next(times, 0.1))

    assert machine.measure(budget_s=300, max_rows=1) == {Point(1): pytest.approx(0.1)}


def test_a_burst_of_noise_does_not_stop_the_rows_from_growing() -> None:
    burst = iter([True] * 3)
    machine = Machine(lambda rows, _: 1.0 if rows == 32 and next(burst, False) else 1e-3)

    assert max(machine.measure(budget_s=50)) == Point(256)


# --- failures


def test_what_the_first_point_raises_comes_out() -> None:
    def fails(rows: int, _: int) -> float:
        raise ValueError("no such index")

    with pytest.raises(ValueError, match="no such index"):
        Machine(fails).measure(budget_s=1)


def test_lengths_that_the_model_cannot_take_are_left_out() -> None:
    def run_s(rows: int, length: int) -> float:
        if length > 128:
            raise ValueError("no such position")
        return 1e-4 * rows

    measured = Machine(run_s).measure(budget_s=100, max_rows=2, lengths=(8, 128, 256))

    assert set(measured) == {Point(rows, length) for rows in (1, 2) for length in (8, 128)}


# --- what is concluded


def test_the_largest_batch_is_the_most_rows_that_are_about_as_cheap_as_can_be() -> None:
    assert useful_rows({Point(1): 1.0, Point(8): 4.0, Point(32): 16.4, Point(64): 34.0}) == 32
    assert useful_rows({Point(1): 1.0, Point(2): 2.1, Point(4): 4.4}) == 1


def test_of_moving_lengths_the_one_counts_for_which_batches_are_largest() -> None:
    measured = {Point(1, 8): 1.0, Point(8, 8): 2.0, Point(1, 128): 10.0, Point(8, 128): 90.0}

    assert useful_rows(measured) == 8


def test_samples_are_in_order() -> None:
    measured = {Point(8, 8): 3.0, Point(1, 32): 2.0, Point(1, 8): 1.0}

    assert samples_of(measured) == ((1, 8, 1.0), (1, 32, 2.0), (8, 8, 3.0))


def test_what_there_was_no_time_to_measure_is_measured_again_at_the_next_start() -> None:
    """A start on a busy machine must not leave a model without batches for good."""
    batches = Proof(True, "the same", 0.0)
    one, two = ((1, 8, 0.9),), ((1, 8, 0.9), (8, 8, 4.0))

    assert not Profile(one, 1, 1, batches, 1).worth_keeping
    assert Profile(two, 1, 1, batches, 8).worth_keeping
    assert Profile(one, 1, 1, FIXED, 1).worth_keeping
