import asyncio
import threading
import weakref

import pytest

from batching import ThreadExecutor


async def test_it_runs_off_the_event_loop_and_gives_back_what_it_gets():
    executor = ThreadExecutor(1)

    assert await executor.run(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await executor.run(lambda: 1 // 0)
    executor.close()


async def test_as_many_runs_at_one_time_as_it_has_slots():
    executor = ThreadExecutor(2)
    both = threading.Barrier(2)

    results = await asyncio.gather(*(executor.run(lambda: both.wait(timeout=30)) for _ in "ab"))

    assert sorted(results) == [0, 1]
    executor.close()


async def test_closing_waits_for_what_runs():
    executor = ThreadExecutor(1)
    started, finish = threading.Event(), threading.Event()

    def work() -> bool:
        started.set()
        return finish.wait(timeout=30)

    run = asyncio.ensure_future(executor.run(work))
    await asyncio.to_thread(started.wait, 30)
    closing = asyncio.create_task(asyncio.to_thread(executor.close))
    finish.set()

    await closing
    assert await run
    assert not executor.alive
    with pytest.raises(RuntimeError):
        await executor.run(int)


class Panic(BaseException):
    """What a library of another language may raise."""


async def test_whoever_is_to_be_told_is_told_on_the_event_loop_whatever_happens():
    def fails(error):
        raise error

    executor = ThreadExecutor(1)
    loop_thread, told = threading.get_ident(), asyncio.Queue()

    def then(came):
        told.put_nowait((came, threading.get_ident()))

    for function in (lambda: 7, lambda: fails(KeyError("x")), lambda: fails(Panic("internals"))):
        executor.start(function, then)
    came = [await told.get() for _ in range(3)]
    executor.close()

    assert [thread for _, thread in came] == [loop_thread] * 3
    assert came[0][0] == 7
    assert isinstance(came[1][0], KeyError)
    assert isinstance(came[2][0], RuntimeError)


async def test_what_closing_finds_not_begun_is_dropped_and_cancelled_for_who_awaits_it():
    executor = ThreadExecutor(1)
    started, finish, told = threading.Event(), threading.Event(), []

    def work() -> bool:
        started.set()
        return finish.wait(timeout=30)

    runs = asyncio.ensure_future(executor.run(work))
    await asyncio.to_thread(started.wait, 30)
    waits = asyncio.ensure_future(executor.run(int))
    executor.start(int, told.append)
    closing = asyncio.create_task(asyncio.to_thread(executor.close))
    with pytest.raises(asyncio.CancelledError):
        await waits
    finish.set()

    await closing
    assert await runs
    assert not told


async def test_closed_again_it_stays_closed():
    executor = ThreadExecutor(2)
    executor.close()
    executor.close()

    assert not executor.alive


async def test_who_was_cancelled_meanwhile_is_told_nothing():
    executor = ThreadExecutor(1)
    started, finish = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        finish.wait(timeout=30)

    run = asyncio.ensure_future(executor.run(work))
    await asyncio.to_thread(started.wait, 30)
    run.cancel()
    finish.set()
    assert await executor.run(lambda: 7) == 7

    assert run.cancelled()
    executor.close()


async def test_a_loop_that_has_closed_ends_no_thread():
    executor = ThreadExecutor(1)
    started, finish = threading.Event(), threading.Event()

    def begun() -> None:
        async def elsewhere() -> None:
            executor.start(lambda: (started.set(), finish.wait(timeout=30)), lambda _: None)
            await asyncio.to_thread(started.wait, 30)

        asyncio.run(elsewhere())

    await asyncio.to_thread(begun)
    finish.set()

    assert await executor.run(lambda: 7) == 7
    assert executor.alive
    executor.close()


class Result:
    """What a run makes, and somebody may hold."""


async def test_nothing_of_a_run_is_held_until_the_next():
    executor = ThreadExecutor(1)
    made = await executor.run(Result)
    gone = threading.Event()
    weakref.finalize(made, gone.set)
    del made

    assert await asyncio.to_thread(gone.wait, 10)
    executor.close()
