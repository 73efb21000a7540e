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
