"""Several processes send what one would."""

import numpy as np
import pytest

from serving.bench.connection import CannotConnect, resolve
from serving.bench.plan import Plan
from serving.bench.team import Alone, Crew, TeamFailed, Way, team
from tests.support.scripted_server import request, scripted


def test_one_is_no_process_of_its_own() -> None:
    with scripted() as server:
        one = team(Way(resolve("127.0.0.1", server.port), [request(0)]))
        one.open(3)
        outcome = one.run(Plan(rate=100, seconds=0.3))
        one.close()

    assert isinstance(one, Alone)
    assert (outcome.status == 200).all()


def test_two_share_one_schedule() -> None:
    plan = Plan(rate=200, seconds=1, seed=4)
    told: list[int] = []
    with scripted() as server:
        crew = Crew(Way(resolve("127.0.0.1", server.port), [request(0), request(1)]), 2)
        try:
            crew.open(4)
            runs = [crew.run(plan, lambda _, answered: told.append(answered)) for _ in range(2)]
        finally:
            crew.close()

    for outcome in runs:
        assert np.array_equal(outcome.due_s, plan.schedule())
        assert (outcome.status == 200).all()
    assert set(told) == {-1}


def test_a_process_that_ends_is_missed() -> None:
    with scripted() as server:
        crew = Crew(Way(resolve("127.0.0.1", server.port), [request(0)]), 2)
        try:
            crew._processes[1].kill()
            crew._processes[1].join()
            with pytest.raises(TeamFailed, match="has ended"):
                crew.run(Plan(rate=10, seconds=0.2))
        finally:
            crew.close()


def test_what_a_process_cannot_do_is_said_here() -> None:
    with scripted() as server:
        address = resolve("127.0.0.1", server.port)
    crew = Crew(Way(address, [request(0)]), 2)
    try:
        with pytest.raises(CannotConnect):
            crew.open(2)
    finally:
        crew.close()
