"""All runs of one command: seeds, voids, and the end of a search."""

from collections.abc import Callable

from serving.bench.figures import Figures, Judge
from serving.bench.generator import Tick
from serving.bench.outcome import Outcome
from serving.bench.plan import Plan
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
