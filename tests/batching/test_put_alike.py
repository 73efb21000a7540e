"""`put_alike` does what `ticket` and `put` do, for requests that are like others before them."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batching import (
    Alike,
    Batcher,
    BatchingError,
    CostModel,
    Draining,
    QueueFull,
    Rejected,
    Sample,
    TooLate,
    TooManyRows,
)
from tests.support import virtual_time
from tests.support.batches import HandExecutor, Slip

SAMPLES = [Sample(rows, 0, 0.01 + 0.001 * rows) for rows in (1, 10, 100)]


def outcome(calls, *, alike: bool) -> list[object]:
    """What comes of calls, one after the other, made either way; no run ends meanwhile."""

    async def main():
        loop, executor = asyncio.get_running_loop(), HandExecutor()
        batcher = Batcher(
            lambda payloads: [-one for one in payloads],
            max_rows=8,
            max_queue_rows=12,
            cost=CostModel(SAMPLES),
            executor=executor,
            clock=loop.time,
        )
        batcher.start()
        came: list[object] = []
        for payload, (rows, priority, timeout_s, in_time) in enumerate(calls):
            reply = Slip()
            try:
                if alike:
                    kind = Alike(rows, None, priority, timeout_s)
                    ticket = batcher.put_alike(payload, reply, loop.time(), kind, in_time=in_time)
                else:
                    ticket = batcher.ticket(
                        payload, rows=rows, priority=priority, timeout_s=timeout_s, reply=reply
                    )
                    batcher.put(ticket, in_time=in_time)
            except Rejected as error:
                came.append(str(error))
            else:
                came.append((ticket.rows, ticket.deadline, ticket.alone_s, ticket.work_s))
            await asyncio.sleep(0.001)
            came.append(batcher.waiting_rows)
        await batcher.close()
        return came

    return virtual_time.run(main())


calls = st.tuples(
    st.integers(1, 14), st.integers(0, 3), st.sampled_from([0.001, 0.02, 0.1, 5.0]), st.booleans()
)


@settings(max_examples=100, deadline=None)
@given(st.lists(calls, min_size=1, max_size=20))
def test_both_ways_come_to_the_same(calls):
    assert outcome(calls, alike=True) == outcome(calls, alike=False)


@pytest.mark.parametrize(
    ("alike", "error"),
    [
        (Alike(13, None, 0, 5.0), TooManyRows),
        (Alike(1, None, 0, 5.0), QueueFull),
        (Alike(1, None, 0, 0.0), TooLate),
    ],
)
def test_who_is_refused_never_waits(alike: Alike, error: type[BatchingError]) -> None:
    async def main():
        executor = HandExecutor()
        clock = asyncio.get_running_loop().time
        batcher = Batcher(
            lambda payloads: payloads,
            max_queue_rows=12 if error is not QueueFull else 1,
            cost=CostModel(SAMPLES),
            executor=executor,
            clock=clock,
        )
        batcher.start()
        one, other = Alike(1, None, 0, 5.0), Slip()
        batcher.put_alike(0, Slip(), clock(), one, in_time=False)
        (await executor.next())  # it rides
        batcher.put_alike(1, Slip(), clock(), one, in_time=False)
        with pytest.raises(error):
            batcher.put_alike(2, other, clock(), alike, in_time=error is not TooLate)
        assert batcher.waiting_rows == 1
        assert not other.done()
        batcher.admission.draining = True
        with pytest.raises(Draining):
            batcher.put_alike(3, other, clock(), one, in_time=True)
        await batcher.close()

    virtual_time.run(main())
