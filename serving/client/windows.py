"""Many inputs through one model, some at a time: a window that moves over them.

At most `concurrency` inputs are between the source and whoever takes the answers, those
included that are answered and not yet taken. So memory is bounded, and a source is asked
for no more than there is room for.
"""

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Sequence,
)
from concurrent import futures
from typing import Any, Literal, TypeAlias, TypedDict

from .answer import Answer
from .errors import JitneyError

Source: TypeAlias = Iterable[Any] | AsyncIterable[Any]
Outcome: TypeAlias = Answer | JitneyError
Errors: TypeAlias = Literal["raise", "yield"]

_END = object()


class InferOptions(TypedDict, total=False):
    """What holds for each input of many; as for `infer`."""

    version: str | int | None
    outputs: Sequence[str] | None
    timeout_s: float | None
    priority: int | None


async def over(
    source: Source,
    ask: Callable[[Any], Awaitable[Answer]],
    *,
    concurrency: int,
    ordered: bool,
    errors: Errors,
    before: Callable[[], Awaitable[None]],
) -> AsyncGenerator[Outcome, None]:
    """The answers, as they come or in the order of the inputs.

    before: is awaited before an input is taken. Whatever ends it, a failure, `aclose()` or a
    `break`, cancels what is under way.
    """
    check(concurrency, errors)
    room = asyncio.Semaphore(concurrency)
    ready: asyncio.Queue[asyncio.Task[Outcome] | None] = asyncio.Queue()
    asked: set[asyncio.Task[Outcome]] = set()

    following = _following(source)

    async def feed() -> None:
        index = 0
        await before()
        while True:
            await room.acquire()
            item = await following()
            if item is _END:
                break
            task = asyncio.create_task(outcome(ask, item, index, errors))
            asked.add(task)
            if ordered:
                ready.put_nowait(task)
            else:
                task.add_done_callback(ready.put_nowait)
            index += 1
        ready.put_nowait(None)

    feeding: asyncio.Task[Any] = asyncio.create_task(feed())
    # A source that fails ends the stream.
    feeding.add_done_callback(lambda task: ready.put_nowait(task) if _failed(task) else None)
    more = True
    try:
        while more or asked:
            if (task := await ready.get()) is None:
                more = False
                continue
            result = await task
            asked.discard(task)
            room.release()
            yield result
    finally:
        left = [feeding, *asked]
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def over_blocking(
    source: Iterable[Any],
    ask: Callable[[Any, int], "futures.Future[Outcome]"],
    *,
    concurrency: int,
    ordered: bool,
) -> Generator[Outcome, None, None]:
    """The same for who blocks: `ask` begins one, and gives its future.

    The source is asked in the caller's own thread, for the next input when an answer is taken.
    """
    window: deque[futures.Future[Outcome]] = deque()
    inputs = enumerate(source)
    more = True
    try:
        while True:
            while more and len(window) < concurrency:
                index, item = next(inputs, (0, _END))
                if more := item is not _END:
                    window.append(ask(item, index))
            if not window:
                return
            if not ordered and not window[0].done():
                futures.wait(window, return_when=futures.FIRST_COMPLETED)
                window.rotate(-next(place for place, each in enumerate(window) if each.done()))
            yield window.popleft().result()
    finally:
        for each in window:
            each.cancel()


def check(concurrency: int, errors: str) -> None:
    """Raise ValueError for what cannot be."""
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, got {concurrency!r}")
    if errors not in ("raise", "yield"):
        raise ValueError(f'errors must be "raise" or "yield", got {errors!r}')


async def outcome(
    ask: Callable[[Any], Awaitable[Answer]], item: Any, index: int, errors: Errors
) -> Outcome:
    """The answer to one input, or its failure; both know which input it was."""
    try:
        answer = await ask(item)
    except JitneyError as error:
        error.index = index
        if errors == "raise":
            raise
        return error
    answer.index = index
    return answer


def _following(source: Source) -> Callable[[], Awaitable[Any]]:
    """What gives the source's next input, or _END."""
    if isinstance(source, AsyncIterable):
        awaited = aiter(source)
        return lambda: _anext(awaited)
    inputs = iter(source)

    async def following() -> Any:
        return next(inputs, _END)

    return following


async def _anext(inputs: AsyncIterator[Any]) -> Any:
    return await anext(inputs, _END)


def _failed(task: "asyncio.Task[Any]") -> bool:
    return not task.cancelled() and task.exception() is not None
