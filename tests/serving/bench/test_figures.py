"""An outcome in numbers: nothing is counted twice, nothing is left out."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.bench.figures import Figures, Judge, middle_runs
from serving.bench.outcome import LOST, NO_CONNECTION, TIMED_OUT, Outcome, merged
from serving.bench.plan import Plan

statuses = st.sampled_from([200, 200, 200, 429, 503, 504, 400, 500, LOST, TIMED_OUT, NO_CONNECTION])
answers = st.lists(st.tuples(statuses, st.floats(0, 2)), max_size=60)


def outcome(
    answers: list[tuple[int, float]], lateness_s: float = 0.0, cpu_share: float = 0.1
) -> Outcome:
    status = np.array([status for status, _ in answers], np.int16)
    latency_s = np.array([latency_s for _, latency_s in answers], float)
    latency_s[status < 0] = np.nan
    due_s = np.arange(len(answers)) * 0.01
    return Outcome(due_s, latency_s, np.full(len(answers), lateness_s), status, cpu_share=cpu_share)


def figures(*answers: tuple[int, float], rate: float = 10, **given: float) -> Figures:
    plan = Plan(rate=rate, seconds=2)
    return Figures(outcome(list(answers), **given), plan, Judge(slo_s=0.1))


@given(answers)
def test_every_request_is_counted_once(answers: list[tuple[int, float]]) -> None:
    run = figures(*answers)

    assert run.in_time + run.late == run.answered
    counted = (run.answered, run.refused, run.unavailable, run.expired, run.failed, run.lost)
    assert sum(counted) == run.requests == len(answers)
    assert run.goodput == sum(s == 200 and took <= 0.1 for s, took in answers) / 2
    json.dumps(run.as_values(), allow_nan=False)


def test_a_server_that_refuses_everybody_has_no_good_p99() -> None:
    """However fast those are answered who are not refused."""
    run = figures(*[(200, 0.001)] * 98, (429, 0.001), (429, 0.001))

    assert run.latencies["p99"].value == 0.001
    assert not run.meets_slo
    assert figures(*[(200, 0.1)] * 99, (200, 5.0)).meets_slo
    assert not figures(*[(200, 0.1)] * 98, (200, 5.0), (LOST, 0)).meets_slo


def test_a_run_of_nothing_is_not_good() -> None:
    run = figures()

    assert not run.meets_slo
    assert run.as_values()["latency_ms"]["p99"]["value"] is None


def test_a_generator_that_lags_voids_its_run() -> None:
    assert figures((200, 0.01), lateness_s=0.0019).void == ""
    assert "2.1 ms late" in figures((200, 0.01), lateness_s=0.0021).void
    assert "99% of its core" in figures((200, 0.01), cpu_share=0.99).void


def test_lateness_is_looked_at_in_the_tail() -> None:
    lateness_s = np.zeros(1000)
    lateness_s[:11] = 0.05
    due_s, status = np.arange(1000.0), np.full(1000, 200, np.int16)
    late = Outcome(due_s, np.full(1000, 0.06), lateness_s, status)

    assert Figures(late, Plan(rate=10, seconds=1), Judge()).void
    lateness_s[10] = 0
    assert not Figures(late, Plan(rate=10, seconds=1), Judge()).void


def test_how_late_it_may_be_follows_from_the_slo() -> None:
    assert Judge(slo_s=1).lateness_s == pytest.approx(0.02)
    assert Judge(slo_s=0.005).lateness_s == 0.001
    assert Judge(slo_s=1, max_lateness_s=0.5).lateness_s == 0.5


def test_the_curve_ends_where_one_request_decides() -> None:
    run = figures(*[(200, n / 1000) for n in range(1, 101)])

    shares, latencies = zip(*run.curve, strict=True)
    assert max(shares) <= 0.99
    assert list(latencies) == sorted(latencies)


def test_the_middle_run_of_a_rate_counts() -> None:
    runs = [
        figures(*[(200, 0.01)] * good, *[(429, 0.01)] * (10 - good), rate=rate)
        for rate, good in [(20, 3), (10, 9), (10, 1), (10, 5)]
    ]
    void = figures((200, 0.01), lateness_s=1, rate=5)

    assert [(run.plan.rate, run.in_time) for run in middle_runs([*runs, void])] == [
        (10, 5),
        (20, 3),
    ]


def test_what_was_due_in_the_warm_up_does_not_count() -> None:
    whole = outcome([(200, 0.1), (429, 0.2), (200, 0.3)])

    rest = whole.since(0.01)

    assert rest.status.tolist() == [429, 200]
    assert rest.due_s.tolist() == [0.0, 0.01]


def test_shares_of_several_generators_make_one_run() -> None:
    whole = outcome([(200, 0.1), (429, 0.2), (200, 0.3)])
    parts = [
        Outcome(*(a[n::2] for a in (whole.due_s, whole.latency_s, whole.lateness_s, whole.status)),
                waited=1, cpu_share=n / 10, connections=4, exhausted=n == 1)
        for n in range(2)
    ]  # fmt: skip

    found = merged(parts)

    assert found.latency_s.tolist() == whole.latency_s.tolist()
    assert (found.waited, found.cpu_share, found.connections, found.exhausted) == (2, 0.1, 8, True)
