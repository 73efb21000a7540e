"""Answers in the order of their requests, driven by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from serving.grpc.stream import in_order
from tests.support.batches import settle


class Asked:
    """Requests that are answered when the test says so."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.count, self.error = count, error
        self.futures: dict[int, asyncio.Future[str]] = {}

    async def requests(self) -> AsyncIterator[int]:
        for number in range(self.count):
            yield number
        if self.error:
            raise self.error

    async def answer(self, number: int) -> str:
        self.futures[number] = asyncio.get_running_loop().create_future()
        return await self.futures[number]


async def test_all_are_at_work_at_one_time_and_answered_in_order():
    asked, got = Asked(3), []

    async def read() -> None:
        async for each in in_order(asked.answer, asked.requests()):
            got.append(each)  # noqa: PERF401

    reading = asyncio.create_task(read())
    await settle()
    assert set(asked.futures) == {0, 1, 2}
    asked.futures[2].set_result("c")
    asked.futures[1].set_result("b")
    await settle()
    assert got == []
    asked.futures[0].set_result("a")
    await reading
    assert got == ["a", "b", "c"]


async def test_no_more_are_at_work_than_may_be():
    asked = Asked(5)
    async with aclosing(in_order(asked.answer, asked.requests(), at_one_time=2)) as answers:
        first = asyncio.ensure_future(anext(answers))
        await settle()
        assert set(asked.futures) == {0, 1}
        # Answered, but one before it is not: its place is still taken.
        asked.futures[1].set_result("b")
        await settle()
        assert set(asked.futures) == {0, 1}
        asked.futures[0].set_result("a")
        assert await first == "a"
        assert await anext(answers) == "b"
        await settle()
        assert set(asked.futures) == {0, 1, 2, 3}


async def test_who_goes_away_has_all_that_is_at_work_given_up():
    asked = Asked(3)
    reading = asyncio.ensure_future(anext(in_order(asked.answer, asked.requests())))
    await settle()

    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert all(future.cancelled() for future in asked.futures.values())
    assert len(asked.futures) == 3


async def test_a_broken_stream_gives_what_it_has_first():
    asked, got = Asked(1, error=OSError("broken")), []

    async def read() -> None:
        async for each in in_order(asked.answer, asked.requests()):
            got.append(each)  # noqa: PERF401

    reading = asyncio.create_task(read())
    await settle()
    asked.futures[0].set_result("a")
    with pytest.raises(OSError, match="broken"):
        await reading
    assert got == ["a"]
