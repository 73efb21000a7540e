"""Threads a run and runs at one time: by measurement, never more than the cores."""

import threading

import pytest

from models.slots import best_rates, candidates, fastest, rate


@pytest.mark.parametrize(
    ("cores", "threads"), [(1, [1]), (2, [2, 1]), (4, [4, 1]), (8, [8, 4, 1]), (12, [12, 6, 1])]
)
def test_all_cores_for_one_run_are_compared_with_one_for_each(
    cores: int, threads: list[int]
) -> None:
    assert candidates(cores) == threads
    assert all(count * (cores // count) <= cores for count in threads)  # lesson 22


@pytest.mark.parametrize(
    ("rates", "slots"),
    [
        ({1: 100.0, 2: 109.0}, 1),
        ({1: 100.0, 2: 111.0}, 2),
        ({1: 100.0, 2: 120.0, 8: 125.0}, 2),
        ({1: 100.0, 2: 105.0, 8: 112.0}, 8),
    ],
)
def test_more_slots_must_win_clearly(rates: dict[int, float], slots: int) -> None:
    assert fastest(rates) == slots


@pytest.mark.parametrize(
    ("rates", "slots"),
    [({1: 100.0, 2: 92.0}, 2), ({1: 100.0, 2: 90.0}, 1), ({1: 100.0, 2: 95.0, 8: 80.0}, 2)],
)
def test_where_models_crowd_more_slots_must_not_lose_clearly(
    rates: dict[int, float], slots: int
) -> None:
    assert fastest(rates, crowded=True) == slots


def test_runs_go_on_in_as_many_threads_at_one_time() -> None:
    meeting = threading.Barrier(3, timeout=10)
    first = threading.Event()

    def run() -> None:
        if first.is_set():  # the one that warms up is alone
            meeting.wait()
        first.set()

    assert rate(run, slots=3, seconds=0) > 0


def test_runs_a_second_are_counted_by_the_clock() -> None:
    now = [0.0]

    def run() -> None:
        now[0] += 0.25

    assert rate(run, slots=1, seconds=10, clock=lambda: now[0]) == 4


def test_every_candidate_gets_its_turn_twice() -> None:
    ran: list[str] = []
    runs = [(1, lambda: ran.append("one")), (2, lambda: ran.append("two"))]

    assert set(best_rates(runs, seconds=0)) == {1, 2}
    assert [name for n, name in enumerate(ran) if not n or name != ran[n - 1]] == [
        "one",
        "two",
        "one",
        "two",
    ]
