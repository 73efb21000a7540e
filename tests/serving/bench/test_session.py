"""All runs of one command: seeds, voids, and the end of a search."""

from collections.abc import Callable

import pytest

from serving.bench.figures import Figures, Judge
from serving.bench.generator import Tick
from serving.bench.outcome import Outcome
from serving.bench.plan import Plan
from serving.bench.report import beyond_line
from serving.bench.session import Session

from .test_figures import outcome


class Scripted:
    """A team whose runs come out as is written."""

    def __init__(self, come_out: Callable[[Plan], Outcome]) -> None:
        self.plans: list[Plan] = []
        self.opened: list[int] = []
        self._come_out = come_out

    def open(self, count: int) -> None:
        self.opened.append(count)

    def run(self, plan: Plan, tick: Tick = lambda _, __: None) -> Outcome:
        self.plans.append(plan)
        return self._come_out(plan)

    def close(self) -> None:
        pass


def up_to(limit: float) -> Callable[[Plan], Outcome]:
    return lambda plan: outcome([(200, 0.01 if plan.rate <= limit else 1.0)] * 20)


def session(team: Scripted, **given: object) -> Session:
    return Session(team, Plan(rate=1, seconds=2, seed=7), Judge(), **given)  # type: ignore[arg-type]


def test_each_run_has_a_seed_of_its_own() -> None:
    team, told = Scripted(up_to(1e9)), list[Figures]()
    runs = session(team, done=told.append)

    found = [runs.measure(rate) for rate in (100, 100, 50_000)]

    assert [plan.seed for plan in team.plans] == [7, 8, 9]
    assert told == found == runs.runs
    assert team.opened == [16, 16, 1000]


def test_a_search_ends_where_the_slo_does() -> None:
    runs = session(Scripted(up_to(900)))

    found = runs.search(100, precision=0.05, repeats=3)

    assert 857 <= found.good <= 900
    best = runs.of(found.good)
    assert best is not None
    assert best.meets_slo
    assert runs.of(12345) is None


def test_a_void_run_is_made_again() -> None:
    voids = iter([True, True])

    def come_out(plan: Plan) -> Outcome:
        lateness_s = 1.0 if next(voids, False) else 0.0
        return outcome([(200, 0.01 if plan.rate <= 900 else 1.0)], lateness_s)

    runs = session(Scripted(come_out))

    assert runs.search(800, precision=0.1, repeats=1).good >= 800
    assert [bool(run.void) for run in runs.runs[:3]] == [True, True, False]


def test_a_generator_at_its_limit_ends_the_search() -> None:
    def come_out(plan: Plan) -> Outcome:
        return outcome([(200, 0.01)], lateness_s=1.0 if plan.rate > 300 else 0.0)

    found = session(Scripted(come_out)).search(100, precision=0.1, repeats=1)

    assert found.good == 200
    assert "its limit comes before the server's" in found.stopped


def test_a_search_has_an_end() -> None:
    found = session(Scripted(up_to(900)), max_seconds=0).search(100, precision=0.1, repeats=1)

    assert "0 s have passed" in found.stopped


def test_what_is_beyond_a_rate_is_compared_with_what_is_beside_it() -> None:
    shares = iter([1.0, 0.5, 0.8, 0.1, 0.2])

    def come_out(plan: Plan) -> Outcome:
        in_time = round(20 * next(shares))
        return outcome([(200, 0.01)] * in_time + [(429, 0.01)] * (20 - in_time))

    team = Scripted(come_out)
    half, tenth = session(team).beyond(100, [1.5, 3])

    assert [plan.rate for plan in team.plans] == [100, 150, 100, 300, 100]
    assert half.share == pytest.approx(0.5 / 0.9)
    assert tenth.share == pytest.approx(0.1 / 0.5)
    assert beyond_line([half, tenth]).endswith(": 56% at 1.5x, 20% at 3x.")
    assert session(team).beyond(100, []) == []
    assert beyond_line([]) == ""


def test_a_run_that_is_void_has_no_share() -> None:
    lateness = iter([0.0, 1.0, 0.0])
    team = Scripted(lambda _: outcome([(200, 0.01)], next(lateness)))

    (found,) = session(team).beyond(100, [2])

    assert found.share is None
    assert "void at 2x" in beyond_line([found])


def test_where_nothing_is_in_time_there_is_no_share() -> None:
    (found,) = session(Scripted(up_to(10))).beyond(100, [2])

    assert found.share is None
