import asyncio
import threading
from contextlib import asynccontextmanager

import pytest

from batching import (
    Batcher,
    CostModel,
    DeadlineExceeded,
    Draining,
    QueueFull,
    RunFailed,
    Sample,
    ThreadExecutor,
    TooManyRows,
)
from tests.support import virtual_time
from tests.support.batches import HandExecutor, Slip, settle


def shouted(payloads):
    if "bad" in payloads:
        raise ValueError("bad payload")
    return [payload.upper() for payload in payloads]


@asynccontextmanager
async def by_hand(run=shouted, **options):
    """A batcher whose runs wait until the test lets them go."""
    executor = HandExecutor()
    batcher = Batcher(run, executor=executor, clock=asyncio.get_running_loop().time, **options)
    batcher.start()
    try:
        yield batcher, executor
    finally:
        await batcher.close()


def submit(batcher, payload, **options):
    return asyncio.create_task(batcher.submit(payload, **options))


def test_a_lone_request_leaves_at_once():
    """Lesson 5: there is no delay to wait out; in virtual time one would show."""

    async def main():
        async with by_hand() as (batcher, executor):
            before = asyncio.get_running_loop().time()
            answer = submit(batcher, "a")
            (await executor.next()).let_go()
            assert await answer == "A"
            return asyncio.get_running_loop().time() - before

    assert virtual_time.run(main()) == 0


def test_a_steady_trickle_waits_for_no_window():
    """Lesson 7: each leaves when it comes, whenever the last batch was."""

    async def main():
        loop = asyncio.get_running_loop()
        async with by_hand() as (batcher, executor):
            waited = []
            for pause in (0.001, 0.5, 0.0001, 30.0, 0.01):
                await asyncio.sleep(pause)
                before = loop.time()
                answer = submit(batcher, "a")
                run = await executor.next()
                waited.append(loop.time() - before)
                run.let_go()
                await answer
            return waited

    assert virtual_time.run(main()) == [0] * 5


async def test_whoever_comes_during_a_run_rides_in_the_next():
    async with by_hand() as (batcher, executor):
        first = submit(batcher, "a")
        run = await executor.next()
        rest = [submit(batcher, letter) for letter in "bcd"]
        await settle()
        assert not executor.held
        run.let_go()
        (await executor.next()).let_go()

        assert await first == "A"
        assert await asyncio.gather(*rest) == ["B", "C", "D"]
        assert not executor.held


async def test_a_batch_holds_no_more_rows_than_it_may():
    """Lesson 8."""
    sizes = []

    def run(payloads):
        sizes.append(len(payloads))
        return payloads

    async with by_hand(run, max_rows=6) as (batcher, executor):
        answers = [submit(batcher, number, rows=2) for number in range(4)]
        (await executor.next()).let_go()
        (await executor.next()).let_go()
        await asyncio.gather(*answers)

    assert sizes == [3, 1]


async def test_a_caller_who_leaves_does_not_disturb_the_others():
    """Lesson 1: it leaves while waiting, and while riding."""
    async with by_hand() as (batcher, executor):
        riding = [submit(batcher, "a"), submit(batcher, "b")]
        run = await executor.next()
        waiting = [submit(batcher, "c"), submit(batcher, "d"), submit(batcher, "e")]
        await settle()
        riding[0].cancel()
        waiting[1].cancel()
        await settle()
        assert batcher.waiting_rows == 2
        run.let_go()
        (await executor.next()).let_go()

        assert await riding[1] == "B"
        assert [await waiting[0], await waiting[2]] == ["C", "E"]


async def test_requests_of_different_shapes_never_mix():
    """Lesson 2."""
    batches = []

    def run(payloads):
        batches.append(set(payloads))
        return payloads

    async with by_hand(run) as (batcher, executor):
        answers = [submit(batcher, (key, n), key=key) for n in range(3) for key in "xy"]
        for _ in range(2):
            (await executor.next()).let_go()
        await asyncio.gather(*answers)

    assert [{key for key, _ in batch} for batch in batches] == [{"x"}, {"y"}]


async def test_only_the_culprit_fails():
    """Lesson 3."""
    async with by_hand() as (batcher, executor):
        answers = [submit(batcher, payload) for payload in ("a", "bad", "c")]
        (await executor.next()).let_go()
        good, bad, good_too = await asyncio.gather(*answers, return_exceptions=True)

    assert (good, good_too) == ("A", "C")
    assert isinstance(bad, RunFailed)
    assert isinstance(bad.__cause__, ValueError)


class Clumsy:
    """An observer that fails whatever it is told."""

    def __getattr__(self, moment):
        raise RuntimeError(moment)


async def test_an_observer_that_fails_disturbs_nobody(caplog):
    """Lesson 4."""
    async with by_hand(observer=Clumsy()) as (batcher, executor):
        answer = submit(batcher, "a")
        (await executor.next()).let_go()

        assert await answer == "A"
        assert batcher.alive
    assert "an observer failed at 'batch_done'" in caplog.text


class BrokenOnce(HandExecutor):
    """Fails the first time in a way that no run does."""

    broken = True

    async def run(self, function):
        if self.broken:
            self.broken = False
            raise OSError("no thread to be had")
        return await super().run(function)


async def test_whatever_happens_to_a_batch_the_next_one_is_run(caplog):
    """Lesson 4."""
    executor = BrokenOnce()
    batcher = Batcher(shouted, executor=executor)
    batcher.start()
    with pytest.raises(RunFailed):
        await batcher.submit("a")
    answer = submit(batcher, "b")
    (await executor.next()).let_go()

    assert await answer == "B"
    assert batcher.alive
    await batcher.close()


async def test_a_batcher_without_slots_or_executor_is_not_alive():
    """Lesson 4."""
    async with by_hand() as (batcher, executor):
        assert batcher.alive
        executor.alive = False
        assert not batcher.alive
        executor.alive = True
    assert not batcher.alive
    assert not Batcher(shouted).alive


async def test_the_queue_is_bounded_in_rows():
    """Lesson 13."""
    async with by_hand(max_queue_rows=3) as (batcher, executor):
        riding = submit(batcher, "a")
        run = await executor.next()
        waiting = submit(batcher, "b", rows=2)
        await settle()

        with pytest.raises(QueueFull, match="2 of 3 rows wait, 2 more came"):
            await batcher.submit("c", rows=2)
        with pytest.raises(TooManyRows):
            await batcher.submit("d", rows=4)

        run.let_go()
        (await executor.next()).let_go()
        assert [await riding, await waiting] == ["A", "B"]


def test_a_request_whose_time_runs_out_is_told_so_at_that_moment():
    """Lesson 15: not when the run in front of it ends, and it is never run."""

    async def main():
        async with by_hand() as (batcher, executor):
            loop = asyncio.get_running_loop()
            riding = submit(batcher, "a")
            run = await executor.next()
            began = loop.time()
            with pytest.raises(DeadlineExceeded):
                await batcher.submit("b", timeout_s=2.0)
            assert 2.0 <= loop.time() - began < 2.1
            run.let_go()
            assert await riding == "A"
            await settle()
            assert not executor.held

    virtual_time.run(main())


def test_nothing_outlives_its_request():
    """Lesson 18: no timer is left once everybody is answered."""

    async def main():
        async with by_hand() as (batcher, executor):
            answer = submit(batcher, "a", timeout_s=60.0)
            (await executor.next()).let_go()
            await answer
            await settle()
            return [
                timer for timer in asyncio.get_running_loop()._scheduled if not timer.cancelled()
            ]

    assert virtual_time.run(main()) == []


def cut(payload, max_rows):
    pieces = [payload[at : at + max_rows] for at in range(0, len(payload), max_rows)]
    return [(piece, len(piece)) for piece in pieces]


async def test_a_request_larger_than_a_batch_is_cut_and_joined():
    """Lesson 8."""
    options = {"max_rows": 2, "divide": cut, "rejoin": "".join}
    async with by_hand(**options) as (batcher, executor):
        whole = submit(batcher, "abcde", rows=5)
        stranger = submit(batcher, "x")
        for _ in range(3):
            (await executor.next()).let_go()

        assert await whole == "ABCDE"
        assert await stranger == "X"
        assert not executor.held


async def test_rows_of_a_request_ride_by_their_own_lengths_with_strangers():
    """Lesson 9: what a batch is padded to is nearly what each of its rows has."""
    # A row's cost goes with its length, and a batch of its own costs little.
    cost = CostModel([Sample(n, k, 5e-3 + 1e-3 * n * k) for n in (1, 8) for k in (1, 2, 20, 40)])
    ran = []

    def run(payloads):
        ran.append(payloads)
        return [payload.upper() for payload in payloads]

    options = {"apart": lambda payload, _: list(payload), "rejoin": "".join}
    async with by_hand(run, max_rows=8, cost=cost, **options) as (batcher, executor):
        first = submit(batcher, "-", length=1)
        held = await executor.next()
        whole = batcher.ticket("abcd", rows=4, length=40)
        answer = asyncio.create_task(batcher.carry(whole, lengths=[40, 2, 38, 2]))
        stranger = submit(batcher, "x", length=2)
        await settle()
        assert batcher.waiting_rows == 5
        held.let_go()
        for _ in range(2):
            (await executor.next()).let_go()

        assert await answer == "ABCD"
        assert await stranger == "X"
        assert await first == "-"
        assert sorted(map("".join, map(sorted, ran))) == ["-", "ac", "bdx"]


async def test_long_rows_of_one_length_run_no_more_at_a_time_than_pay():
    """They come from a caller who has padded them; the engine's memory is bounded all the same."""
    cost = CostModel([Sample(n, k, 5e-3 + 1e-3 * n * k) for n in (1, 8) for k in (1, 2, 20, 40)])
    options = {"divide": cut, "rejoin": "".join}
    async with by_hand(max_rows=8, cost=cost, **options) as (batcher, executor):
        whole = submit(batcher, "abcdefgh", rows=8, length=40)
        await settle()
        runs = 0
        while executor.held:
            (await executor.next()).let_go()
            await settle()
            runs += 1

        assert await whole == "ABCDEFGH"
        assert runs >= 8 / (2 * cost.cheapest_rows(8, 40)) > 1


async def test_the_parts_of_one_request_fill_all_slots():
    options = {"divide": cut, "rejoin": "".join}
    async with by_hand([shouted, shouted], max_rows=2, **options) as (batcher, executor):
        whole = submit(batcher, "abcd", rows=4)
        await settle()
        assert len(executor.held) == 2
        for _ in range(2):
            (await executor.next()).let_go()

        assert await whole == "ABCD"


async def test_the_parts_of_a_caller_who_left_take_no_room():
    options = {"divide": cut, "rejoin": "".join, "max_queue_rows": 8}
    async with by_hand(max_rows=1, **options) as (batcher, executor):
        whole = submit(batcher, "abcdefgh", rows=8)
        run = await executor.next()
        whole.cancel()
        await settle()
        assert batcher.waiting_rows == 0
        others = submit(batcher, "stuvwxyz", rows=8)
        await settle()
        run.let_go()
        for _ in range(8):
            (await executor.next()).let_go()

        assert await others == "STUVWXYZ"


async def test_the_parts_of_a_caller_who_left_are_not_run():
    options = {"max_rows": 1, "divide": cut, "rejoin": "".join}
    async with by_hand(**options) as (batcher, executor):
        whole = submit(batcher, "abc", rows=3)
        run = await executor.next()
        whole.cancel()
        await settle()
        run.let_go()
        await settle()

        assert not executor.held
        assert batcher.waiting_rows == 0


async def test_draining_refuses_what_comes_and_finishes_what_is_here():
    """Lesson 19."""
    async with by_hand(max_rows=1) as (batcher, executor):
        answers = [submit(batcher, "a"), submit(batcher, "b")]
        run = await executor.next()
        draining = asyncio.create_task(batcher.drain())
        await settle()
        with pytest.raises(Draining):
            await batcher.submit("c")
        run.let_go()
        await settle()
        assert not draining.done()
        (await executor.next()).let_go()

        assert await draining
        assert [answer.result() for answer in answers] == ["A", "B"]


def test_draining_ends_when_its_time_is_over():
    async def main():
        async with by_hand() as (batcher, executor):
            answer = submit(batcher, "a")
            await executor.next()
            assert not await batcher.drain(timeout_s=5.0)
            await batcher.close()
            with pytest.raises(Draining):
                await answer

    virtual_time.run(main())


async def test_an_idle_batcher_drains_at_once():
    async with by_hand() as (batcher, _):
        assert await batcher.drain()


async def test_closing_answers_everybody_and_can_be_done_twice():
    async with by_hand(max_rows=1) as (batcher, executor):
        riding, waiting = submit(batcher, "a"), submit(batcher, "b")
        await executor.next()
        await batcher.close()
        await batcher.close()
        for answer in (riding, waiting):
            with pytest.raises(Draining):
                await answer
        assert not executor.closed  # it was given, so it is not ours to close


async def test_two_slots_run_two_batches_at_one_time():
    both = threading.Barrier(2)

    def run(payloads):
        both.wait(timeout=30)
        return payloads

    async with Batcher([run, run], max_rows=1) as batcher:
        assert await asyncio.gather(batcher.submit(1), batcher.submit(2)) == [1, 2]


async def test_waking_is_once_a_batch_each_way():
    """Lesson 6, and the cost of many small requests: not one hop a request, but one a batch."""
    hops = []

    class Counting(ThreadExecutor):
        async def run(self, function):
            hops.append(function)
            return await super().run(function)

    executor = Counting(1)
    async with Batcher(lambda payloads: payloads, executor=executor) as batcher:
        await asyncio.gather(*(batcher.submit(number) for number in range(64)))
    executor.close()

    assert len(hops) == 1


def test_idle_is_idle():
    """Lesson 6: in virtual time a poll would show as time that passes."""

    async def main():
        async with by_hand() as (_, __):
            loop = asyncio.get_running_loop()
            await settle()
            return [timer for timer in loop._scheduled if not timer.cancelled()]

    assert virtual_time.run(main()) == []


class Broken(Slip):
    """A reply that cannot take what it is given."""

    def set_result(self, result, /):
        raise ConnectionError("gone in this very moment")


async def test_a_reply_that_fails_disturbs_nobody_else_in_its_batch(caplog):
    """Lessons 1 and 4."""
    async with by_hand() as (batcher, executor):
        replies = [Slip(), Broken(), Slip()]
        for letter, reply in zip("abc", replies, strict=True):
            batcher.put(batcher.ticket(letter, reply=reply))
        (await executor.next()).let_go()
        await settle()

        assert [replies[0].result, replies[2].result] == ["A", "C"]
        assert [replies[0].answered, replies[2].answered] == [1, 1]
        assert batcher.alive
    assert "a caller could not be answered" in caplog.text


# --- misuse


async def test_a_result_too_few_is_an_error_and_not_somebody_elses_answer():
    async with by_hand(lambda payloads: payloads[1:]) as (batcher, executor):
        answers = [submit(batcher, "a"), submit(batcher, "b")]
        (await executor.next()).let_go()

        for error in await asyncio.gather(*answers, return_exceptions=True):
            assert isinstance(error, RunFailed)


async def test_a_key_that_cannot_be_one_fails_its_own_caller_only():
    async with by_hand() as (batcher, executor):
        with pytest.raises(TypeError, match="unhashable"):
            await batcher.submit("a", key=[])
        answer = submit(batcher, "b")
        (await executor.next()).let_go()

        assert await answer == "B"
