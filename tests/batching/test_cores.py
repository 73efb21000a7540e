import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching import Cores
from batching.cores import water_level
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
    overload.lose(20, now[0])
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
    overload.lose(20, 0.0)
    few.use(0.1, rows=1)
    if loses:
        few.lose(1, 0.0)
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


# Of two cores: what a model uses, and what it would use if it lost nobody.
SMALL, LARGE = (0.19, 0.2), (0.2, 6.0)


@pytest.mark.parametrize("since", [1.0, 0.05], ids=["for long", "since a moment ago"])
@pytest.mark.parametrize(
    ("models", "overload"),
    [
        ([SMALL] * 9 + [LARGE], [LARGE]),
        # One of the nine wants a little more at the moment.
        ([SMALL] * 8 + [(0.2, 0.35), LARGE], [LARGE]),
        # Ten of which nobody wants much more than the others: nobody gives way.
        ([(0.15, 0.2)] * 5 + [(0.25, 0.3)] * 5, []),
        # What others leave is his too.
        ([(0.1, 0.1), (1.8, 1.9)], []),
        ([(0.4, 0.5), (1.5, 1.55)], []),
        ([(0.4, 0.5), (1.5, 2.0)], [(1.5, 2.0)]),
        # Two who both want far too much.
        ([SMALL, (0.5, 4.0), (1.3, 40.0)], [(0.5, 4.0), (1.3, 40.0)]),
    ],
)
def test_in_overload_is_who_wants_more_than_what_is_left_for_him(models, overload, since):
    """Not whoever loses callers: what one takes too much of would make small ones give way too."""
    cores = Cores(2)
    shares = [cores.share(lambda: None, lambda: 0.0) for _ in models]
    for share, (used, wanted) in zip(shares, models, strict=True):
        share.use(used * since, rows=100)
        share.lose(100 * (wanted / used - 1), 0.0)

    found = zip(shares, models, strict=True)
    assert [model for share, model in found if share.in_overload(0.0)] == overload
    assert all(share.is_hurt(0.0) != share.in_overload(0.0) for share in shares)
    assert not any(share.in_overload(1.5) or share.is_hurt(1.5) for share in shares)


@given(st.lists(st.floats(0.0, 100.0)), st.floats(0.01, 64.0))
def test_what_is_left_for_each_is_all_there_is(demands, count):
    """Max-min fairness: all cores are had if more are wanted, and nobody has more than he wants."""
    demands = sorted(demands)
    level = water_level(demands, count)
    had = sum(min(one, level) for one in demands)

    assert had == pytest.approx(min(sum(demands), count))
    assert level > 0


# --- lent before they are free


def lent_after(run_s, *, cores=2, lend_s=0.002, goes_on=False):
    """Seconds after which one who waits has a turn, of runs that really take twice as long."""

    async def play():
        loop = asyncio.get_running_loop()
        shared = Cores(cores, clock=loop.time, lend_s=lend_s)
        began = loop.time()
        had = []

        async def run():
            async with shared.turn(1, shared.share(lambda: None, loop.time)) as turn:
                turn.begins(1, run_s)
                if goes_on:
                    turn.goes_on()
                await asyncio.sleep(2 * run_s)

        async def wait():
            async with shared.turn(1, shared.share(lambda: None, loop.time)) as turn:
                had.append(loop.time() - began)
                turn.begins(1, 100 * run_s)
                await asyncio.sleep(200 * run_s)

        await asyncio.gather(*(run() for _ in range(cores)), *(wait() for _ in range(cores)))
        assert shared.free == cores
        return had

    return virtual_time.run(play())


def test_a_token_is_lent_just_before_its_run_ends():
    assert lent_after(0.010) == pytest.approx([0.008, 0.020])


def test_half_of_the_tokens_are_lent_at_most():
    """Runs that take much longer than expected go on beside those that were lent their tokens."""
    assert lent_after(0.010, cores=4) == pytest.approx([0.008, 0.008, 0.020, 0.020])
    assert lent_after(0.010, cores=1) == pytest.approx([0.020])


async def test_a_token_is_lent_by_a_timer_that_rings_early():
    """An event loop rounds to milliseconds: it would ring again and again until the instant."""
    now = [0.0]
    cores = Cores(2, clock=lambda: now[0])
    share = cores.share(lambda: None, lambda: now[0])
    has_turn = asyncio.Event()

    async def wait():
        async with cores.turn(1, share):
            has_turn.set()

    async with cores.turn(1, share), cores.turn(1, share) as turn:
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
    assert cores.free == 2


def test_a_token_of_a_short_run_is_not_lent():
    assert lent_after(0.004) == pytest.approx([0.008, 0.008])
    assert lent_after(0.010, lend_s=0.0) == pytest.approx([0.020, 0.020])


def test_a_token_is_not_lent_while_another_run_follows():
    assert lent_after(0.010, goes_on=True) == pytest.approx([0.020, 0.020])


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
