import asyncio

import pytest

from batching import Cores
from tests.support import virtual_time
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

    overload.use(0.9, rows=9)
    overload.refuse(20, now[0])
    few.use(0.1, rows=1)
    async with cores.turn(1, busy):
        tasks = [
            asyncio.create_task(take(*one))
            for one in (("overload", overload), ("few", few), ("many", many))
        ]
        await settle()
    await asyncio.gather(*tasks)

    assert had == ["many", "overload", "few"]


@pytest.mark.parametrize(("loses", "first"), [(False, "overload"), (True, "few")])
async def test_who_loses_callers_goes_before_one_in_overload_at_once(loses, first):
    def share(deadline):
        waits = ticket(deadline=deadline, arrived=0.0)
        return cores.share(lambda: waits, lambda: 0.0)

    cores = Cores(1)
    busy, overload, few = share(1.0), share(1.0), share(9.0)
    had = []

    async def take(name, share):
        async with cores.turn(1, share):
            had.append(name)

    overload.use(0.9, rows=9)
    overload.refuse(20, 0.0)
    few.use(0.1, rows=1)
    if loses:
        few.expire()
    async with cores.turn(1, busy):
        tasks = [asyncio.create_task(take(*one)) for one in (("overload", overload), ("few", few))]
        await settle()
    await asyncio.gather(*tasks)

    assert had[0] == first


async def test_who_has_waited_goes_before_nobody_who_has_less_time():
    """Waiting counts against a model in overload, and against no other."""

    def share(arrived, deadline):
        waits = ticket(deadline=deadline, arrived=arrived)
        return cores.share(lambda: waits, lambda: 1.0)

    cores = Cores(1)
    busy, patient, hurried = share(0.0, 5.0), share(0.0, 5.0), share(0.999, 1.02)
    had = []

    async def take(name, share):
        async with cores.turn(1, share):
            had.append(name)

    async with cores.turn(1, busy):
        tasks = [
            asyncio.create_task(take(*one)) for one in (("patient", patient), ("hurried", hurried))
        ]
        await settle()
    await asyncio.gather(*tasks)

    assert had == ["hurried", "patient"]


def test_who_wants_no_more_than_its_part_is_not_in_overload_whoever_refuses():
    """Or what one model takes too much of would make small ones give way too, and lose more."""
    cores = Cores(2)
    large, small = (cores.share(lambda: None, lambda: 0.0) for _ in range(2))
    large.use(1.7, rows=100)
    large.refuse(400, 0.0)
    small.use(0.3, rows=30)
    small.refuse(20, 0.0)

    assert large.in_overload(0.0)
    assert not small.in_overload(0.0)
    assert small.is_hurt(0.0)
    assert not large.is_hurt(0.0)
    assert not large.in_overload(1.5)


# --- lent before they are free


def lent_after(run_s, *, lend_s=0.002, goes_on=False):
    """Seconds after which the next has the only token, of a run that really takes twice as long."""

    async def play():
        loop = asyncio.get_running_loop()
        cores = Cores(1, clock=loop.time, lend_s=lend_s)
        began = loop.time()

        async def run():
            async with cores.turn(1, cores.share(lambda: None, loop.time)) as turn:
                turn.begins(1, run_s)
                if goes_on:
                    turn.goes_on()
                await asyncio.sleep(2 * run_s)

        async def wait():
            async with cores.turn(1, cores.share(lambda: None, loop.time)):
                had = loop.time() - began
                third = asyncio.create_task(wait_on())
                await asyncio.sleep(4 * run_s)
                assert not third.done()  # what is lent is lent once
            await third
            return had

        async def wait_on():
            async with cores.turn(1, cores.share(lambda: None, loop.time)):
                pass

        first, second = asyncio.create_task(run()), asyncio.create_task(wait())
        await first
        had = await second
        assert cores.free == 1
        return had

    return virtual_time.run(play())


def test_a_token_is_lent_just_before_its_run_ends():
    assert lent_after(0.010) == pytest.approx(0.008)


async def test_a_token_is_lent_by_a_timer_that_rings_early():
    """An event loop rounds to milliseconds: it would ring again and again until the instant."""
    now = [0.0]
    cores = Cores(1, clock=lambda: now[0])
    share = cores.share(lambda: None, lambda: now[0])
    has_turn = asyncio.Event()

    async def wait():
        async with cores.turn(1, share):
            has_turn.set()

    async with cores.turn(1, share) as turn:
        waits = asyncio.create_task(wait())
        turn.begins(1, 0.010)
        await settle()
        now[0] = 0.0074
        cores.look()
        await settle()
        assert not has_turn.is_set()
        now[0] = 0.0076
        cores.look()
        await settle()
        assert has_turn.is_set()
    await waits
    assert cores.free == 1


def test_a_token_of_a_short_run_is_not_lent():
    assert lent_after(0.004) == pytest.approx(0.008)
    assert lent_after(0.010, lend_s=0.0) == pytest.approx(0.020)


def test_a_token_is_not_lent_while_another_run_follows():
    assert lent_after(0.010, goes_on=True) == pytest.approx(0.020)


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
