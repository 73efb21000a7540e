import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching import RunFailed, WrongResults
from batching.isolate import run_isolated


def doubles_or_fails(bad):
    def run(payloads):
        if set(payloads) & bad:
            raise ValueError("a bad one among them")
        return [2 * payload for payload in payloads]

    return run


def test_a_batch_without_fault_takes_one_run():
    report = run_isolated(doubles_or_fails(set()), [1, 2, 3])

    assert report.results == [2, 4, 6]
    assert report.runs == 1


@given(st.integers(1, 70), st.data())
def test_only_the_culprits_fail(count, data):
    """Lesson 3."""
    bad = data.draw(st.sets(st.integers(0, count - 1)))

    report = run_isolated(doubles_or_fails(bad), list(range(count)))

    for payload, result in enumerate(report.results):
        if payload in bad:
            assert isinstance(result, RunFailed)
            assert isinstance(result.__cause__, ValueError)
        else:
            assert result == 2 * payload


def test_one_culprit_among_64_takes_12_runs_more():
    report = run_isolated(doubles_or_fails({17}), list(range(64)))

    assert report.runs == 13


def test_a_batch_that_failed_only_together_succeeds_apart():
    def run(payloads):
        if len(payloads) > 2:
            raise MemoryError("too many at once")
        return payloads

    assert run_isolated(run, [1, 2, 3, 4]).results == [1, 2, 3, 4]


@pytest.mark.parametrize("wrong", [[], [1, 2, 3]])
def test_a_wrong_number_of_results_is_a_failure_and_not_somebody_elses_answer(wrong):
    report = run_isolated(lambda payloads: wrong, ["a", "b"])

    assert all(isinstance(result, WrongResults) for result in report.results)


def test_the_time_is_that_of_the_first_run():
    now = iter([10.0, 10.5])

    report = run_isolated(doubles_or_fails({1}), [1, 2], clock=lambda: next(now))

    assert report.run_s == 0.5
