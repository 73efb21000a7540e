"""Answers to a stream of requests: many at work at one time, given back in their order."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

Request = TypeVar("Request")
Response = TypeVar("Response")

AT_ONE_TIME = 256
"""Requests of one stream that may be at work, or answered and waiting for one before them.

Enough for large batches; what a caller sends beyond waits in its connection, unread.
"""


async def in_order(
    answer: Callable[[Request], Awaitable[Response]],
    requests: AsyncIterator[Request],
    at_one_time: int = AT_ONE_TIME,
) -> AsyncGenerator[Response, None]:
    """Answer each request in a task of its own; yield the answers in the requests' order.

    Closing it, or its being cancelled, cancels all that is at work. What `requests`
    raises is raised after the answers to what came before.
    """
    at_work: asyncio.Queue[asyncio.Task[Response] | None] = asyncio.Queue()
    places = asyncio.Semaphore(at_one_time)

    async def read() -> None:
        try:
            async for request in requests:
                await places.acquire()
                at_work.put_nowait(asyncio.ensure_future(answer(request)))
        finally:
            at_work.put_nowait(None)

    reading = asyncio.create_task(read(), name="read a stream of requests")
    task: asyncio.Task[Response] | None = None
    try:
        while (task := await at_work.get()) is not None:
            response = await task
            places.release()
            yield response
        await reading
    finally:
        reading.cancel()
        left: list[asyncio.Task[Any] | None] = [reading, task]
        with suppress(asyncio.QueueEmpty):
            while True:
                left.append(at_work.get_nowait())
        for each in left:
            if each is not None:
                each.cancel()
        await asyncio.gather(*filter(None, left), return_exceptions=True)
