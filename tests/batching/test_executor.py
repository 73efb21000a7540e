import asyncio
import threading

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
