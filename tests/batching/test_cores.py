import asyncio

import pytest

from batching import Cores
from tests.support.batches import settle, ticket


class Model:
    """Somebody who wants turns, with a slack of its own."""

    def __init__(self, cores, slack, need=1):
        self.had = asyncio.Event()
        self.done = asyncio.Event()
        self.task = asyncio.create_task(self._run(cores, slack, need))

    async def _run(self, cores, slack, need):
        async with cores.turn(need, cores.share(lambda: ticket(deadline=slack))):
            self.had.set()
            await self.done.wait()

    @property
    def has_turn(self):
        return self.had.is_set() and not self.task.done()

    async def finish(self):
        self.done.set()
        await self.task
        await settle()


async def test_the_least_slack_has_the_next_turn():
    cores = Cores(1)
    running, patient, urgent = Model(cores, 9.0), Model(cores, 5.0), Model(cores, 1.0)
    await settle()
    assert (running.has_turn, patient.has_turn, urgent.has_turn) == (True, False, False)

    await running.finish()
    assert (patient.has_turn, urgent.has_turn) == (False, True)
    await urgent.finish()
    assert patient.has_turn
    await patient.finish()
    assert cores.free == 1


async def test_who_has_a_batch_together_goes_before_one_in_overload_at_once():
    """And who has not waits a while for more to come: nine models' single rows fill a machine."""
    now = [0.0]

    def share(deadline, filled):
        waits = ticket(deadline=deadline, arrived=0.0)
        return cores.share(lambda: waits, lambda: now[0], lambda: filled)

    cores = Cores(1)
    busy, overload = share(1.0, filled=True), share(1.0, filled=True)
    few, many = share(9.0, filled=False), share(9.5, filled=True)
    had = []

    async def take(name, share):
        async with cores.turn(1, share):
            had.append(name)
            await asyncio.sleep(0)

    overload.refused_at = 0.0
    overload.use(0.9)
    few.use(0.1)
    async with cores.turn(1, busy):
        tasks = [
            asyncio.create_task(take(*one))
            for one in (("overload", overload), ("few", few), ("many", many))
        ]
        await settle()
    await asyncio.gather(*tasks)

    assert had == ["many", "overload", "few"]


async def test_turns_times_threads_never_exceed_the_cores():
    """Lesson 22."""
    cores = Cores(4)
    models = [Model(cores, float(n), need=2) for n in range(3)]
    await settle()

    assert [model.has_turn for model in models] == [True, True, False]
    assert cores.free == 0
    for model in models:
        await model.finish()


async def test_small_ones_do_not_starve_one_that_needs_more():
    cores = Cores(2)
    small, large, late = Model(cores, 3.0), Model(cores, 1.0, need=2), Model(cores, 2.0)
    await settle()
    assert (small.has_turn, large.has_turn, late.has_turn) == (True, False, False)

    await small.finish()
    assert (large.has_turn, late.has_turn) == (True, False)
    await large.finish()
    assert late.has_turn
    await late.finish()


async def test_who_needs_more_than_there_is_gets_all():
    cores = Cores(2)
    greedy = Model(cores, 1.0, need=8)
    await settle()

    assert greedy.has_turn
    await greedy.finish()
    assert cores.free == 2


async def test_who_leaves_while_waiting_takes_nothing_with_it():
    cores = Cores(1)
    running, leaves, stays = Model(cores, 1.0), Model(cores, 2.0), Model(cores, 3.0)
    await settle()
    leaves.task.cancel()
    await settle()
    await running.finish()

    assert stays.has_turn
    await stays.finish()
    assert cores.free == 1


async def test_who_leaves_in_the_moment_of_its_turn_gives_it_back():
    cores = Cores(1)
    running, leaves, stays = Model(cores, 1.0), Model(cores, 2.0), Model(cores, 3.0)
    await settle()
    running.done.set()
    await running.task
    leaves.task.cancel()
    await settle()

    assert stays.has_turn
    await stays.finish()
    assert cores.free == 1


def test_no_cores_make_no_sense():
    with pytest.raises(ValueError, match="count"):
        Cores(0)
