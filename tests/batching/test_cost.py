import pytest

from batching import CostModel


def test_it_predicts_what_was_measured():
    assert CostModel({1: 0.001, 8: 0.002}).predict(8) == 0.002


def test_between_two_measurements_it_draws_a_line_and_beyond_them_it_scales():
    cost = CostModel({2: 0.002, 4: 0.003})

    assert cost.predict(3) == pytest.approx(0.0025)
    assert cost.predict(8) == pytest.approx(0.006)
    assert cost.predict(1) == 0.002


def test_the_cheapest_batch_is_the_one_that_costs_least_a_row():
    assert CostModel({1: 1.0, 2: 1.2, 4: 1.5, 8: 4.0}).cheapest_rows() == 4


def test_a_gain_of_less_than_three_in_a_hundred_is_not_worth_a_larger_batch():
    """Lesson 11: a model for which batching does not pay is not batched."""
    assert CostModel({1: 1.0, 2: 1.96, 4: 3.9}).cheapest_rows() == 1


@pytest.mark.parametrize("measured", [{}, {0: 1.0}, {1: 0.0}])
def test_measurements_that_cannot_be_are_refused(measured):
    with pytest.raises(ValueError, match="measurements"):
        CostModel(measured)
