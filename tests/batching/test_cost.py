import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching import CostModel, Sample

PERCEPTRON = [(1, 0.7), (2, 0.9), (4, 1.1), (8, 1.5), (16, 2.2), (32, 3.6), (64, 5.8)]
MAGIKA = [(1, 3.7), (2, 7.4), (4, 15.0), (8, 30.0), (64, 275.0)]


def model_of(measured):
    return CostModel(Sample(rows, 0, ms / 1e3) for rows, ms in measured)


def moving(rows, length):
    """Seconds of a text model of which everything is known."""
    return 1e-3 + rows * (2e-4 + length * (5e-5 + length * 2e-7))


def text_model():
    grid = [(n, length) for n in (1, 2, 4, 8, 16) for length in (8, 32, 128, 256)]
    return CostModel(Sample(n, length, moving(n, length)) for n, length in grid)


def test_it_finds_the_coefficients_that_made_the_samples():
    assert text_model().coefficients == pytest.approx((1e-3, 2e-4, 5e-5, 2e-7), rel=1e-3)
    assert text_model().error < 1e-3


def test_it_predicts_what_was_not_measured():
    assert text_model().predict(3, 77) == pytest.approx(moving(3, 77), rel=1e-3)


def test_models_of_fixed_shape_need_two():
    cost = model_of(PERCEPTRON)

    assert cost.coefficients[2:] == (0, 0)
    assert cost.predict(48) == pytest.approx(4.7e-3, rel=0.2)


def test_batching_pays_for_the_perceptron_and_not_for_magika():
    """Lesson 11: the plan follows the curve."""
    assert model_of(PERCEPTRON).cheapest_rows(64) > 32
    assert model_of(MAGIKA).cheapest_rows(64) == 1


def test_a_gain_under_three_in_a_hundred_is_not_worth_a_larger_batch():
    cost = CostModel([Sample(1, 0, 1.02), Sample(100, 0, 100.02)])

    assert cost.cheapest_rows(100) == 1


def test_no_term_is_negative_though_the_samples_fall():
    cost = CostModel([Sample(1, 0, 2.0), Sample(2, 0, 1.0), Sample(4, 0, 0.5)])

    assert min(cost.coefficients) >= 0
    assert cost.predict(64) > 0


@pytest.mark.parametrize("bad", [[], [Sample(0, 0, 1.0)], [Sample(1, 0, 0.0)], [Sample(1, -1, 1)]])
def test_samples_that_cannot_be_are_refused(bad):
    with pytest.raises(ValueError, match="samples"):
        CostModel(bad)


seconds = st.floats(1e-6, 1e3)
samples = st.lists(
    st.builds(Sample, st.integers(1, 512), st.integers(0, 2048), seconds), min_size=1, max_size=12
)


@given(samples, st.lists(st.tuples(st.integers(1, 64), seconds), max_size=30))
def test_it_never_predicts_nothing_or_less(measured, runs):
    cost = CostModel(measured)
    for rows, run_s in runs:
        cost.observe(rows, 0, run_s)
        cost.observe_cycle(rows, run_s, run_s * 1.1)
    for rows, length in ((1, 0), (7, 31), (512, 2048)):
        assert cost.predict(rows, length) > 0
        assert cost.cycle(rows, length) > 0
    assert 1 <= cost.cheapest_rows(64) <= 64


@given(st.sampled_from([0.5, 2.0]), st.sampled_from([1, 8, 64]))
def test_a_machine_of_another_speed_is_known_within_50_batches(factor, rows):
    cost = model_of(PERCEPTRON)
    before_s = cost.predict(rows)
    for _ in range(50):
        cost.observe(rows, 0, before_s * factor)

    assert cost.predict(rows) == pytest.approx(before_s * factor, rel=0.1)


@given(st.sampled_from([0.01, 100.0, 10_000.0]), st.integers(1, 64))
def test_one_odd_run_is_not_believed(factor, rows):
    cost = model_of(PERCEPTRON)
    before_s = cost.predict(rows)

    cost.observe(rows, 0, before_s * factor)

    assert cost.predict(rows) == pytest.approx(before_s, rel=0.05)


def test_what_a_cycle_takes_beyond_its_run_is_learned_by_the_batch():
    cost = CostModel([Sample(1, 0, 1e-5), Sample(64, 0, 2e-4)])
    for _ in range(100):
        cost.observe_cycle(4, 2e-5, 6e-3)

    assert cost.cycle(4) == pytest.approx(6e-3, rel=0.05)
    assert cost.cycle(64) < 11e-3  # small batches do not make large ones look dear
    assert cost.predict(64) == pytest.approx(2e-4, rel=0.05)


def test_a_pause_of_the_process_does_not_count_as_work():
    cost = model_of(PERCEPTRON)

    cost.observe_cycle(8, 1e-3, 60.0)

    assert cost.gap_s < 2e-4


def test_what_a_run_takes_at_best_is_not_forgotten():
    cost = model_of(PERCEPTRON)
    before_s = cost.at_best(8)
    for _ in range(50):
        cost.observe(8, 0, 1.0)
        cost.observe_cycle(8, 0.5, 1.0)

    assert cost.at_best(8) == before_s
